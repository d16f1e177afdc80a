//! `docs/contract.md`, made from `wit/rules.wit`.

use std::fmt::Write as _;

use wit_parser::{Docs, Function, Interface, Resolve, Type, TypeDef, TypeDefKind, WorldItem};

use crate::support::components::contract;
use crate::support::page;

const HEAD: &str = "\
What the host asks of an enterprise's rules, what they answer, and what they may ask of the host. Made from [`wit/rules.wit`](../wit/rules.wit)
(`XNOVU_UPDATE_DOCS=1 cargo test --workspace --test rules` writes it anew); [`wit/README.md`](../wit/README.md) says which changes get which number.
Who writes rules in Rust sees all of this through the SDK ([plugins.md](plugins.md)).
";

#[test]
fn the_contracts_page_is_made_from_the_contract() {
    page::reads("contract.md", &Page::new(&contract()).write());
}

struct Page {
    resolve: Resolve,
    text: String,
}

impl Page {
    fn new(contract: &str) -> Self {
        let mut resolve = Resolve::default();
        resolve.push_str("rules.wit", contract).unwrap();
        Self { resolve, text: String::new() }
    }

    fn write(mut self) -> String {
        let resolve = self.resolve.clone();
        let (_, package) = resolve.packages.iter().next().unwrap();
        let (_, world) = resolve.worlds.iter().next().unwrap();
        writeln!(self.text, "# The contract {}\n\n{HEAD}", package.name).unwrap();
        self.docs(&package.docs);
        let named = |items: &mut dyn Iterator<Item = &WorldItem>| -> Vec<String> {
            items.map(|item| self.interface_of(item)).collect()
        };
        let (imports, exports) = (named(&mut world.imports.values()), named(&mut world.exports.values()));
        writeln!(self.text, "## World {}\n", world.name).unwrap();
        self.docs(&world.docs);
        writeln!(self.text, "| a component | |\n|---|---|").unwrap();
        writeln!(self.text, "| may import | {} |\n| exports | {} |\n", imports.join(", "), exports.join(", ")).unwrap();
        for name in package.interfaces.keys() {
            self.interface(&resolve.interfaces[package.interfaces[name]]);
        }
        self.text.truncate(self.text.trim_end().len());
        self.text.push('\n');
        self.text
    }

    fn interface_of(&self, item: &WorldItem) -> String {
        let WorldItem::Interface { id, .. } = item else { panic!("the world has more than interfaces") };
        let name = self.resolve.interfaces[*id].name.as_ref().unwrap();
        format!("[`{name}`](#interface-{name})")
    }

    fn interface(&mut self, interface: &Interface) {
        writeln!(self.text, "## Interface {}\n", interface.name.as_ref().unwrap()).unwrap();
        self.docs(&interface.docs);
        for function in interface.functions.values() {
            self.function(function);
        }
        for id in interface.types.values() {
            let ty = self.resolve.types[*id].clone();
            self.definition(&ty);
        }
    }

    fn function(&mut self, function: &Function) {
        let params: Vec<_> =
            function.params.iter().map(|param| format!("{}: {}", param.name, self.name(&param.ty))).collect();
        let result = function.result.as_ref().map(|ty| format!(" -> {}", self.name(ty))).unwrap_or_default();
        writeln!(self.text, "### {0}\n\n```wit\n{0}: func({1}){result}\n```\n", function.name, params.join(", "))
            .unwrap();
        self.docs(&function.docs);
    }

    fn definition(&mut self, ty: &TypeDef) {
        let name = ty.name.as_ref().unwrap();
        let rows: Vec<(String, String, String)> = match &ty.kind {
            // A name another interface has lent.
            TypeDefKind::Type(Type::Id(_)) => return,
            TypeDefKind::Type(_) => Vec::new(),
            TypeDefKind::Record(record) => {
                record.fields.iter().map(|it| (it.name.clone(), self.name(&it.ty), one_line(&it.docs))).collect()
            }
            TypeDefKind::Variant(variant) => {
                let ty = |ty: &Option<Type>| ty.as_ref().map(|ty| self.name(ty)).unwrap_or_default();
                variant.cases.iter().map(|it| (it.name.clone(), ty(&it.ty), one_line(&it.docs))).collect()
            }
            TypeDefKind::Enum(cases) => {
                cases.cases.iter().map(|it| (it.name.clone(), String::new(), one_line(&it.docs))).collect()
            }
            other => panic!("the page does not know how to show {}", other.as_str()),
        };
        let what = match &ty.kind {
            TypeDefKind::Type(alias) => format!("is a `{}`", self.name(alias)),
            other => other.as_str().to_owned(),
        };
        writeln!(self.text, "### {name}\n\n*{what}*\n").unwrap();
        self.docs(&ty.docs);
        let typed = rows.iter().any(|(_, ty, _)| !ty.is_empty());
        if !rows.is_empty() {
            let word = if matches!(ty.kind, TypeDefKind::Record(_)) { "field" } else { "case" };
            writeln!(
                self.text,
                "{}",
                if typed { format!("| {word} | type | |\n|---|---|---|") } else { format!("| {word} | |\n|---|---|") }
            )
            .unwrap();
        }
        for (name, ty, docs) in &rows {
            assert!(!docs.is_empty(), "{name} has no documentation");
            let ty = if ty.is_empty() { String::new() } else { format!("`{ty}`") };
            writeln!(
                self.text,
                "{}",
                if typed { format!("| `{name}` | {ty} | {docs} |") } else { format!("| `{name}` | {docs} |") }
            )
            .unwrap();
        }
        if !rows.is_empty() {
            self.text.push('\n');
        }
    }

    fn docs(&mut self, docs: &Docs) {
        let text = docs.contents.as_deref().unwrap_or_default().trim();
        assert!(!text.is_empty(), "something has no documentation");
        writeln!(self.text, "{text}\n").unwrap();
    }

    /// The type as it is written in the contract.
    fn name(&self, ty: &Type) -> String {
        let Type::Id(id) = ty else { return primitive(ty).to_owned() };
        let ty = &self.resolve.types[*id];
        if let Some(name) = &ty.name {
            return name.clone();
        }
        let maybe = |ty: &Option<Type>| ty.as_ref().map_or("_".to_owned(), |ty| self.name(ty));
        match &ty.kind {
            TypeDefKind::Option(inner) => format!("option<{}>", self.name(inner)),
            TypeDefKind::List(inner) => format!("list<{}>", self.name(inner)),
            TypeDefKind::Result(result) => format!("result<{}, {}>", maybe(&result.ok), maybe(&result.err)),
            other => panic!("the page does not know how to name {}", other.as_str()),
        }
    }
}

fn primitive(ty: &Type) -> &'static str {
    match ty {
        Type::Bool => "bool",
        Type::U8 => "u8",
        Type::U16 => "u16",
        Type::U32 => "u32",
        Type::S32 => "s32",
        Type::F64 => "f64",
        Type::Char => "char",
        Type::String => "string",
        other => panic!("the contract avoids {other:?}"),
    }
}

fn one_line(docs: &Docs) -> String {
    docs.contents.as_deref().unwrap_or_default().trim().replace('\n', " ")
}
