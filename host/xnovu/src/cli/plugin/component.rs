//! From what the compiler made to a component that says what it is.
//!
//! Owns the metadata inside of a component: the standard sections `component-name`, `producers`, `version` and `description`, and
//! `xnovu:manifest`, a JSON object with what plugin.toml says. Deterministic: the same input gives the same bytes.

use std::borrow::Cow;
use std::fs;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wasm_encoder::{CustomSection, Encode, Section};
use wasm_metadata::{AddMetadata, AddMetadataField};
use wasmparser::Parser;
use wit_component::ComponentEncoder;
use xnovu_rules::{ConfigSchema, MANIFEST_SECTION, inspect, manifest_section};

use super::project::{Project, relative};

/// The contract components are built for.
const CONTRACT: &str = "xnovu:rules@0.1.0";

/// What plugin.toml says, as a component carries it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Label {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) description: String,
    pub(super) contract: String,
    /// JSON schema of the config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) config_schema: Option<Value>,
}

/// The component of what the compiler made: a component already for `wasm32-wasip2`, a core module for `wasm32-unknown-unknown`.
///
/// # Errors
/// The module was not made with the SDK, or it imports functions of no interface.
pub(super) fn from_compiler(wasm: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    if !Parser::is_core_wasm(&wasm) {
        return Ok(wasm);
    }
    let encoder = ComponentEncoder::default().validate(true).module(&wasm);
    let mut encoder = encoder.context("reading the compiled module")?;
    encoder.encode().context(
        "making a component of the compiled module; does the crate have `#[xnovu_sdk::rules]` on an `impl Rules for ...`?",
    )
}

/// Whether the host can run it.
///
/// # Errors
/// Every import the host does not give, or that the contract is not exported.
pub(super) fn check(component: &[u8]) -> anyhow::Result<()> {
    let checked = inspect(component).and_then(|inspection| inspection.check());
    checked.context("checking the component against the contract")
}

/// The component with its metadata.
///
/// # Errors
/// As [`config_schema`].
pub(super) fn stamp(component: Vec<u8>, project: &Project) -> anyhow::Result<Vec<u8>> {
    let manifest = &project.manifest;
    let label = Label {
        name: manifest.name.clone(),
        version: manifest.version.to_string(),
        description: manifest.description.clone(),
        contract: CONTRACT.to_owned(),
        config_schema: config_schema(project)?,
    };
    let mut metadata = AddMetadata::default();
    metadata.name = AddMetadataField::Set(label.name.clone());
    metadata.processed_by = vec![("xnovu".to_owned(), env!("CARGO_PKG_VERSION").to_owned())];
    let mut stamped = metadata.to_wasm(&component).context("writing the component's name")?;
    append(&mut stamped, "version", label.version.as_bytes());
    append(&mut stamped, "description", label.description.as_bytes());
    append(&mut stamped, MANIFEST_SECTION, &serde_json::to_vec(&label).context("writing the component's manifest")?);
    Ok(stamped)
}

/// What a component says of itself; None where it was not built by `xnovu plugin build`.
pub(super) fn label(component: &[u8]) -> Option<Label> {
    manifest_section(component).and_then(|section| serde_json::from_slice(section).ok())
}

/// The schema plugin.toml names, if it names one.
///
/// # Errors
/// It cannot be read, is no JSON schema, or holds what the host does not apply.
pub(super) fn config_schema(project: &Project) -> anyhow::Result<Option<Value>> {
    let Some(path) = &project.manifest.config_schema else { return Ok(None) };
    let path = project.dir.join(path);
    let shown = relative(&path);
    let shown = shown.display();
    let text = fs::read_to_string(&path).with_context(|| format!("reading {shown}"))?;
    let schema: serde_json::Map<_, _> =
        serde_json::from_str(&text).with_context(|| format!("reading {shown}, which must hold a JSON object"))?;
    // The host applies what is in the component, so what it would not apply is told before that is made.
    ConfigSchema::parse(&text).with_context(|| format!("reading {shown}, the config_schema of plugin.toml"))?;
    Ok(Some(Value::Object(schema)))
}

fn append(component: &mut Vec<u8>, name: &str, data: &[u8]) {
    let section = CustomSection { name: Cow::Borrowed(name), data: Cow::Borrowed(data) };
    component.push(section.id());
    section.encode(component);
}
