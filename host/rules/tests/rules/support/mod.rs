//! What every test here needs: components, events, directories of plugins.

pub(crate) mod bombs;
mod build;
pub(crate) mod components;
pub(crate) mod guests;
pub(crate) mod page;
pub(crate) mod wat;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};
use xnovu_domain::{EnterpriseId, Event, Micros};
use xnovu_rules::{
    Broken, BrokenKind, ChildCompiler, CompileLimits, Compiler, Decided, Limits, Report, Ruled, Ruling, Runtime,
    RuntimeOptions, Trial, Tried, Workbench,
};

/// The enterprise most tests are about.
pub(crate) const A: &str = "11111111-1111-4111-8111-111111111111";
/// Another.
pub(crate) const B: &str = "22222222-2222-4222-8222-222222222222";

/// What a test's events happen at.
pub(crate) const NOW_MS: i64 = 1_767_225_600_000;

pub(crate) fn id(enterprise: &str) -> EnterpriseId {
    enterprise.parse().unwrap()
}

/// An event about a row of that enterprise.
pub(crate) fn event(enterprise: &str) -> Event {
    event_with(enterprise, &json!({"severity": "high"}))
}

pub(crate) fn event_with(enterprise: &str, payload: &Value) -> Event {
    let row = json!({
        "id": 7, "enterprise_id": enterprise, "name": "invoice 7", "notification_status": "PENDING",
        "publish_status": "PUBLISH", "deactivated": false, "payload": payload, "recipients": ["sub-1", "sub-2"],
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        "workflow": {"workflow_key": "invoice"},
    });
    Event::new(serde_json::from_value(row).unwrap(), Micros::from_millis(NOW_MS))
}

/// The compiler in a child process, as in earnest.
pub(crate) fn compiler() -> Compiler {
    Compiler::Child(child_compiler(CompileLimits { wall_s: 600, ..CompileLimits::default() }))
}

/// The same within these limits.
pub(crate) fn child_compiler(limits: CompileLimits) -> ChildCompiler {
    ChildCompiler { limits, ..ChildCompiler::new(env!("CARGO_BIN_EXE_xnovu-rules-compiler"), [""; 0]) }
}

/// One bench for all tests: compiling is the slow part, and it keeps what it compiled.
fn workbench() -> &'static Workbench {
    static BENCH: OnceLock<Workbench> = OnceLock::new();
    BENCH.get_or_init(|| {
        let dir = build::target_dir().join("xnovu-test-cache/compiled");
        Workbench::open(&dir, compiler()).unwrap()
    })
}

/// The hostile component told to act so, within limits.
pub(crate) fn hostile(config: Value, limits: Limits) -> Trial {
    workbench().trial(guests::hostile(), &config, limits).unwrap()
}

/// The same, with a standard library that needs WASI.
pub(crate) fn hostile_wasi(config: Value, limits: Limits) -> Trial {
    workbench().trial(guests::hostile_wasi(), &config, limits).unwrap()
}

/// Why a component is refused.
pub(crate) fn refusal(wasm: &[u8]) -> xnovu_rules::LoadError {
    workbench().trial(wasm, &json!({}), Limits::default()).err().expect("the component was not refused")
}

/// How an evaluation of the hostile component failed.
pub(crate) fn failure<T: std::fmt::Debug>(tried: Tried<T>) -> (BrokenKind, String) {
    tried.answer.expect_err("the component answered")
}

/// A directory of plugins with its cache, both gone at the end of the test.
pub(crate) struct Plugins {
    dir: tempfile::TempDir,
}

impl Plugins {
    pub(crate) fn new() -> Self {
        let plugins = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(plugins.path()).unwrap();
        plugins
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("plugins")
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.dir.path().join("state/compiled")
    }

    pub(crate) fn component_path(&self, name: &str) -> PathBuf {
        self.path().join(name).join(format!("{name}.wasm"))
    }

    /// Puts a plugin there, or another version of it.
    pub(crate) fn put(&self, name: &str, version: &str, wasm: &[u8]) {
        self.put_manifest(name, version);
        fs::write(self.component_path(name), wasm).unwrap();
    }

    /// The same with a file's bytes, which are never in this process.
    pub(crate) fn put_file(&self, name: &str, version: &str, wasm: &Path) {
        self.put_manifest(name, version);
        fs::copy(wasm, self.component_path(name)).unwrap();
    }

    pub(crate) fn put_manifest(&self, name: &str, version: &str) {
        let dir = self.path().join(name);
        fs::create_dir_all(&dir).unwrap();
        let manifest = format!("name = \"{name}\"\nversion = \"{version}\"\ndescription = \"A test.\"\n");
        fs::write(dir.join("plugin.toml"), manifest).unwrap();
    }

    /// Writes `bindings.toml`.
    pub(crate) fn bind(&self, text: &str) {
        fs::write(self.path().join("bindings.toml"), text).unwrap();
    }

    pub(crate) async fn open(&self) -> (Runtime, Report) {
        Runtime::open(self.options()).await.unwrap()
    }

    pub(crate) fn options(&self) -> RuntimeOptions {
        RuntimeOptions::new(self.path(), self.cache(), compiler())
    }

    /// Every file under the cache directory whose name ends so.
    pub(crate) fn cached(&self, suffix: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        files(&self.cache(), &mut found);
        found.retain(|path| path.to_string_lossy().ends_with(suffix));
        found
    }
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// An entry of `bindings.toml` that tells the hostile component of an enterprise to act so.
pub(crate) fn entry(enterprise: &str, plugin: &str, more: &str, config: &str) -> String {
    format!("[enterprises.\"{enterprise}\"]\nplugin = \"{plugin}\"\n{more}\nconfig = {config}\n")
}

#[track_caller]
pub(crate) fn ruled<T: std::fmt::Debug>(ruling: Ruling<T>) -> Ruled<T> {
    match ruling {
        Ruling::Ruled(ruled) => ruled,
        other => panic!("not ruled: {other:?}"),
    }
}

#[track_caller]
pub(crate) fn broken<T: std::fmt::Debug>(ruling: Ruling<T>) -> Broken {
    match ruling {
        Ruling::Broken(broken) => broken,
        other => panic!("not broken: {other:?}"),
    }
}

/// The payloads of the messages that were answered.
pub(crate) fn payloads(decided: &Decided) -> Vec<String> {
    let messages = decided.messages.as_ref().expect("the verdict was not to deliver");
    messages.iter().map(|message| message.payload.get().to_owned()).collect()
}
