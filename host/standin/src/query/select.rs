//! `select`: columns, JSON paths and to-one embeds, and the rows they make.

use crate::error::ApiError;
use crate::schema::{Kind, Reference, TableId, TableSchema};
use crate::value::{Row, write_json, write_string};

use super::filter::Filter;
use super::grammar::Scan;
use super::operand::Operand;

/// What a request wants of each row.
#[derive(Debug)]
pub(crate) struct Selection {
    items: Vec<Item>,
    pub(crate) embeds: Vec<Embed>,
}

/// A row of another table, reached through a foreign key.
#[derive(Debug)]
pub(crate) struct Embed {
    /// Alias, or the target as the request names it.
    name: String,
    /// The foreign key in the outer row.
    pub(crate) column: usize,
    pub(crate) target: TableId,
    /// Whether an outer row without a match is left out.
    pub(crate) inner: bool,
    pub(crate) selection: Selection,
    pub(crate) filter: Filter,
}

/// A row with the rows embedded in it, in the order of the selection's embeds.
#[derive(Debug)]
pub(crate) struct Projected {
    pub(crate) row: Row,
    pub(crate) embeds: Vec<Option<Projected>>,
}

#[derive(Debug)]
struct Item {
    /// The member's name as JSON, with its colon.
    key: String,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Column { column: usize, kind: Kind },
    Path(Operand),
    Embed(usize),
}

impl Selection {
    /// All columns of a table, in the table's order.
    pub(crate) fn all(schema: &TableSchema) -> Self {
        let mut selection = Self { items: Vec::new(), embeds: Vec::new() };
        selection.push_all(schema);
        selection
    }

    pub(super) fn parse(schema: &'static TableSchema, text: &str) -> Result<Self, ApiError> {
        let mut scan = Scan::new("select parameter", text);
        let selection = Self::parse_items(schema, &mut scan)?;
        if scan.is_done() { Ok(selection) } else { Err(scan.error("end of input")) }
    }

    pub(super) fn embed_mut(&mut self, name: &str) -> Result<&mut Embed, ApiError> {
        self.embeds.iter_mut().find(|embed| embed.name == name).ok_or_else(|| {
            let message = format!("'{name}' is not an embedded resource in this request");
            ApiError::new(400, "PGRST108", message)
                .hint(format!("Verify that '{name}' is included in the 'select' query parameter."))
        })
    }

    /// Appends one row as a JSON object.
    pub(crate) fn write(&self, out: &mut String, projected: &Projected) {
        out.push('{');
        for (index, item) in self.items.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            out.push_str(&item.key);
            match &item.source {
                Source::Column { column, kind } => write_json(out, *kind, &projected.row[*column]),
                Source::Path(operand) => write_json(out, Kind::Jsonb, &operand.value(&projected.row)),
                Source::Embed(at) => match &projected.embeds[*at] {
                    Some(embedded) => self.embeds[*at].selection.write(out, embedded),
                    None => out.push_str("null"),
                },
            }
        }
        out.push('}');
    }

    fn parse_items(schema: &'static TableSchema, scan: &mut Scan<'_>) -> Result<Self, ApiError> {
        let mut selection = Self { items: Vec::new(), embeds: Vec::new() };
        if scan.is_done() || scan.sees(")") {
            return Ok(selection);
        }
        loop {
            scan.skip_blanks();
            selection.parse_item(schema, scan)?;
            if !scan.eat(",") {
                return Ok(selection);
            }
        }
    }

    fn parse_item(&mut self, schema: &'static TableSchema, scan: &mut Scan<'_>) -> Result<(), ApiError> {
        if scan.eat("*") {
            self.push_all(schema);
            return Ok(());
        }
        let mut name = scan.quoted_or_until(&[',', '(', ')', ':'])?;
        let mut alias = None;
        if scan.eat("::") {
            return Err(scan.error("a column without a cast"));
        }
        if scan.eat(":") {
            alias = Some(name.trim().to_owned());
            name = scan.quoted_or_until(&[',', '(', ')', ':'])?;
        }
        let name = name.trim();
        if scan.eat("(") {
            let embed = parse_embed(schema, scan, name, alias)?;
            self.push(&embed.name.clone(), Source::Embed(self.embeds.len()));
            self.embeds.push(embed);
            return Ok(());
        }
        let operand = Operand::parse(schema, name)?;
        let plain = match &operand {
            Operand::Column(column) => schema.columns[*column].name,
            Operand::Path { path, .. } => path.last().map_or("", |step| step.0.as_str()),
        };
        let key = alias.unwrap_or_else(|| plain.to_owned());
        match operand {
            Operand::Column(column) => self.push(&key, Source::Column { column, kind: schema.columns[column].kind }),
            path => self.push(&key, Source::Path(path)),
        }
        Ok(())
    }

    fn push_all(&mut self, schema: &TableSchema) {
        for (at, column) in schema.columns.iter().enumerate() {
            self.push(column.name, Source::Column { column: at, kind: column.kind });
        }
    }

    fn push(&mut self, name: &str, source: Source) {
        let mut key = String::with_capacity(name.len() + 3);
        write_string(&mut key, name);
        key.push(':');
        self.items.push(Item { key, source });
    }
}

/// Reads an embed from after its opening parenthesis. `target` is a table, a foreign key column or a constraint, with hints.
fn parse_embed(
    schema: &'static TableSchema,
    scan: &mut Scan<'_>,
    target: &str,
    alias: Option<String>,
) -> Result<Embed, ApiError> {
    let mut words = target.split('!');
    let name = words.next().unwrap_or_default();
    let (mut inner, mut hint) = (false, None);
    for word in words {
        match word {
            "inner" => inner = true,
            "left" => inner = false,
            other => hint = Some(other),
        }
    }
    let reference = find_reference(schema, name, hint)?;
    let selection = Selection::parse_items(reference.target.schema(), scan)?;
    scan.expect(")")?;
    Ok(Embed {
        name: alias.unwrap_or_else(|| name.to_owned()),
        column: reference.column,
        target: reference.target,
        inner,
        selection,
        filter: Filter::everything(),
    })
}

fn find_reference(
    schema: &'static TableSchema,
    name: &str,
    hint: Option<&str>,
) -> Result<&'static Reference, ApiError> {
    let named = |reference: &Reference, name: &str| {
        reference.constraint == name || schema.columns[reference.column].name == name
    };
    let found = schema.references.iter().find(|reference| {
        let target = reference.target.name() == name || named(reference, name);
        target && hint.is_none_or(|hint| named(reference, hint))
    });
    found.ok_or_else(|| {
        let message =
            format!("Could not find a relationship between '{}' and '{name}' in the schema cache", schema.name);
        ApiError::new(400, "PGRST200", message).details(format!(
            "Searched for a foreign key relationship between '{}' and '{name}' in the schema 'notify', but no matches were found.",
            schema.name
        ))
    })
}
