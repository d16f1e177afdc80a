//! The schema a component carries decides over configs before the component is asked, and whoever wrote it harms nobody with it.

use std::borrow::Cow;

use serde_json::{Value, json};
use wasm_encoder::{CustomSection, Encode, Section};
use xnovu_rules::{BindingOutcome, BrokenKind, Limits, MANIFEST_SECTION, Rules};

use crate::support::{A, B, Plugins, broken, compiler, entry, event, guests, ruled};

/// A wall time no busy machine exceeds.
const PATIENT: &str = "limits = { wall_ms = 10000 }";

/// The guest that does what its config says, with a schema inside.
fn carrying(schema: &Value) -> Vec<u8> {
    let mut wasm = guests::hostile().to_vec();
    let manifest = json!({"name": "p", "configSchema": schema}).to_string();
    let section = CustomSection { name: Cow::Borrowed(MANIFEST_SECTION), data: Cow::Borrowed(manifest.as_bytes()) };
    wasm.push(section.id());
    section.encode(&mut wasm);
    wasm
}

fn wants_text() -> Value {
    json!({"type": "object", "properties": {"admit": {"type": "string"}, "validate": {"type": "string"}, "hours": {"items": {"type": "integer"}}}})
}

#[tokio::test]
async fn a_config_against_the_schema_is_refused_by_its_place_before_the_component_is_asked() {
    let plugins = Plugins::new();
    plugins.put("p", "1.0.0", &carrying(&wants_text()));
    // Were the component asked, it would use up all its time.
    let config = "{ validate = \"loop\", hours = [22, \"hunter2\"] }";
    plugins.bind(&entry(A, "p", PATIENT, config));
    let (runtime, report) = plugins.open().await;
    let told = report.to_string();
    assert!(
        told.contains("p refuses its config: /hours/1: value is not of type \"integer\" (config_schema)"),
        "{told}"
    );
    assert!(told.contains(&format!("hint: mend enterprises.\"{A}\".config in bindings.toml")), "{told}");
    assert!(!told.contains("hunter2"), "what stands in a config may be secret: {told}");
    assert_eq!(broken(runtime.admit(event(A)).await).kind, BrokenKind::NotLoaded);
}

#[tokio::test]
async fn a_config_that_fits_the_schema_is_then_the_components_to_refuse() {
    let plugins = Plugins::new();
    plugins.put("p", "1.0.0", &carrying(&wants_text()));
    let fits = entry(A, "p", PATIENT, "{ admit = \"drop:one\", hours = [22] }");
    plugins.bind(&(fits + &entry(B, "p", PATIENT, "{ validate = \"reject:no such zone\" }")));
    let (runtime, report) = plugins.open().await;
    assert!(report.to_string().contains("p refuses its config: no such zone"), "{report}");
    ruled(runtime.admit(event(A)).await);
}

#[tokio::test]
async fn a_version_whose_schema_its_config_does_not_fit_leaves_the_last_good_one() {
    let plugins = Plugins::new();
    plugins.put("p", "1.0.0", &carrying(&wants_text()));
    plugins.bind(&entry(A, "p", PATIENT, "{ admit = \"drop:one\" }"));
    let (runtime, _) = plugins.open().await;
    plugins.put("p", "2.0.0", &carrying(&json!({"required": ["timezone"]})));
    let report = runtime.reconcile().await;
    let [(_, BindingOutcome::LastGood(stamp, why))] = &report.bindings[..] else { panic!("{report}") };
    assert_eq!(stamp.version, "1.0.0");
    assert_eq!(why.reason, "p refuses its config: the whole: \"timezone\" is a required property (config_schema)");
    ruled(runtime.admit(event(A)).await);
}

#[tokio::test]
async fn a_schema_made_to_run_for_ever_is_refused_and_everybody_else_decides() {
    let plugins = Plugins::new();
    plugins.put("p", "1.0.0", &carrying(&json!({"allOf": [{"$ref": "#"}, {"$ref": "#"}]})));
    plugins.put("q", "1.0.0", &carrying(&wants_text()));
    plugins.bind(&(entry(A, "p", PATIENT, "{}") + &entry(B, "q", PATIENT, "{ admit = \"drop:one\" }")));
    let (runtime, report) = plugins.open().await;
    let want =
        "p cannot have its config checked: the config_schema of the component cannot be applied: at \"/allOf/0/$ref/";
    assert!(report.to_string().contains(want), "{report}");
    assert!(report.to_string().contains("refers to itself"), "{report}");
    assert!(report.to_string().contains("hint: xnovu plugin check "), "{report}");
    assert_eq!(broken(runtime.admit(event(A)).await).kind, BrokenKind::NotLoaded);
    ruled(runtime.admit(event(B)).await);
}

#[test]
fn a_trial_holds_its_config_against_the_schema_as_a_reload_does() {
    let cache = tempfile::tempdir().unwrap();
    let bench = xnovu_rules::Workbench::open(cache.path(), compiler()).unwrap();
    let limits = Limits { wall_ms: 10_000, ..Limits::default() };
    let says = |config: Value| bench.trial(&carrying(&wants_text()), &config, limits).unwrap().validate_config().answer;
    assert_eq!(says(json!({"hours": [1]})), Ok(Ok(())));
    let refused = says(json!({"hours": ["one"]}));
    assert_eq!(refused, Ok(Err("/hours/0: value is not of type \"integer\" (config_schema)".to_owned())));
}
