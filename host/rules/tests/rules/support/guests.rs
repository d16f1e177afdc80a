//! Builds the guests of `tests/guests`, once a run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use wit_component::ComponentEncoder;

/// The hostile component without WASI.
pub(crate) fn hostile() -> &'static [u8] {
    static WASM: OnceLock<Vec<u8>> = OnceLock::new();
    WASM.get_or_init(|| {
        let module = build("wasm32-unknown-unknown", &[]);
        ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
    })
}

/// The hostile component with the WASI its standard library needs.
pub(crate) fn hostile_wasi() -> &'static [u8] {
    static WASM: OnceLock<Vec<u8>> = OnceLock::new();
    WASM.get_or_init(|| build("wasm32-wasip2", &[]))
}

/// The hostile component with code that reads files.
pub(crate) fn hostile_files() -> &'static [u8] {
    static WASM: OnceLock<Vec<u8>> = OnceLock::new();
    WASM.get_or_init(|| build("wasm32-wasip2", &["files"]))
}

/// Where guests are built, and where what is compiled of them is kept from run to run.
pub(crate) fn target_dir() -> PathBuf {
    root().join("target/guests")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn build(target: &str, features: &[&str]) -> Vec<u8> {
    // Each set of features has a directory of its own, or two tests would overwrite each other's result.
    let target_dir = target_dir().join(format!("hostile-{}", features.join("-")));
    let output = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--locked", "--target", target, "--features", &features.join(",")])
        .arg("--manifest-path")
        .arg(root().join("tests/guests/hostile/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target_dir)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .unwrap();
    assert!(output.status.success(), "the guest does not build: {}", String::from_utf8_lossy(&output.stderr));
    fs::read(target_dir.join(target).join("release/hostile.wasm")).unwrap()
}
