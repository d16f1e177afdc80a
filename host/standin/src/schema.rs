//! The six tables of schema `notify`: columns, types, defaults and constraints, as the host platform has them.
//!
//! It knows shapes only; rows live in `database`.

use std::sync::LazyLock;

/// PostgreSQL type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    BigInt,
    Int,
    Text,
    Ltree,
    Bool,
    Uuid,
    Timestamp,
    Jsonb,
    Label(&'static Labels),
    Array(Element),
}

/// Type of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    Text,
    Uuid,
    Label(&'static Labels),
}

/// An enum type of schema `shared_types`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Labels {
    pub(crate) name: &'static str,
    /// In the order PostgreSQL sorts them.
    pub(crate) labels: &'static [&'static str],
}

impl Labels {
    /// Position of a label, which is how values of the type are kept and compared.
    pub(crate) fn position(&self, label: &str) -> Option<u8> {
        // An enum of this schema has fewer than ten labels.
        self.labels.iter().position(|known| *known == label).map(|position| position as u8)
    }
}

pub(crate) static NOTIFICATION_STATUS: Labels =
    Labels { name: "notification_status", labels: &["PENDING", "PROCESSING", "SENT", "FAILED", "RETRACTED"] };
static PUBLISH_STATUS: Labels =
    Labels { name: "publish_status", labels: &["NONE", "DRAFT", "DISCARD", "PUBLISH", "DELETED", "REVIEW"] };
static CHANNEL_TYPE: Labels =
    Labels { name: "notification_channel_type", labels: &["IN_APP", "EMAIL", "SMS", "CHAT", "PUSH"] };
static WORKFLOW_TYPE: Labels = Labels { name: "notification_workflow_type", labels: &["STATIC", "DYNAMIC"] };

/// What a column holds when an INSERT does not name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Default {
    Null,
    Identity,
    Now,
    False,
    Int(i64),
    Label(&'static str),
    Labels(&'static [&'static str]),
    /// `GENERATED ALWAYS … STORED`: never written, always computed.
    Generated,
}

/// One column.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) nullable: bool,
    pub(crate) default: Default,
}

/// What happens to a row whose referenced row is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnDelete {
    SetNull,
    Cascade,
}

/// A foreign key on another table's `id`.
#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) constraint: String,
    pub(crate) column: usize,
    pub(crate) target: TableId,
    pub(crate) on_delete: OnDelete,
}

/// A UNIQUE constraint. Rows with a NULL in one of its columns never collide.
#[derive(Debug)]
pub(crate) struct Unique {
    pub(crate) constraint: String,
    pub(crate) columns: Vec<usize>,
}

/// One table. Column 0 is the primary key `id` in all of them.
#[derive(Debug)]
pub(crate) struct TableSchema {
    pub(crate) id: TableId,
    pub(crate) name: &'static str,
    pub(crate) columns: Vec<Column>,
    pub(crate) unique: Vec<Unique>,
    pub(crate) references: Vec<Reference>,
    /// Where the columns stand that the stand-in itself looks at.
    pub(crate) known: KnownColumns,
}

/// Positions of columns that have a meaning beyond being stored.
#[derive(Debug)]
pub(crate) struct KnownColumns {
    pub(crate) name: usize,
    pub(crate) repr: usize,
    pub(crate) enterprise_id: usize,
    pub(crate) publish_status: usize,
    pub(crate) deactivated: usize,
    pub(crate) updated_at: usize,
    /// Only `ent_notification` has one.
    pub(crate) notification_status: Option<usize>,
}

/// Position of `id` in every table.
pub(crate) const ID: usize = 0;

/// A table of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum TableId {
    Notification,
    Rule,
    Workflow,
    Template,
    Category,
    Priority,
}

impl TableId {
    pub(crate) const ALL: [Self; 6] =
        [Self::Notification, Self::Rule, Self::Workflow, Self::Template, Self::Category, Self::Priority];

    /// The table of this name, if the schema has one.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Notification => "ent_notification",
            Self::Rule => "ent_notification_rule",
            Self::Workflow => "ent_notification_workflow",
            Self::Template => "ent_notification_template",
            Self::Category => "typ_notification_category",
            Self::Priority => "typ_notification_priority",
        }
    }

    pub(crate) fn schema(self) -> &'static TableSchema {
        static SCHEMAS: LazyLock<[TableSchema; 6]> = LazyLock::new(|| TableId::ALL.map(build));
        &SCHEMAS[self as usize]
    }
}

impl TableSchema {
    pub(crate) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

fn build(id: TableId) -> TableSchema {
    let mut columns = vec![required("id", Kind::BigInt, Default::Identity)];
    columns.push(required("name", Kind::Text, Default::Null));
    columns.push(optional("description", Kind::Text));
    columns.extend(own_columns(id));
    columns.extend(common_columns());
    let at = |name: &str| {
        columns.iter().position(|column| column.name == name).expect("the schema names only columns it has itself")
    };
    let unique = unique_columns(id).iter().map(|names| Unique {
        constraint: format!("{}_{}_key", id.name(), names.join("_")),
        columns: names.iter().map(|name| at(name)).collect(),
    });
    let references = references(id).iter().map(|(name, target, on_delete)| Reference {
        constraint: format!("{}_{name}_fkey", id.name()),
        column: at(name),
        target: *target,
        on_delete: *on_delete,
    });
    TableSchema {
        id,
        name: id.name(),
        unique: unique.collect(),
        references: references.collect(),
        known: KnownColumns {
            name: at("name"),
            repr: at("repr"),
            enterprise_id: at("enterprise_id"),
            publish_status: at("publish_status"),
            deactivated: at("deactivated"),
            updated_at: at("updated_at"),
            notification_status: (id == TableId::Notification).then(|| at("notification_status")),
        },
        columns,
    }
}

fn common_columns() -> Vec<Column> {
    vec![
        required("publish_status", Kind::Label(&PUBLISH_STATUS), Default::Label("DRAFT")),
        required("deactivated", Kind::Bool, Default::False),
        optional("business_id", Kind::Uuid),
        Column { name: "repr", kind: Kind::Text, nullable: true, default: Default::Generated },
        optional("enterprise_id", Kind::Uuid),
        required("created_at", Kind::Timestamp, Default::Now),
        required("updated_at", Kind::Timestamp, Default::Now),
        optional("created_by", Kind::Uuid),
        optional("updated_by", Kind::Uuid),
    ]
}

fn own_columns(id: TableId) -> Vec<Column> {
    match id {
        TableId::Notification => notification_columns(),
        TableId::Rule => vec![
            required("notification_workflow_id", Kind::BigInt, Default::Null),
            required("trigger_type", Kind::Text, Default::Null),
            optional("trigger_config", Kind::Jsonb),
            optional("rule_payload", Kind::Jsonb),
        ],
        TableId::Workflow => vec![
            optional("typ_notification_category_id", Kind::BigInt),
            required("workflow_type", Kind::Label(&WORKFLOW_TYPE), Default::Null),
            required("workflow_key", Kind::Text, Default::Null),
            optional("default_channels", Kind::Array(Element::Label(&CHANNEL_TYPE))),
            optional("payload_schema", Kind::Jsonb),
            optional("control_schema", Kind::Jsonb),
            optional("template_overrides", Kind::Jsonb),
        ],
        TableId::Template => vec![
            optional("template_key", Kind::Text),
            optional("typ_notification_category_id", Kind::BigInt),
            required("channel_type", Kind::Label(&CHANNEL_TYPE), Default::Null),
            optional("subject_template", Kind::Text),
            required("body_template", Kind::Text, Default::Null),
            optional("variables_description", Kind::Jsonb),
        ],
        TableId::Category => vec![
            optional("code", Kind::Text),
            optional("path", Kind::Ltree),
            optional("path_text", Kind::Text),
            optional("sort_order", Kind::Int),
        ],
        TableId::Priority => vec![optional("code", Kind::Text), optional("sort_order", Kind::Int)],
    }
}

fn notification_columns() -> Vec<Column> {
    let channels = Kind::Array(Element::Label(&CHANNEL_TYPE));
    vec![
        optional("typ_notification_category_id", Kind::BigInt),
        optional("typ_notification_priority_id", Kind::BigInt),
        optional("notification_workflow_id", Kind::BigInt),
        optional("notification_rule_id", Kind::BigInt),
        required("notification_status", Kind::Label(&NOTIFICATION_STATUS), Default::Label("PENDING")),
        required("payload", Kind::Jsonb, Default::Null),
        required("recipients", Kind::Array(Element::Uuid), Default::Null),
        Column { name: "channels", kind: channels, nullable: true, default: Default::Labels(&["IN_APP"]) },
        optional("overrides", Kind::Jsonb),
        optional("tags", Kind::Array(Element::Text)),
        optional("transaction_id", Kind::Text),
        optional("scheduled_for", Kind::Timestamp),
        optional("processed_at", Kind::Timestamp),
        optional("retracted_at", Kind::Timestamp),
        optional("retraction_reason", Kind::Text),
        optional("error_details", Kind::Jsonb),
        Column { name: "workflow_version", kind: Kind::Int, nullable: true, default: Default::Int(1) },
    ]
}

fn unique_columns(id: TableId) -> &'static [&'static [&'static str]] {
    match id {
        TableId::Notification | TableId::Rule => &[&["name", "enterprise_id"]],
        TableId::Workflow => &[&["workflow_key"], &["name", "enterprise_id"]],
        TableId::Template => &[&["template_key"], &["name", "enterprise_id", "typ_notification_category_id"]],
        TableId::Category | TableId::Priority => &[&["code"]],
    }
}

fn references(id: TableId) -> &'static [(&'static str, TableId, OnDelete)] {
    match id {
        TableId::Notification => &[
            ("typ_notification_category_id", TableId::Category, OnDelete::SetNull),
            ("typ_notification_priority_id", TableId::Priority, OnDelete::SetNull),
            ("notification_workflow_id", TableId::Workflow, OnDelete::SetNull),
            ("notification_rule_id", TableId::Rule, OnDelete::SetNull),
        ],
        TableId::Rule => &[("notification_workflow_id", TableId::Workflow, OnDelete::Cascade)],
        TableId::Workflow | TableId::Template => {
            &[("typ_notification_category_id", TableId::Category, OnDelete::SetNull)]
        }
        TableId::Category | TableId::Priority => &[],
    }
}

fn required(name: &'static str, kind: Kind, default: Default) -> Column {
    Column { name, kind, nullable: false, default }
}

fn optional(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, nullable: true, default: Default::Null }
}
