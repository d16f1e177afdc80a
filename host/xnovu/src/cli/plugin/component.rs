//! From what the compiler made to a component that says what it is.
//!
//! Owns the metadata inside of a component: the standard sections `component-name`, `producers`, `version` and `description`, and
//! `xnovu:manifest`, a JSON object with what plugin.toml says. Deterministic: the same input gives the same bytes.

use std::borrow::Cow;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wasm_encoder::{CustomSection, Encode, Section};
use wasm_metadata::{AddMetadata, AddMetadataField};
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;
use xnovu_rules::inspect;

use super::project::Project;
use super::schema;

/// Name of the section with what plugin.toml says.
const MANIFEST_SECTION: &str = "xnovu:manifest";

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
/// The schema of the config cannot be read or is no JSON object.
pub(super) fn stamp(component: Vec<u8>, project: &Project) -> anyhow::Result<Vec<u8>> {
    let manifest = &project.manifest;
    let label = Label {
        name: manifest.name.clone(),
        version: manifest.version.to_string(),
        description: manifest.description.clone(),
        contract: CONTRACT.to_owned(),
        config_schema: schema::read(project)?,
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
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(component) {
        match payload.ok()? {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(section) if depth == 1 && section.name() == MANIFEST_SECTION => {
                return serde_json::from_slice(section.data()).ok();
            }
            _ => {}
        }
    }
    None
}

fn append(component: &mut Vec<u8>, name: &str, data: &[u8]) {
    let section = CustomSection { name: Cow::Borrowed(name), data: Cow::Borrowed(data) };
    component.push(section.id());
    section.encode(component);
}
