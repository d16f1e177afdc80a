//! What a component is, read from its bytes without compiling or running it.
//!
//! Owns the checks that come before compilation: that the bytes are a component, that it imports nothing but capabilities, that it
//! exports the contract. Promises to name every import that is not allowed, not just the first. Reading a hostile component can cost as
//! much as compiling it, down to the process's stack: a host does it where it compiles, in a bounded child.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use wasmparser::component_types::{ComponentEntityType, ComponentInstanceTypeId};
use wasmparser::types::Types;
use wasmparser::{BinaryReaderError, KnownCustom, Parser, Payload, ProducersSectionReader, Validator};

use crate::Digest;
use crate::capability::{self, CONTRACT_PACKAGE, CONTRACT_VERSION, RULESET};
use crate::ruling::guest_words;

/// Names of a component's that one message tells, in bytes. What a standard library imports in all fits.
const NAMES_BYTES_MAX: usize = 1_500;

/// Components within components, so many deep at most. Composed ones have a handful; the validator's time grows with the square.
const NESTING_MAX: u32 = 100;

/// What a component is and asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// Size in bytes.
    pub bytes: u64,
    /// Version of the contract it was built for, where it exports one.
    pub contract: Option<String>,
    /// What it imports, in its own order.
    pub imports: Vec<Import>,
    /// Names of what it exports.
    pub exports: Vec<String>,
    /// What made it, as `name version`: languages, compilers, generators.
    pub producers: Vec<String>,
}

/// One interface (or bare function) a component imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Its full name, with the version.
    pub name: String,
    /// What the host gives under that name; None: the host gives nothing, and the component is refused.
    pub gives: Option<&'static str>,
    /// The functions the component uses of it.
    pub functions: Vec<String>,
}

/// Bytes that are no component this host runs.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum InspectError {
    /// Not WebAssembly at all.
    #[error("it is not WebAssembly")]
    NotWasm,
    /// Machine code, which is never taken from anybody.
    #[error("it is a precompiled artifact; only the component itself is taken")]
    Precompiled,
    /// WebAssembly, but a core module.
    #[error("it is a core module, not a component")]
    CoreModule,
    /// Truncated, damaged or of a proposal this host does not know.
    #[error("it is not a valid component: {0}")]
    Invalid(String),
    /// It imports what the host does not give.
    #[error("it imports what a rule may not have: {0}")]
    ForbiddenImports(Names),
    /// It was built for a version of the contract that this host does not have, and asks for nothing else that is missing.
    #[error("it was built for {CONTRACT_PACKAGE}@{version}; this host has {CONTRACT_VERSION} and lacks {lacks}")]
    OtherContract {
        /// The version it was built for.
        version: String,
        /// What of it this host does not have.
        lacks: Names,
    },
    /// It does not export the contract.
    #[error("it does not export {CONTRACT_PACKAGE}/{RULESET}@{CONTRACT_VERSION}; it exports {0}")]
    WrongWorld(Names),
}

/// Names of a component's, as many as a person would read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// The first of them, 1,500 bytes at most.
    pub shown: Vec<String>,
    /// How many more there are.
    pub more: usize,
}

impl Names {
    fn of(names: impl ExactSizeIterator<Item = String>) -> Self {
        let (mut bytes, all) = (0, names.len());
        let fits = |name: &String| {
            bytes += name.len() + 2;
            bytes <= NAMES_BYTES_MAX
        };
        let shown: Vec<_> = names.take_while(fits).map(|name| plain(&name)).collect();
        Self { more: all - shown.len(), shown }
    }
}

/// A name as it may be shown: a component's names may hold what would move a terminal's cursor or forge a line.
fn plain(name: &str) -> String {
    name.replace(|c: char| c.is_control(), " ")
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.shown[..], self.more) {
            ([], 0) => f.write_str("nothing"),
            ([], more) => write!(f, "{more} under very long names"),
            (shown, 0) => f.write_str(&shown.join(", ")),
            (shown, more) => write!(f, "{} and {more} more", shown.join(", ")),
        }
    }
}

/// What the first bytes of a file tell of it.
///
/// # Errors
/// It is no component, however it goes on.
pub(crate) fn look(wasm: &[u8]) -> Result<(), InspectError> {
    if wasmtime::Engine::detect_precompiled(wasm).is_some() {
        return Err(InspectError::Precompiled);
    }
    if !wasm.starts_with(b"\0asm") {
        return Err(InspectError::NotWasm);
    }
    if Parser::is_core_wasm(wasm) {
        return Err(InspectError::CoreModule);
    }
    Ok(())
}

/// Reads what a component is. It may still be one that is refused: see [`Inspection::check`].
///
/// # Errors
/// The bytes are no valid component.
pub fn inspect(wasm: &[u8]) -> Result<Inspection, InspectError> {
    look(wasm)?;
    let invalid = |error: BinaryReaderError| InspectError::Invalid(guest_words(&error.to_string()));
    let Outline { imports, exports, producers, nesting } = outline(wasm).map_err(invalid)?;
    if nesting > NESTING_MAX {
        return Err(InspectError::Invalid(format!("components are nested in it {nesting} deep")));
    }
    let types = Validator::new().validate_all(wasm).map_err(invalid)?;
    let functions = |name: &str| match types.component_item_for_import(name).map(|item| item.ty) {
        Some(ComponentEntityType::Instance(id)) => functions_of(&types, id),
        _ => Vec::new(),
    };
    let imports = imports.into_iter().map(|name| Import {
        gives: capability::find(&name).map(|capability| capability.words),
        functions: functions(&name),
        name,
    });
    Ok(Inspection {
        digest: Digest::of(wasm),
        bytes: u64::try_from(wasm.len()).unwrap_or(u64::MAX),
        contract: exports.iter().find_map(|name| contract_version(name)),
        imports: imports.collect(),
        exports,
        producers,
    })
}

impl Inspection {
    /// Whether the host can run the component.
    ///
    /// # Errors
    /// Imports that are no capabilities, all of them; or the contract is not exported.
    pub fn check(&self) -> Result<(), InspectError> {
        let refused: Vec<_> = self.imports.iter().filter(|import| import.gives.is_none()).collect();
        let names = || refused.iter().map(ToString::to_string);
        let of_contract = refused.iter().all(|import| in_contract(&import.name).is_some());
        let built_for = self.contract.as_deref().or_else(|| refused.iter().find_map(|it| in_contract(&it.name)?.1));
        match built_for {
            Some(version) if of_contract && !(refused.is_empty() && fits(version)) => {
                let export = (!fits(version)).then(|| format!("the question {RULESET}@{version}"));
                let lacks = names().chain(export).collect::<Vec<_>>();
                Err(InspectError::OtherContract { version: version.to_owned(), lacks: Names::of(lacks.into_iter()) })
            }
            _ if !refused.is_empty() => Err(InspectError::ForbiddenImports(Names::of(names()))),
            Some(_) => Ok(()),
            None => Err(InspectError::WrongWorld(Names::of(self.exports.iter().cloned()))),
        }
    }
}

/// Whether a component built for this version of the contract runs here, as far as it imports nothing that came later.
fn fits(version: &str) -> bool {
    let series = |it: &semver::Version| (it.major, it.minor);
    version.parse().is_ok_and(|it: semver::Version| series(&it) == series(&CONTRACT_VERSION) && it.pre.is_empty())
}

/// The whole in words, a line each.
impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "digest    {}", self.digest)?;
        writeln!(f, "size      {} bytes", self.bytes)?;
        writeln!(f, "contract  {}", plain(self.contract.as_deref().unwrap_or("none")))?;
        for producer in &self.producers {
            writeln!(f, "made by   {}", plain(producer))?;
        }
        for import in &self.imports {
            writeln!(f, "imports   {import}: {}", import.gives.unwrap_or("not allowed"))?;
        }
        for export in &self.exports {
            writeln!(f, "exports   {}", plain(export))?;
        }
        Ok(())
    }
}

/// The name and, in parentheses, the functions used of it.
impl fmt::Display for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&plain(&self.name))?;
        if self.functions.is_empty() { Ok(()) } else { write!(f, " ({})", plain(&self.functions.join(", "))) }
    }
}

/// What can be read of a component without resolving its types.
#[derive(Default)]
struct Outline {
    /// Names of the imports and exports of the outermost component, without those of components within.
    imports: Vec<String>,
    exports: Vec<String>,
    /// Who made it and the modules within.
    producers: Vec<String>,
    /// How deep components and modules lie within each other.
    nesting: u32,
}

fn outline(wasm: &[u8]) -> Result<Outline, BinaryReaderError> {
    let (mut outline, mut depth) = (Outline::default(), 0_u32);
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::Version { .. } => {
                depth += 1;
                outline.nesting = outline.nesting.max(depth);
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    outline.imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    outline.exports.push(export?.name.name.to_owned());
                }
            }
            // Metadata is for people only: where it cannot be read, there is none.
            Payload::CustomSection(section) => {
                if let KnownCustom::Producers(section) = section.as_known() {
                    outline.producers.extend(producers(section).unwrap_or_default());
                }
            }
            _ => {}
        }
    }
    outline.producers.sort();
    outline.producers.dedup();
    Ok(outline)
}

fn producers(section: ProducersSectionReader<'_>) -> Result<Vec<String>, BinaryReaderError> {
    let mut found = Vec::new();
    for field in section {
        for value in field?.values {
            let value = value?;
            found.push(guest_words(format!("{} {}", value.name, value.version).trim_end()));
        }
    }
    Ok(found)
}

fn functions_of(types: &Types, id: ComponentInstanceTypeId) -> Vec<String> {
    let exports = types[id].exports.iter();
    exports.filter(|(_, item)| matches!(item.ty, ComponentEntityType::Func(_))).map(|(name, _)| name.clone()).collect()
}

fn contract_version(export: &str) -> Option<String> {
    let (interface, version) = in_contract(export)?;
    (interface == RULESET).then_some(version?.to_owned())
}

/// The interface and the version of a name of the contract's package.
fn in_contract(name: &str) -> Option<(&str, Option<&str>)> {
    let name = name.strip_prefix(CONTRACT_PACKAGE)?.strip_prefix('/')?;
    Some(name.split_once('@').map_or((name, None), |(interface, version)| (interface, Some(version))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_of_a_components_moves_a_cursor_or_forges_a_line() {
        let name = "relative-url=<\u{1b}[2J\nenterprise e: ready>";
        let names = || Names::of([name.to_owned()].into_iter());
        let import = Import { name: name.to_owned(), gives: None, functions: vec![name.to_owned()] };
        let inspection = Inspection {
            digest: Digest::of(b""),
            bytes: 0,
            contract: Some(name.to_owned()),
            imports: vec![import],
            exports: vec![name.to_owned()],
            producers: vec![name.to_owned()],
        };
        let shown = [
            InspectError::ForbiddenImports(names()).to_string(),
            InspectError::WrongWorld(names()).to_string(),
            inspection.check().unwrap_err().to_string(),
        ];
        assert!(shown.iter().all(|text| !text.chars().any(char::is_control)), "{shown:?}");
        let all = inspection.to_string();
        assert!(!all.contains('\u{1b}') && all.lines().count() == 6, "{all:?}");
    }
}
