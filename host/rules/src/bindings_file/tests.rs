//! Each key of the bindings, right and wrong.

use serde_json::json;

use super::*;

const A: &str = "11111111-1111-4111-8111-111111111111";

fn parse(text: &str) -> BindingsFile {
    BindingsFile::parse("bindings.toml", text, &Limits::default()).unwrap()
}

fn subject(id: &str) -> Subject {
    Subject::Enterprise(id.parse().unwrap())
}

/// What is wrong with one entry that has these lines beside its plugin.
#[track_caller]
fn wrong(lines: &str, want: &[&str]) {
    let file = parse(&format!("[enterprises.e]\nplugin = \"p\"\n{lines}\n"));
    let mistakes = file.entries[&subject("e")].as_ref().unwrap_err();
    assert_eq!(mistakes.iter().map(ToString::to_string).collect::<Vec<_>>(), want);
}

#[test]
fn an_entry_is_read_key_by_key() {
    let file = parse(&format!(
        r#"
        [enterprises."{A}"]
        plugin = "quiet-hours"
        on_error = "drop"
        log_guest = true
        [enterprises."{A}".config]
        timezone = "Asia/Shanghai"
        hours = [22, 7]
        nested = {{ share = 0.5, on = true, day = 2026-01-01 }}
        [enterprises."{A}".limits]
        fuel = 20_000_000
        messages = 5
        [enterprises."{A}".grants]
        workflows = ["*"]
        recipients = "any"
        extra = ["tenant"]
        "#
    ));
    let config = json!({"timezone": "Asia/Shanghai", "hours": [22, 7], "nested": {"share": 0.5, "on": true, "day": "2026-01-01"}});
    let want = Entry {
        plugin: "quiet-hours".to_owned(),
        on_error: FailurePolicy::Drop,
        log_guest: true,
        config: Config::new(&config),
        limits: Limits { fuel: 20_000_000, messages: 5, ..Limits::default() },
        grants: Grants {
            workflows: vec!["*".to_owned()],
            recipients: RecipientGrant::Any,
            extra: vec!["tenant".to_owned()],
        },
    };
    assert_eq!(file, BindingsFile { entries: [(subject(A), Ok(want))].into(), mistakes: Vec::new() });
}

#[test]
fn what_is_not_said_is_the_safe_choice() {
    let file = parse("[enterprises.\"*\"]\nplugin = \"p\"\n");
    let entry = file.entries[&Subject::Rest].as_ref().unwrap();
    assert_eq!((entry.on_error, entry.log_guest, entry.config.json()), (FailurePolicy::Hold, false, "{}"));
    assert_eq!((&entry.limits, &entry.grants), (&Limits::default(), &Grants::default()));
}

#[test]
fn an_empty_file_binds_nobody() {
    assert_eq!(parse(""), BindingsFile::default());
}

#[test]
fn a_config_has_one_digest_in_whatever_order_it_is_written() {
    let hash = |config: &str| {
        parse(&format!("[enterprises.e]\nplugin = \"p\"\nconfig = {config}")).entries[&subject("e")]
            .clone()
            .unwrap()
            .config
            .hash()
    };
    assert_eq!(hash("{ b = 1, a = { d = 2, c = 3 } }"), hash("{ a = { c = 3, d = 2 }, b = 1 }"));
    assert_ne!(hash("{ a = 1 }"), hash("{ a = 2 }"));
}

#[test]
fn a_mistake_in_one_entry_leaves_the_others() {
    let file = parse(
        "[enterprises.a]\nplugin = 1\n[enterprises.b]\nplugin = \"p\"\n[enterprises.\"c d\"]\nplugin = \"p\"\n[extra]\n",
    );
    assert!(file.entries[&subject("a")].is_err());
    assert!(file.entries[&subject("b")].is_ok());
    let outside: Vec<_> = file.mistakes.iter().map(ToString::to_string).collect();
    let want = [
        "bindings.toml:5: enterprises.\"c d\": enterprise id \"c d\" is not 1 to 64 letters, digits, '-' or '_'",
        "bindings.toml:7: extra: is no key here; the keys are enterprises",
    ];
    assert_eq!(outside, want);
}

#[test]
fn every_mistake_in_an_entry_is_reported() {
    wrong(
        "on_error = \"ignore\"\nlog_guest = \"yes\"\nlimit = 1\nplugins = []",
        &[
            "bindings.toml:5: enterprises.\"e\".limit: is no key here; the keys are plugin, on_error, log_guest, config, limits, grants",
            "bindings.toml:4: enterprises.\"e\".log_guest: must be true or false, and is a string",
            "bindings.toml:3: enterprises.\"e\".on_error: must be \"hold\", \"deliver\" or \"drop\"",
            "bindings.toml:6: enterprises.\"e\".plugins: is no key here; the keys are plugin, on_error, log_guest, config, limits, grants",
        ],
    );
}

#[test]
fn limits_have_names_and_ranges() {
    wrong(
        "limits = { cpu = 1, wall_ms = 0, fuel = \"many\" }",
        &[
            "bindings.toml:3: enterprises.\"e\".limits.cpu: is no key here; the keys are fuel, wall_ms, memory_bytes, input_bytes, output_bytes, messages, log_bytes, component_bytes",
            "bindings.toml:3: enterprises.\"e\".limits.fuel: must be a whole number, and is a string",
            "bindings.toml:3: enterprises.\"e\".limits.wall_ms: must be from 1 to 10000, and is 0",
        ],
    );
}

#[test]
fn grants_are_strict() {
    wrong(
        "grants = { recipients = \"all\", workflows = \"*\", extra = [1] }",
        &[
            "bindings.toml:3: enterprises.\"e\".grants.extra: must be a string, and is a whole number",
            "bindings.toml:3: enterprises.\"e\".grants.recipients: must be \"row\" or \"any\"",
            "bindings.toml:3: enterprises.\"e\".grants.workflows: must be a list of strings, and is a string",
        ],
    );
    wrong(
        "grants = { recipients = 1 }",
        &["bindings.toml:3: enterprises.\"e\".grants.recipients: must be a string, and is a whole number"],
    );
}

#[test]
fn what_json_does_not_have_is_refused() {
    wrong(
        "config = { a = [1.0, nan], b = inf }",
        &[
            "bindings.toml:3: enterprises.\"e\".config.a[1]: is a number JSON does not have",
            "bindings.toml:3: enterprises.\"e\".config.b: is a number JSON does not have",
        ],
    );
}

#[test]
fn a_plugin_is_named() {
    let file = parse("[enterprises.e]\non_error = \"hold\"\n[enterprises.f]\nplugin = \"../x\"\n");
    let keys =
        |id| file.entries[&subject(id)].as_ref().unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(keys("e"), ["bindings.toml:1: enterprises.\"e\".plugin: is missing"]);
    assert!(keys("f")[0].contains("must be the name of a plugin"), "{:?}", keys("f"));
}

#[test]
fn one_id_in_two_spellings_is_a_mistake() {
    let upper = "AAAAAAAA-1111-4111-8111-111111111111";
    let file = parse(&format!(
        "[enterprises.{}]\nplugin = \"p\"\n[enterprises.{upper}]\nplugin = \"q\"\n",
        upper.to_lowercase()
    ));
    assert!(file.entries[&subject(upper)].is_err());
}

#[test]
fn mistakes_of_syntax_are_all_reported() {
    let mistakes = BindingsFile::parse(
        "bindings.toml",
        "[enterprises.a\nplugin = \"p\"\n[enterprises.b]\nplugin = \n",
        &Limits::default(),
    )
    .unwrap_err();
    assert_eq!(mistakes.iter().map(|it| it.line).collect::<Vec<_>>(), [1, 4], "{mistakes:?}");
}
