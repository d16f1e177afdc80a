//! Pages of the documentation that are made from what they describe.

use std::fs;
use std::path::Path;

/// Fails unless a page of `docs/` reads so. What it should read is left in the target directory, to be looked at and copied.
#[track_caller]
pub(crate) fn reads(name: &str, wanted: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let found = fs::read_to_string(root.join("docs").join(name)).unwrap_or_default();
    if found == wanted {
        return;
    }
    let made = root.join("target/docs");
    fs::create_dir_all(&made).unwrap();
    fs::write(made.join(name), wanted).unwrap();
    let first = found.lines().zip(wanted.lines()).position(|(found, wanted)| found != wanted);
    let line = first.unwrap_or_else(|| found.lines().count().min(wanted.lines().count())) + 1;
    panic!(
        "docs/{name} is not what it is made from, from line {line} on; look at it, then: cp target/docs/{name} docs/{name}"
    );
}
