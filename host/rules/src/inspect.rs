//! What a component is, read from its bytes without compiling or running it.
//!
//! Owns the checks that come before compilation: that the bytes are a component, that it imports nothing but capabilities, that it
//! exports the contract. Promises to name every import that is not allowed, not just the first.

use std::fmt;

use thiserror::Error;
use wasmparser::component_types::{ComponentEntityType, ComponentInstanceTypeId};
use wasmparser::types::Types;
use wasmparser::{BinaryReaderError, KnownCustom, Parser, Payload, ProducersSectionReader, Validator};

use crate::Digest;
use crate::capability::{self, CONTRACT_PACKAGE, CONTRACT_VERSION, RULESET};
use crate::ruling::guest_words;

/// Names of a component's that one message tells, in bytes. What a standard library imports in all fits.
const NAMES_BYTES_MAX: usize = 1_500;

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
#[derive(Debug, Clone, PartialEq, Eq, Error)]
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
    #[error("it imports what a rule may not have: {}", named(.0))]
    ForbiddenImports(Vec<String>),
    /// It does not export the contract.
    #[error("it does not export {CONTRACT_PACKAGE}/{RULESET}@{CONTRACT_VERSION}; it exports {}", exported(.0))]
    WrongWorld(Vec<String>),
}

fn exported(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { named(names) }
}

/// The names, as many as a person would read.
fn named(names: &[String]) -> String {
    let mut bytes = 0;
    let fits = |name: &&String| {
        bytes += name.len() + 2;
        bytes <= NAMES_BYTES_MAX
    };
    let shown: Vec<_> = names.iter().take_while(fits).map(String::as_str).collect();
    match names.len() - shown.len() {
        0 => shown.join(", "),
        more if shown.is_empty() => format!("{more} under very long names"),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Reads what a component is. It may still be one that is refused: see [`Inspection::check`].
///
/// # Errors
/// The bytes are no valid component.
pub fn inspect(wasm: &[u8]) -> Result<Inspection, InspectError> {
    if wasmtime::Engine::detect_precompiled(wasm).is_some() {
        return Err(InspectError::Precompiled);
    }
    if !wasm.starts_with(b"\0asm") {
        return Err(InspectError::NotWasm);
    }
    if Parser::is_core_wasm(wasm) {
        return Err(InspectError::CoreModule);
    }
    let invalid = |error: BinaryReaderError| InspectError::Invalid(guest_words(&error.to_string()));
    let types = Validator::new().validate_all(wasm).map_err(invalid)?;
    let Outline { imports, exports, producers } = outline(wasm).map_err(invalid)?;
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
        let forbidden: Vec<_> =
            self.imports.iter().filter(|import| import.gives.is_none()).map(ToString::to_string).collect();
        if !forbidden.is_empty() {
            return Err(InspectError::ForbiddenImports(forbidden));
        }
        let fits = |version: &String| {
            version.parse().is_ok_and(|it: semver::Version| {
                it.major == CONTRACT_VERSION.major && it.minor == CONTRACT_VERSION.minor && it.pre.is_empty()
            })
        };
        if self.contract.as_ref().is_some_and(fits) {
            Ok(())
        } else {
            Err(InspectError::WrongWorld(self.exports.clone()))
        }
    }
}

/// The whole in words, a line each.
impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "digest    {}", self.digest)?;
        writeln!(f, "size      {} bytes", self.bytes)?;
        writeln!(f, "contract  {}", self.contract.as_deref().unwrap_or("none"))?;
        for producer in &self.producers {
            writeln!(f, "made by   {producer}")?;
        }
        for import in &self.imports {
            writeln!(f, "imports   {import}: {}", import.gives.unwrap_or("not allowed"))?;
        }
        for export in &self.exports {
            writeln!(f, "exports   {export}")?;
        }
        Ok(())
    }
}

/// The name and, in parentheses, the functions used of it.
impl fmt::Display for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.functions.is_empty() { Ok(()) } else { write!(f, " ({})", self.functions.join(", ")) }
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
}

fn outline(wasm: &[u8]) -> Result<Outline, BinaryReaderError> {
    let (mut outline, mut depth) = (Outline::default(), 0_u32);
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::Version { .. } => depth += 1,
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
    let version = export.strip_prefix(CONTRACT_PACKAGE)?.strip_prefix('/')?.strip_prefix(RULESET)?.strip_prefix('@')?;
    Some(version.to_owned())
}
