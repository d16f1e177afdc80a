//! Components no toolchain would make, as bytes.

use crate::support::bombs::{PREAMBLE, leb};
use crate::support::components::{contract, stub};
use crate::support::guests;

/// A component of the contract whose functions trap: small, and right in everything else.
pub(super) fn plain() -> Vec<u8> {
    stub(&[&contract()], "rules")
}

/// The first bytes of a component.
pub(super) fn truncated(keep: impl Fn(usize) -> usize) -> Vec<u8> {
    let whole = plain();
    whole[..keep(whole.len())].to_vec()
}

/// A component in which every thousandth byte has one bit flipped.
pub(super) fn flipped() -> Vec<u8> {
    let mut bytes = guests::hostile().to_vec();
    bytes.iter_mut().skip(999).step_by(1000).for_each(|byte| *byte ^= 0x10);
    bytes
}

/// A component that was blown up to so many MiB by a section that means nothing.
pub(super) fn of_mib(mib: usize) -> Vec<u8> {
    let mut bytes = plain();
    bytes.push(0);
    let data = vec![0_u8; mib << 20];
    leb(&mut bytes, data.len() + 2);
    bytes.extend([1, b'x']);
    bytes.extend(data);
    bytes
}

/// A pair of pairs of pairs: so many levels double the size of a value so many times.
pub(super) fn doubling_types(levels: usize) -> Vec<u8> {
    let types: String =
        (1..=levels).map(|level| format!("(type $t{level} (tuple $t{0} $t{0}))\n", level - 1)).collect();
    wat::parse_str(format!("(component (type $t0 (tuple u64 u64))\n{types})")).unwrap()
}

/// Imports so many functions under long names, none of which the host gives.
pub(super) fn many_imports(count: usize) -> Vec<u8> {
    let name = "n".repeat(100);
    let imports: String = (0..count).map(|number| format!("(import \"{name}-a{number}\" (func))\n")).collect();
    wat::parse_str(format!("(component {imports})")).unwrap()
}

/// Imports something under a name that would paint an operator's terminal.
pub(super) fn painted_name() -> Vec<u8> {
    let mut bytes = PREAMBLE.to_vec();
    let name = "\u{1b}[2J\u{1b}[31mall is well\nreally".as_bytes();
    let mut section = vec![1, 0];
    leb(&mut section, name.len());
    section.extend(name);
    section.extend([1, 0]);
    // A type first, for the import to be of: a function without parameters and results.
    bytes.extend([7, 5, 1, 0x40, 0, 1, 0]);
    bytes.push(10);
    leb(&mut bytes, section.len());
    bytes.extend(section);
    bytes
}

/// Asks for a core module instead of a function.
pub(super) fn imports_a_module() -> Vec<u8> {
    wat::parse_str("(component (import \"preview1\" (core module (export \"fd-write\" (func)))))").unwrap()
}

/// A core module as a compiler makes it, before it becomes a component.
pub(super) fn core_module() -> Vec<u8> {
    wat::parse_str("(module (func (export \"admit\")))").unwrap()
}

/// Machine code, as an author's own engine would have made it.
pub(super) fn machine_code() -> Vec<u8> {
    wasmtime::Engine::default().precompile_component(&plain()).unwrap()
}

/// A world that imports an interface of another package beside what rules need.
pub(super) fn importing(package: &str, interface: &str) -> Vec<u8> {
    let (name, version) = package.split_once('@').unwrap();
    let theirs = format!("package {package};\ninterface {interface} {{ call: func(); }}");
    let world = format!(
        "package test:odd;\nworld odd {{ include xnovu:rules/rules@0.1.0; import {name}/{interface}@{version}; }}"
    );
    stub(&[&contract(), &theirs, &world], "odd")
}

/// The contract with its text changed.
pub(super) fn changed(change: impl Fn(String) -> String) -> Vec<u8> {
    stub(&[&change(contract())], "rules")
}

/// Exports so many functions under names of so many bytes.
pub(super) fn long_exports(count: usize, bytes: usize) -> Vec<u8> {
    let name = "n".repeat(bytes);
    let exports: String = (0..count).map(|number| format!("(export \"{name}-a{number}\" (func $f))\n")).collect();
    let module = "(core module $m (func (export \"f\"))) (core instance $i (instantiate $m))";
    wat::parse_str(format!("(component {module} (func $f (canon lift (core func $i \"f\"))) {exports})")).unwrap()
}
