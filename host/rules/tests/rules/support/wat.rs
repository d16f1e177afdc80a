//! The guests of `tests/guests/wat`: a few lines of a core module each, which do what no compiler would.
//!
//! A file holds the fields of a module that matter. What a component needs besides is added: room for the event, and answers to the
//! questions it does not answer itself (it accepts its config, delivers, and sends nothing).

use std::fs;
use std::path::{Path, PathBuf};

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// What each part of a guest looks like if its file says nothing of it: the export that tells, and the field.
const DEFAULTS: [(&str, &str); 5] = [
    ("\"memory\"", "(memory (export \"memory\") 2)"),
    (
        "\"cabi_realloc\"",
        "(global $free (mut i32) (i32.const 8192))
         (func (export \"cabi_realloc\") (param i32 i32 i32) (param $bytes i32) (result i32)
           (local $at i32)
           (local.set $at (i32.and (i32.add (global.get $free) (i32.const 15)) (i32.const -16)))
           (global.set $free (i32.add (local.get $at) (local.get $bytes)))
           (local.get $at))",
    ),
    (
        "#validate-config\"",
        "(func (export \"xnovu:rules/ruleset@0.1.0#validate-config\") (param i32 i32) (result i32) (i32.const 64))",
    ),
    (
        "(export \"xnovu:rules/ruleset@0.1.0#admit\")",
        "(func (export \"xnovu:rules/ruleset@0.1.0#admit\") (param i32) (result i32) (i32.const 64))",
    ),
    ("#transform\"", "(func (export \"xnovu:rules/ruleset@0.1.0#transform\") (param i32) (result i32) (i32.const 64))"),
];

/// The world of these guests: that of rules, and the whole of WASI that the host answers.
const WORLD: &str =
    "package test:guest;\nworld guest {\n include xnovu:rules/rules@0.1.0;\n include xnovu:wasi/subset;\n}";

/// What a guest does: the comment its file begins with.
pub(crate) fn says(name: &str) -> String {
    let text = read(name);
    let comments = text.lines().map_while(|line| line.strip_prefix(";;"));
    comments.map(str::trim).collect::<Vec<_>>().join(" ")
}

/// The component of a guest.
pub(crate) fn component(name: &str) -> Vec<u8> {
    of_fields(&read(name))
}

/// The component of a module with these fields.
pub(crate) fn of_fields(fields: &str) -> Vec<u8> {
    let missing = DEFAULTS.iter().filter(|(tell, _)| !fields.contains(tell)).map(|(_, field)| *field);
    let text = format!("(module\n{fields}\n{})", missing.collect::<Vec<_>>().join("\n"));
    let mut module = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"));
    let mut resolve = Resolve::default();
    for file in ["tests/guests/wat/wasi.wit", "wit/rules.wit"] {
        resolve.push_str(file, &fs::read_to_string(root().join(file)).unwrap()).unwrap();
    }
    let package = resolve.push_str("guest.wit", WORLD).unwrap();
    let world = resolve.select_world(&[package], Some("guest")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

/// The names of all of them.
pub(crate) fn names() -> Vec<String> {
    let files = fs::read_dir(root().join("tests/guests/wat")).unwrap().map(|entry| entry.unwrap().path());
    let guests = files.filter(|file| file.extension().is_some_and(|extension| extension == "wat"));
    let mut names: Vec<_> = guests.map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join("tests/guests/wat").join(format!("{name}.wat"))).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}
