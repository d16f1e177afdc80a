//! Builds the guests of `tests/guests`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wit_component::ComponentEncoder;

/// A guest without WASI, as a component.
pub(crate) fn plain(guest: &str) -> Vec<u8> {
    component(&build(guest, "wasm32-unknown-unknown", ""))
}

/// A module, as a component.
pub(crate) fn component(module: &[u8]) -> Vec<u8> {
    ComponentEncoder::default().validate(true).module(module).unwrap().encode().unwrap()
}

/// Where guests are built, and where what is compiled of them is kept from run to run.
pub(crate) fn target_dir() -> PathBuf {
    root().join("target/guests")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// Builds a guest and returns what the compiler made of it.
pub(crate) fn build(guest: &str, target: &str, features: &str) -> Vec<u8> {
    // Each set of features has a directory of its own, or two tests would overwrite each other's result.
    build_as(&format!("{guest}-{features}"), guest, target, &["--features", features], "")
}

/// The same with any arguments for cargo and flags for the compiler, in a directory of that name.
pub(crate) fn build_as(name: &str, guest: &str, target: &str, arguments: &[&str], flags: &str) -> Vec<u8> {
    let target_dir = target_dir().join(name);
    let output = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--target", target])
        .args(arguments)
        .arg("--manifest-path")
        .arg(root().join("tests/guests").join(guest).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target_dir)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", flags)
        .output()
        .unwrap();
    assert!(output.status.success(), "{guest} does not build: {}", String::from_utf8_lossy(&output.stderr));
    fs::read(target_dir.join(target).join("release").join(format!("{guest}.wasm"))).unwrap()
}
