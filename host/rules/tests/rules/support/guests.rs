//! The hostile guest in its three forms, each built once a run.

use std::sync::OnceLock;

use super::build;

/// Without WASI.
pub(crate) fn hostile() -> &'static [u8] {
    static WASM: OnceLock<Vec<u8>> = OnceLock::new();
    WASM.get_or_init(|| build::plain("hostile"))
}

/// With the WASI its standard library needs.
pub(crate) fn hostile_wasi() -> &'static [u8] {
    static WASM: OnceLock<Vec<u8>> = OnceLock::new();
    WASM.get_or_init(|| build::build("hostile", "wasm32-wasip2", ""))
}

/// With code that reads files.
pub(crate) fn hostile_files() -> &'static [u8] {
    static WASM: OnceLock<Vec<u8>> = OnceLock::new();
    WASM.get_or_init(|| build::build("hostile", "wasm32-wasip2", "files"))
}
