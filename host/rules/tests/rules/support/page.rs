//! Pages of the documentation that are made from what they describe.

use std::fs;
use std::path::Path;

/// Set to anything, it has the pages written instead of compared.
const UPDATE: &str = "XNOVU_UPDATE_DOCS";

/// Fails unless a page of `docs/` reads so.
#[track_caller]
#[allow(clippy::disallowed_methods, reason = "a switch for who changes what the pages are made from")]
pub(crate) fn reads(name: &str, wanted: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&page, wanted).unwrap();
    }
    let found = fs::read_to_string(&page).unwrap_or_default();
    let first = found.lines().zip(wanted.lines()).position(|(found, wanted)| found != wanted);
    let line = first.unwrap_or_else(|| found.lines().count().min(wanted.lines().count())) + 1;
    assert!(
        found == wanted,
        "docs/{name} is not what it is made from, from line {line} on; {UPDATE}=1 cargo test --workspace --test rules writes it anew"
    );
}
