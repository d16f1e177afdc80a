//! What makes this package one that can be copied beside a plugin and built there.

use std::fs;
use std::path::Path;

fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_package_carries_the_contract_byte_for_byte() {
    assert!(text("wit/rules.wit") == text("../../wit/rules.wit"), "run: cp wit/rules.wit sdk/rust/wit/rules.wit");
}

#[test]
fn no_manifest_needs_a_workspace() {
    for manifest in ["Cargo.toml", "../rust-macros/Cargo.toml"] {
        assert!(!text(manifest).contains("workspace = true"), "{manifest} inherits from a workspace");
    }
}
