//! `xnovu plugin inspect`: what a component is and may do, in words.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use serde_json::{Value, json};
use xnovu_rules::{Inspection, inspect};

use super::component::{Label, label};
use super::project::{Project, relative};
use crate::cli::output::Output;

pub(super) fn run(path: &Path, output: Output) -> anyhow::Result<ExitCode> {
    let file = component_of(path)?;
    let shown = relative(&file).display().to_string();
    let wasm = fs::read(&file).with_context(|| format!("reading {shown}"))?;
    let inspection = inspect(&wasm).with_context(|| format!("looking into {shown}"))?;
    let refused = inspection.check().err().map(|error| error.to_string());
    let label = label(&wasm);
    if output.json() {
        output.line(&format!("{:#}", to_json(&shown, &inspection, label.as_ref(), refused.as_deref())));
    } else {
        for line in words(&shown, &inspection, label.as_ref(), refused.as_deref()) {
            output.line(&line);
        }
    }
    Ok(if refused.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The file itself, or the component of a plugin's directory.
fn component_of(path: &Path) -> anyhow::Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    Project::open(path)?.built()
}

/// The whole for people: a word and what it stands for on each line.
fn words(file: &str, inspection: &Inspection, label: Option<&Label>, refused: Option<&str>) -> Vec<String> {
    let mut lines = Vec::new();
    // What a component says of itself is a stranger's text, and this is a terminal.
    let shown = |text: &str| text.replace(|c: char| c.is_control(), " ");
    let mut say = |what: &str, text: &str| lines.push(format!("{what:<10}{}", shown(text)));
    match label {
        Some(label) => {
            say("plugin", &format!("{} {}", label.name, label.version));
            say("does", &label.description);
        }
        None => say("plugin", "says nothing of itself: it was not made by xnovu plugin build"),
    }
    say("file", file);
    say("size", &format!("{} bytes", inspection.bytes));
    say("sha256", &inspection.digest.to_string());
    say(
        "contract",
        &inspection.contract.as_ref().map_or("none".to_owned(), |version| format!("xnovu:rules {version}")),
    );
    for export in &inspection.exports {
        say("answers", export);
    }
    // An interface of types alone gives nothing.
    let used = inspection.imports.iter().filter(|import| import.gives.is_none() || !import.functions.is_empty());
    for import in used {
        let gives = import.gives.unwrap_or("NOTHING: the host does not give this");
        say("may have", &format!("{gives}  [{import}]"));
    }
    say("may not", "reach the network, files, processes, other enterprises' notifications or a clock that moves");
    say(
        "config",
        if label.is_some_and(|label| label.config_schema.is_some()) { "has a schema" } else { "has no schema" },
    );
    for producer in &inspection.producers {
        say("made by", producer);
    }
    match refused {
        None => say("verdict", "the host runs it"),
        Some(why) => say("verdict", &format!("the host refuses it: {why}")),
    }
    lines
}

fn to_json(file: &str, inspection: &Inspection, label: Option<&Label>, refused: Option<&str>) -> Value {
    let imports: Vec<_> = inspection
        .imports
        .iter()
        .map(|import| json!({"name": import.name, "functions": import.functions, "gives": import.gives}))
        .collect();
    json!({"file": file, "bytes": inspection.bytes, "sha256": inspection.digest.to_string(), "contract": inspection.contract,
        "imports": imports, "exports": inspection.exports, "producers": inspection.producers, "manifest": label,
        "refused": refused})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_component_says_of_itself_paints_no_terminal() {
        let label = Label {
            name: "calm\u{1b}]0;all is well\u{7}".to_owned(),
            version: "1.0.0".to_owned(),
            description: "\u{1b}[2J\nverdict   the host runs it".to_owned(),
            contract: "xnovu:rules@0.1.0".to_owned(),
            config_schema: None,
        };
        let inspection = inspect(b"\0asm\x0d\0\x01\0").unwrap();
        let lines = words("calm.wasm", &inspection, Some(&label), Some("it exports nothing"));
        assert!(lines.iter().all(|line| !line.chars().any(char::is_control)), "{lines:?}");
        assert_eq!(lines.iter().filter(|line| line.starts_with("verdict")).count(), 1, "{lines:?}");
    }
}
