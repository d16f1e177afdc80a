//! The author's walk, from nothing to a component that passes its cases, by the real compiler and the real sandbox.

use std::fs;

use clap::Parser;
use serde_json::{Value, json};
use xnovu_rules::{Compiler, Workbench, inspect};

use super::project::Project;
use super::*;
use crate::cli::output::Format;

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: PluginCommand,
}

fn output() -> Output {
    Output::new(Format::Json, true)
}

/// Where builds of tests leave what they compile. Kept, because the first compilation of a plugin's dependencies takes half a minute.
fn state() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugin-tests")
}

fn places(plugins: &Path) -> Places {
    let cargo_home = std::env::home_dir().map(|home| home.join(".cargo"));
    Places { plugins: plugins.to_owned(), state: state(), cargo_home }
}

/// An empty directory for plugins, away from the SDK, at the same place at every run: the place is among the compiler's flags, and other
/// flags mean another half minute.
fn place(name: &str) -> PathBuf {
    let plugins = state().join(name).join("plugins");
    if plugins.exists() {
        fs::remove_dir_all(&plugins).unwrap();
    }
    fs::create_dir_all(&plugins).unwrap();
    plugins.canonicalize().unwrap()
}

fn begin(plugins: &Path, name: &str) -> Project {
    new::run(name, plugins, output()).unwrap();
    Project::open(&plugins.join(name)).unwrap()
}

fn put(project: &Project, file: &str, text: &str) {
    fs::write(project.dir.join(file), text).unwrap();
}

#[test]
fn the_command_line_is_as_documented() {
    for line in [
        "plugin new quiet-desk --dir rules",
        "plugin build",
        "plugin build plugins/a plugins/b --plugins plugins",
        "plugin test --plugins plugins",
        "plugin inspect plugins/a/a.wasm",
        "plugin dev plugins/a",
        "plugin check plugins/a",
        "plugin bench --runs 10 --save --max-regression 5 --wall",
    ] {
        assert!(Line::try_parse_from(line.split(' ')).is_ok(), "{line}");
    }
    for line in ["plugin inspect", "plugin bench --wall", "plugin bench --max-regression -1", "plugin bench --runs 0"] {
        assert!(Line::try_parse_from(line.split(' ')).is_err(), "{line}");
    }
}

// One walk, because each further place would compile the SDK once more.
#[test]
fn a_plugin_begun_anywhere_builds_passes_and_is_the_same_bytes_everywhere() {
    let plugins = place("one");
    let places = places(&plugins);
    let project = begin(&plugins, "quiet-desk");
    assert!(project.built().unwrap_err().to_string().contains("hint: xnovu plugin build"));
    let wasm = build::build(&project, &places, output()).unwrap();
    fs::write(project.component(), &wasm).unwrap();

    let label = component::label(&wasm).unwrap();
    assert_eq!((label.name.as_str(), label.version.as_str()), ("quiet-desk", "0.1.0"));
    assert_eq!(label.config_schema.unwrap()["title"], "Settings of quiet-desk");
    assert!(!String::from_utf8_lossy(&wasm).contains("plugin-tests"), "the component holds a path of this machine");
    failures_are_told(&project, &places);

    let elsewhere = begin(&place("other"), "quiet-desk");
    assert!(build::build(&elsewhere, &places, output()).unwrap() == wasm, "the same sources gave other bytes");

    let manifest = fs::read_to_string(project.dir.join("plugin.toml")).unwrap() + "target = \"wasm32-wasip2\"\n";
    put(&elsewhere, "plugin.toml", &manifest);
    passes_on_wasip2(&elsewhere.dir, &places);

    memory_beyond_the_first_is_whole(&project, &places);

    put(&project, "src/lib.rs", "");
    let error = build::build(&project, &places, output()).unwrap_err();
    assert!(format!("{error:#}").contains("xnovu:rules/ruleset"), "{error:#}");
}

/// A rule that needs more memory than a component begins with, in blocks that grow while others follow them.
const HUNGRY: &str = r#"
use xnovu_sdk::prelude::*;

struct Hungry;

#[xnovu_sdk::rules]
impl Rules for Hungry {
    fn admit(&self, _event: &Event, _config: &Value) -> Result<Verdict, RuleError> {
        let mut blocks: Vec<Vec<u8>> = (1..=25).map(|number| vec![number; 40_000]).collect();
        for (block, number) in blocks.iter_mut().zip(1..) {
            block.extend_from_slice(&[number; 1_000]);
            block.shrink_to_fit();
        }
        let whole = |(block, number): (&Vec<u8>, u8)| {
            block.len() == 41_000 && [0, 39_999, 40_000, 40_999].iter().all(|at| block[*at] == number)
        };
        if blocks.iter().zip(1..).all(whole) { Ok(Verdict::deliver()) } else { Err("memory was handed out twice".into()) }
    }
}
"#;

fn memory_beyond_the_first_is_whole(project: &Project, places: &Places) {
    put(project, "src/lib.rs", HUNGRY);
    put(project, "cases/hungry.json", r#"{"expect": {"admit": {"deliver": {}}}}"#);
    fs::write(project.component(), build::build(project, places, output()).unwrap()).unwrap();
    let bench = Workbench::open(&places.state.join("compiled"), Compiler::Here).unwrap();
    let reports = test::test(&bench, project).unwrap();
    let hungry = reports.iter().find(|report| report.name == "hungry").unwrap();
    assert_eq!(hungry.failures, Vec::<String>::new());
}

fn passes_on_wasip2(dir: &Path, places: &Places) {
    let project = Project::open(dir).unwrap();
    let wasm = build::build(&project, places, output()).unwrap();
    assert!(inspect(&wasm).unwrap().imports.iter().any(|import| import.name.starts_with("wasi:")));
    fs::write(project.component(), &wasm).unwrap();
    let bench = Workbench::open(&places.state.join("compiled"), Compiler::Here).unwrap();
    for report in test::test(&bench, &project).unwrap() {
        assert_eq!(report.failures, Vec::<String>::new(), "{}", report.name);
    }
}

fn failures_are_told(project: &Project, places: &Places) {
    let bench = Workbench::open(&places.state.join("compiled"), Compiler::Here).unwrap();
    let told = || -> Vec<(String, Vec<String>)> {
        let reports = test::test(&bench, project).unwrap();
        reports.into_iter().map(|report| (report.name, report.failures)).collect()
    };
    let passed = [
        ("what is critical goes first and says when it left".to_owned(), vec![]),
        ("a muted tag is dropped".to_owned(), vec![]),
    ];
    assert_eq!(told(), passed);

    let case = |expect: Value, payload: Value| json!({"event": {"payload": payload}, "expect": expect}).to_string();
    put(project, "cases/critical.json", &case(json!({"admit": {"drop": "no"}}), json!({})));
    put(
        project,
        "cases/muted.json",
        &case(json!({"admit": {"error": "payload.severity"}}), json!({"severity": "loud"})),
    );
    put(project, "cases/typo.json", r#"{"expect": {"admits": {}}}"#);
    let told = told();
    let critical = ["admit.drop: wanted \"no\", got nothing", "admit.deliver: wanted nothing, got {\"priority\":null}"];
    assert_eq!(told[0], ("critical".to_owned(), critical.map(str::to_owned).to_vec()));
    assert_eq!(told[1], ("muted".to_owned(), vec![]));
    assert!(told[2].1[0].starts_with("the case cannot be read: unknown field `admits`"), "{told:?}");
}

#[test]
fn what_an_author_leaves_behind_lies_with_the_user_unless_a_setting_says_otherwise() {
    let mut layers = Layers::default();
    assert_eq!(Places::of(&layers).state, Path::new(".xnovu"));
    layers.set_flag("HOME", Some("/home/ann"));
    let places = Places::of(&layers);
    assert_eq!(places.state, Path::new("/home/ann/.cache/xnovu"));
    assert_eq!(places.cargo_home.as_deref(), Some(Path::new("/home/ann/.cargo")));
    layers.set_flag("XNOVU_STATE_DIR", Some("/var/lib/xnovu"));
    assert_eq!(Places::of(&layers).state, Path::new("/var/lib/xnovu"));
}

/// The fenced blocks of the documentation that are in this language and begin so.
fn shown(language: &str, first_line: &str) -> Vec<&'static str> {
    let documentation = include_str!("../../../../../docs/plugins.md");
    let fence = format!("```{language}\n");
    let blocks = documentation.split(&fence).skip(1).filter_map(|rest| rest.split("```").next());
    blocks.filter(|block| block.starts_with(first_line)).collect()
}

#[test]
fn what_the_documentation_shows_can_be_read() {
    let manifests = shown("toml", "# plugin.toml");
    assert!(
        manifests.iter().all(|text| xnovu_rules::Manifest::parse("plugin.toml", text).is_ok()) && manifests.len() == 1
    );
    let bindings = shown("toml", "# bindings.toml");
    let read = xnovu_rules::BindingsFile::parse("bindings.toml", bindings[0], &xnovu_rules::Limits::default()).unwrap();
    assert!(read.mistakes.is_empty() && read.entries.values().all(Result::is_ok), "{read:?}");
    let cases = shown("json", "{");
    assert!(cases.len() >= 2, "{cases:?}");
    for text in cases {
        case::Case::parse(text).and_then(|case| case.event()).unwrap();
    }
}

#[test]
fn the_samples_bindings_can_be_read() {
    let text = include_str!("../../../../../plugins/bindings.toml");
    let read = xnovu_rules::BindingsFile::parse("bindings.toml", text, &xnovu_rules::Limits::default()).unwrap();
    assert!(read.mistakes.is_empty() && read.entries.values().all(Result::is_ok), "{read:?}");
    assert_eq!(read.entries.len(), 3);
}

#[test]
fn a_command_without_plugins_says_how_to_begin() {
    let root = tempfile::tempdir().unwrap();
    let args = ProjectArgs { dirs: vec![], plugins: None };
    let error = project::projects(&args, &places(root.path())).unwrap_err().to_string();
    assert!(error.contains("hint: begin a plugin with"), "{error}");
    let args = ProjectArgs { dirs: vec![root.path().to_owned()], plugins: None };
    let error = project::projects(&args, &places(root.path())).unwrap_err().to_string();
    assert!(error.contains("plugin.toml is not there"), "{error}");
}
