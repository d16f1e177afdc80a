use std::time::{Duration, Instant};

use serde_json::json;

use super::*;

fn schema() -> ConfigSchema {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://example.org/settings",
        "type": "object",
        "additionalProperties": false,
        "required": ["from"],
        "properties": {
            "from": {"$ref": "#/$defs/time"},
            "to": {"$ref": "#/$defs/time"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "level": {"enum": ["low", "high"]},
        },
        "$defs": {"time": {"type": "string", "pattern": "^[0-9]{2}:[0-9]{2}$"}},
    });
    ConfigSchema::new(&schema).unwrap()
}

#[track_caller]
fn refused(schema: Value) -> String {
    ConfigSchema::new(&schema).unwrap_err().to_string()
}

#[test]
fn a_config_that_fits_has_no_mistakes() {
    assert_eq!(
        schema().mistakes(&json!({"from": "22:00", "to": "06:30", "tags": ["a"], "level": "low"})),
        Vec::<String>::new()
    );
}

#[test]
fn every_mistake_is_told_by_its_json_pointer_and_without_the_value() {
    let mut told = schema().mistakes(&json!({"to": "hunter2", "tags": ["a", 77], "level": "hunter2", "form": 1}));
    told.sort();
    let want = [
        "/level: value is not one of \"low\" or \"high\"",
        "/tags/1: value is not of type \"string\"",
        "/to: value does not match \"^[0-9]{2}:[0-9]{2}$\"",
        "the whole: \"from\" is a required property",
        "the whole: Additional properties are not allowed ('form' was unexpected)",
    ];
    assert_eq!(told, want);
}

#[test]
fn no_more_than_five_mistakes_are_told() {
    let many: Vec<_> = (0..1_000).collect();
    assert_eq!(schema().mistakes(&json!({"from": "22:00", "tags": many})).len(), 5);
}

#[test]
fn what_is_no_schema_is_told_with_its_place() {
    let error = refused(json!({"properties": {"a": {"type": "strng"}}}));
    assert!(error.starts_with("at \"/properties/a/type\" it is no JSON schema: "), "{error}");
    let error = ConfigSchema::parse("{\"type\": ").unwrap_err().to_string();
    assert!(error.starts_with("at \"\" it is no JSON schema: EOF"), "{error}");
}

#[test]
fn nothing_outside_of_a_schema_is_referred_to() {
    for outside in ["https://example.org/other.json", "other.json", "#/$defs/nothing", "#name"] {
        let error = refused(json!({"properties": {"a": {"$ref": outside}}}));
        let want = format!(
            "at \"/properties/a/$ref\" it refers to {outside:?}; only \"#/...\", a place within it, is followed"
        );
        assert_eq!(error, want);
    }
}

#[test]
fn references_that_lead_back_or_double_at_each_step_are_refused() {
    for itself in
        [json!({"$ref": "#"}), json!({"allOf": [{"$ref": "#/allOf/0"}]}), json!({"properties": {"a": {"$ref": "#"}}})]
    {
        assert!(refused(itself).ends_with("is nested deeper than 32 schemas, or refers to itself"));
    }
    let mut doubling = json!({"$defs": {"d0": {"type": "string"}}, "$ref": "#/$defs/d20"});
    for step in 1..=20 {
        let before = json!({"$ref": format!("#/$defs/d{}", step - 1)});
        doubling["$defs"][format!("d{step}")] = json!({"allOf": [before, before]});
    }
    let error = refused(doubling);
    assert!(error.ends_with("it comes to more than 2000 schemas, references followed"), "{error}");
}

#[test]
fn a_schema_as_large_as_it_may_be_is_applied_and_a_larger_one_is_not() {
    let wide = |properties: usize| {
        let properties = (0..properties).map(|number| (format!("p{number}"), json!(true)));
        json!({"properties": properties.collect::<serde_json::Map<_, _>>()})
    };
    assert!(ConfigSchema::new(&wide(1_999)).is_ok());
    assert!(refused(wide(2_000)).contains("more than 2000 schemas"));

    let deep = |levels: usize| (0..levels).fold(json!(true), |within, _| json!({"items": within}));
    assert!(ConfigSchema::new(&deep(32)).is_ok());
    assert!(refused(deep(33)).contains("nested deeper than 32"));

    let patterns = |count: usize| json!({"allOf": vec![json!({"pattern": "a"}); count]});
    assert!(ConfigSchema::new(&patterns(100)).is_ok());
    assert!(refused(patterns(101)).contains("more than 100 patterns"));

    let padded = |bytes: usize| "{}".to_owned() + &" ".repeat(bytes - 2);
    assert!(ConfigSchema::parse(&padded(64 * 1024)).is_ok());
    let error = ConfigSchema::parse(&padded(64 * 1024 + 1)).unwrap_err();
    assert_eq!(error.to_string(), "it has 65537 bytes; at most 65536 are read");
}

#[test]
fn keywords_whose_cost_cannot_be_seen_are_refused_and_properties_of_their_names_are_not() {
    for keyword in ["$dynamicRef", "unevaluatedProperties", "$anchor", "$recursiveRef"] {
        let error = refused(json!({"items": {keyword: "x"}}));
        assert_eq!(
            error,
            format!("at \"/items/{keyword}\" it has the keyword {keyword}, which the host does not apply")
        );
        assert!(ConfigSchema::new(&json!({"properties": {keyword: {"type": "string"}}})).is_ok(), "{keyword}");
        assert!(ConfigSchema::new(&json!({"enum": [{keyword: "#"}], "default": {keyword: "#"}})).is_ok(), "{keyword}");
    }
    assert!(refused(json!({"items": {"$id": "x"}})).contains("names a part of it"));
}

#[test]
fn a_pattern_that_would_backtrack_for_ever_is_matched_at_once() {
    let schema = ConfigSchema::new(&json!({"pattern": "^(a+)+$"})).unwrap();
    let started = Instant::now();
    assert_eq!(schema.mistakes(&json!("a".repeat(100_000) + "!")).len(), 1);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert!(refused(json!({"pattern": "^(\\w{1,200}){1,200}$"})).starts_with("at \"/pattern\" it is no JSON schema"));
}

#[test]
fn a_schema_is_found_in_the_component_that_carries_it() {
    let carrying = |text: &str| {
        let mut wasm = b"\0asm\x0d\0\x01\0".to_vec();
        let name = MANIFEST_SECTION.as_bytes();
        let content = [&[u8::try_from(name.len()).unwrap()], name, text.as_bytes()].concat();
        wasm.extend([0, u8::try_from(content.len()).unwrap()]);
        wasm.extend(content);
        wasm
    };
    assert_eq!(
        carried(&carrying(r#"{"name": "p", "configSchema": {"type": "object"}}"#)),
        Some(Ok(r#"{"type": "object"}"#.into()))
    );
    assert_eq!(carried(&carrying(r#"{"name": "p"}"#)), None);
    assert_eq!(carried(b"\0asm\x0d\0\x01\0"), None);
    let error = carried(&carrying(r#"{"configSchema": "#)).unwrap().unwrap_err().to_string();
    assert!(error.starts_with("its section xnovu:manifest cannot be read: EOF"), "{error}");
}
