//! `xnovu plugin new`: a plugin that builds as it is.
//!
//! Owns what an author starts with. Never touches anything that is there already.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use serde_json::json;
use xnovu_rules::is_plugin_name;

use super::sdk;
use crate::cli::output::Output;

/// The files of a new plugin. `{{name}}`, `{{Type}}` and `{{sdk}}` are replaced.
const TEMPLATE: [(&str, &str); 8] = [
    ("plugin.toml", include_str!("template/plugin.toml")),
    ("Cargo.toml", include_str!("template/Cargo.toml")),
    ("src/lib.rs", include_str!("template/src/lib.rs")),
    ("cases/critical.json", include_str!("template/cases/critical.json")),
    ("cases/muted.json", include_str!("template/cases/muted.json")),
    ("config.schema.json", include_str!("template/config.schema.json")),
    ("README.md", include_str!("template/README.md")),
    (".gitignore", include_str!("template/gitignore")),
];

/// Where a plugin carries the SDK unless it is born beside it.
const VENDORED: &str = "vendor/xnovu-sdk";

/// Names a crate cannot have: words of the language, and crates a plugin depends on.
const TAKEN: [&str; 12] = [
    "alloc",
    "core",
    "crate",
    "proc-macro",
    "self",
    "serde",
    "serde-json",
    "std",
    "super",
    "test",
    "xnovu-sdk",
    "xnovu-sdk-macros",
];

pub(super) fn run(name: &str, plugins: &Path, output: Output) -> anyhow::Result<ExitCode> {
    let dir = plugins.join(name);
    let files = plan(name, plugins)?;
    ensure!(
        fs::symlink_metadata(&dir).is_err(),
        "{} exists already\nhint: choose another name, or another place with --dir",
        dir.display()
    );
    for (path, text) in &files {
        write(&dir.join(path), text)?;
    }
    tell(name, &dir, output);
    Ok(ExitCode::SUCCESS)
}

/// Every file of the new plugin, by its path within the plugin's directory.
fn plan(name: &str, plugins: &Path) -> anyhow::Result<Vec<(PathBuf, String)>> {
    ensure!(
        is_plugin_name(name),
        "{name:?} cannot be the name of a plugin\nhint: use lower-case letters, digits and single hyphens, a letter first, at most \
         64 bytes, as in quiet-hours"
    );
    ensure!(
        !TAKEN.contains(&name),
        "{name:?} is taken in every Rust program\nhint: say what the rule does, as in quiet-hours"
    );
    let beside_the_sdk = plugins.join("../sdk/rust/Cargo.toml").exists();
    let sdk_path = if beside_the_sdk { "../../sdk/rust".to_owned() } else { format!("{VENDORED}/rust") };
    let fill =
        |text: &str| text.replace("{{name}}", name).replace("{{Type}}", &type_name(name)).replace("{{sdk}}", &sdk_path);
    let mut files: Vec<_> = TEMPLATE.iter().map(|(path, text)| (PathBuf::from(path), fill(text))).collect();
    if !beside_the_sdk {
        files.extend(sdk::FILES.iter().map(|(path, text)| (Path::new(VENDORED).join(path), (*text).to_owned())));
    }
    Ok(files)
}

/// `quiet-hours` as a type: `QuietHours`.
fn type_name(name: &str) -> String {
    let capitalized =
        |word: &str| word.chars().take(1).map(|first| first.to_ascii_uppercase()).chain(word.chars().skip(1)).collect();
    name.split('-').map(capitalized).collect::<Vec<String>>().concat()
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let shown = path.display();
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    }
    fs::write(path, text).with_context(|| format!("writing {shown}"))
}

fn tell(name: &str, dir: &Path, output: Output) {
    let shown = dir.display();
    if output.json() {
        return output.line(&format!("{:#}", json!({"name": name, "dir": dir})));
    }
    output.line(&format!("{shown} is ready: the rule is in {shown}/src/lib.rs, what it must answer in {shown}/cases"));
    output.note("next:");
    output.note(&format!("  xnovu plugin build {shown}"));
    output.note(&format!("  xnovu plugin test {shown}"));
    output.note("then bind it to an enterprise in bindings.toml; its README shows how");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::Format;

    #[test]
    fn a_name_becomes_a_type() {
        let names = [("quiet-hours", "QuietHours"), ("a", "A"), ("v2-desk-7", "V2Desk7")];
        for (name, want) in names {
            assert_eq!(type_name(name), want);
        }
    }

    #[test]
    fn no_placeholder_is_left() {
        for (path, text) in plan("quiet-desk", Path::new("/nowhere/plugins")).unwrap() {
            assert!(!text.contains("{{"), "{}", path.display());
        }
    }

    #[test]
    fn a_name_that_cannot_be_is_refused_with_a_hint() {
        for name in ["", "Quiet", "quiet_hours", "-a", "a--b", "7up", "a/b", "..", "self", "serde"] {
            let error = plan(name, Path::new("plugins")).unwrap_err().to_string();
            assert!(error.contains("hint: "), "{name}: {error}");
        }
    }

    #[test]
    fn what_is_there_is_left_alone() {
        let plugins = tempfile::tempdir().unwrap();
        fs::create_dir(plugins.path().join("mine")).unwrap();
        let error = run("mine", plugins.path(), Output::new(Format::Text, true)).unwrap_err().to_string();
        assert!(error.contains("exists already"), "{error}");
        assert_eq!(fs::read_dir(plugins.path().join("mine")).unwrap().count(), 0);
    }
}
