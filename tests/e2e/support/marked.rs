//! Components that say which version of them decided, made without a compiler from one that was built.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use wasm_encoder::{Component, ComponentImportSection, ComponentTypeRef, ComponentTypeSection, InstanceType};
use wit_component::ComponentEncoder;

use super::House;

/// The mark in the component as it is built.
const MARK: &[u8; 16] = b"good-mark-000000";

/// A component whose decisions carry a mark: what it does (`good`, `trap`, `loop`, `late`, `bomb`) and a number.
pub fn component(does: &str, number: usize) -> Vec<u8> {
    let mark = mark(does, number);
    let mut wasm = built().to_vec();
    let at = wasm.windows(MARK.len()).position(|bytes| bytes == MARK).expect("the mark stands in the component");
    wasm[at..at + MARK.len()].copy_from_slice(mark.as_bytes());
    wasm
}

/// The mark of such a component.
pub fn mark(does: &str, number: usize) -> String {
    format!("{does}-mark-{number:06}")
}

/// A component that wants the network.
pub fn that_wants_sockets() -> Vec<u8> {
    let mut types = ComponentTypeSection::new();
    types.instance(&InstanceType::new());
    let mut imports = ComponentImportSection::new();
    imports.import("wasi:sockets/tcp@0.2.0", ComponentTypeRef::Instance(0));
    let mut component = Component::new();
    component.section(&types).section(&imports);
    component.finish()
}

/// Puts a plugin where the house's processes look for it, by renames.
pub fn put(house: &House, name: &str, version: &str, wasm: &[u8]) {
    let dir = house.plugins().join(name);
    fs::create_dir_all(&dir).unwrap();
    replace(&dir.join("plugin.toml"), manifest(name, version).as_bytes());
    replace(&dir.join(format!("{name}.wasm")), wasm);
}

pub fn manifest(name: &str, version: &str) -> String {
    format!("name = \"{name}\"\nversion = \"{version}\"\ndescription = \"A test.\"\n")
}

/// Writes beside the place and renames.
pub fn replace(path: &Path, bytes: &[u8]) {
    let beside = path.with_extension("tmp");
    fs::write(&beside, bytes).unwrap();
    fs::rename(beside, path).unwrap();
}

/// Binds each enterprise to a plugin of the marked kind.
pub fn bind(house: &House, bound: &[(&str, &str)]) {
    let bound: Vec<_> = bound.iter().map(|(enterprise, plugin)| (*enterprise, *plugin, "hold")).collect();
    bind_with(house, &bound);
}

/// The same, with what becomes of a notification whose rules cannot answer.
pub fn bind_with(house: &House, bound: &[(&str, &str, &str)]) {
    let entry = |(enterprise, plugin, on_error): &(&str, &str, &str)| {
        format!(
            "[enterprises.\"{enterprise}\"]\nplugin = \"{plugin}\"\non_error = \"{on_error}\"\nlimits = {{ wall_ms = 2_000 }}\n"
        )
    };
    fs::create_dir_all(house.plugins()).unwrap();
    replace(&house.plugins().join("bindings.toml"), bound.iter().map(entry).collect::<String>().as_bytes());
}

/// The component, built once a run.
fn built() -> &'static [u8] {
    static COMPONENT: OnceLock<Vec<u8>> = OnceLock::new();
    COMPONENT.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let target = root.join("target/guests/marked-");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--release", "--locked", "--target", "wasm32-unknown-unknown", "--target-dir"]);
        build.arg(&target).arg("--manifest-path").arg(root.join("tests/guests/marked/Cargo.toml"));
        let output = build.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").output().unwrap();
        assert!(output.status.success(), "marked does not build: {}", String::from_utf8_lossy(&output.stderr));
        let module = fs::read(target.join("wasm32-unknown-unknown/release/marked.wasm")).unwrap();
        ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
    })
}
