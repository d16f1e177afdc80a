//! Each key of a manifest, right and wrong.

use super::*;

const GOOD: &str = "name = \"quiet-hours\"\nversion = \"1.2.3\"\ndescription = \"Holds at night.\"\n";

/// The mistakes of the good manifest with more lines, or with lines replaced where the key is there already.
#[track_caller]
fn mistakes(lines: &str, want: &[&str]) {
    let key = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    let replaced: Vec<_> = lines.lines().map(key).collect();
    let kept = GOOD.lines().filter(|line| !replaced.contains(&key(line)));
    let text: Vec<_> = kept.chain(lines.lines()).collect();
    let found = Manifest::parse("plugin.toml", &text.join("\n"))
        .map_err(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(found.unwrap_err(), want);
}

#[test]
fn a_manifest_is_read() {
    let manifest = Manifest::parse("plugin.toml", GOOD).unwrap();
    assert_eq!((manifest.name.as_str(), manifest.version.to_string().as_str()), ("quiet-hours", "1.2.3"));
    assert_eq!((manifest.config_schema, manifest.target), (None, Target::Unknown));
    let more = format!("{GOOD}target = \"wasm32-wasip2\"\nconfig_schema = \"config/schema.json\"\n");
    let manifest = Manifest::parse("plugin.toml", &more).unwrap();
    assert_eq!(manifest.target.triple(), "wasm32-wasip2");
    assert_eq!(manifest.config_schema, Some(PathBuf::from("config/schema.json")));
}

#[test]
fn every_mistake_is_reported_with_its_line() {
    mistakes(
        "name = \"Quiet\"\nversion = 1\nhomepage = \"x\"\ntarget = \"wasm32-wasip3\"",
        &[
            "plugin.toml:4: homepage: is no key here; the keys are name, version, description, config_schema, target",
            "plugin.toml:2: name: must be lower-case letters, digits and single hyphens, begin with a letter, and have at most 64 bytes",
            "plugin.toml:5: target: must be \"wasm32-unknown-unknown\" or \"wasm32-wasip2\"",
            "plugin.toml:3: version: must be a string, and is a whole number",
        ],
    );
}

#[test]
fn what_is_missing_is_named() {
    let found = Manifest::parse("plugin.toml", "").unwrap_err();
    assert_eq!(found.iter().map(|it| it.key.as_str()).collect::<Vec<_>>(), ["name", "version", "description"]);
}

#[test]
fn every_mistake_of_syntax_is_reported() {
    let found = Manifest::parse("plugin.toml", "name = \nversion = \"1.0.0\"\ndescription = what\n").unwrap_err();
    assert_eq!(found.iter().map(|it| it.line).collect::<Vec<_>>(), [1, 3], "{found:?}");
}

#[test]
fn a_schema_lies_within_the_plugin() {
    for path in ["/etc/passwd", "../other/schema.json", ""] {
        mistakes(
            &format!("config_schema = \"{path}\""),
            &["plugin.toml:4: config_schema: must be a path within the plugin's directory"],
        );
    }
}

#[test]
fn names_are_fit_for_files_and_messages() {
    for name in ["a", "quiet-hours", "x9", &"a".repeat(64)] {
        assert!(is_plugin_name(name), "{name}");
    }
    for name in ["", "9x", "-a", "a-", "a--b", "A", "a_b", "a.b", "a/b", "ä", &"a".repeat(65)] {
        assert!(!is_plugin_name(name), "{name}");
    }
}

#[test]
fn versions_are_semantic() {
    for version in ["1", "1.2", "v1.2.3", "", "1.2.3/../x"] {
        mistakes(
            &format!("version = \"{version}\""),
            &["plugin.toml:3: version: must be a semantic version such as 1.2.3, of at most 64 bytes"],
        );
    }
}
