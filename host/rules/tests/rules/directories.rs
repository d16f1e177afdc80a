//! What an author's directory may hold beside a component, and that none of it stops a reload or reaches an operator's screen.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::process::Command;

use xnovu_rules::{BindingOutcome, Subject};

use crate::support::{A, B, Plugins, entry, event, guests, id, ruled};
use xnovu_rules::Rules;

/// Longest text an operator has to read about one plugin, in bytes.
const REASON_BYTES_MAX: usize = 20_000;

/// A directory with an honest plugin for B; `spoil` makes the other one, `odd`, which is bound to A. Why that is not loaded.
async fn why_refused(spoil: impl FnOnce(&Plugins)) -> String {
    let plugins = Plugins::new();
    plugins.put("honest", "1.0.0", guests::hostile());
    plugins.put("odd", "1.0.0", guests::hostile());
    spoil(&plugins);
    let patient = "limits = { wall_ms = 10_000 }";
    plugins.bind(&(entry(A, "odd", patient, "{}") + &entry(B, "honest", patient, "{}")));
    let (runtime, report) = plugins.open().await;
    ruled(runtime.admit(event(B)).await);
    let bound = report.bindings.into_iter().find(|(subject, _)| *subject == Subject::Enterprise(id(A)));
    let Some((_, BindingOutcome::NotLoaded(why))) = bound else { panic!("it was bound: {bound:?}") };
    assert!(why.reason.len() <= REASON_BYTES_MAX, "{} bytes", why.reason.len());
    assert!(!why.reason.chars().any(char::is_control), "{:?}", why.reason);
    why.reason
}

fn manifest(plugins: &Plugins) -> std::path::PathBuf {
    plugins.path().join("odd/plugin.toml")
}

#[tokio::test]
async fn what_is_no_file_is_not_opened() {
    let no_file = |path: &std::path::Path| fs::remove_file(path).unwrap();
    let pipe = |path: &std::path::Path| {
        no_file(path);
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    let component = why_refused(|plugins| pipe(&plugins.component_path("odd"))).await;
    assert!(component.ends_with("odd/odd.wasm cannot be read: it is not a file"), "{component}");
    let settings = why_refused(|plugins| pipe(&manifest(plugins))).await;
    assert!(settings.ends_with("odd/plugin.toml cannot be read: it is not a file"), "{settings}");
    let endless = why_refused(|plugins| {
        no_file(&plugins.component_path("odd"));
        symlink("/dev/zero", plugins.component_path("odd")).unwrap();
    });
    assert!(endless.await.ends_with("it is not a file"));
    let directory = why_refused(|plugins| {
        no_file(&manifest(plugins));
        fs::create_dir(manifest(plugins)).unwrap();
    });
    assert!(directory.await.ends_with("it is not a file"));
}

#[tokio::test]
async fn a_pipe_in_the_place_of_the_operators_files_stops_nothing() {
    let plugins = Plugins::new();
    plugins.put("honest", "1.0.0", guests::hostile());
    plugins.bind(&entry(B, "honest", "limits = { wall_ms = 10_000 }", "{}"));
    let (runtime, _) = plugins.open().await;
    for name in ["bindings.lock.toml", "bindings.toml"] {
        let path = plugins.path().join(name);
        drop(fs::remove_file(&path));
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
        let report = runtime.reconcile().await;
        assert!(
            report.to_string().contains(&format!("{name}: cannot be read: it is not a file"))
                || report.to_string().contains(&format!("{name} cannot be read: it is not a file")),
            "{report}"
        );
        ruled(runtime.admit(event(B)).await);
    }
}

#[tokio::test]
async fn a_manifest_of_a_gigabyte_is_not_read() {
    let why = why_refused(|plugins| File::create(manifest(plugins)).unwrap().set_len(1 << 30).unwrap()).await;
    assert!(why.ends_with("it has more than 65536 bytes"), "{why}");
}

#[tokio::test]
async fn a_manifest_of_nothing_but_mistakes_is_told_in_a_few() {
    let keys: String = (0..5000).map(|number| format!("k{number} = 1\n")).collect();
    let why = why_refused(|plugins| fs::write(manifest(plugins), &keys).unwrap()).await;
    assert!(why.contains("k0: is no key here") && why.ends_with("more mistakes"), "{why}");
}

#[tokio::test]
async fn a_manifest_paints_no_terminal_and_quotes_no_file() {
    let painted = "\"\\u001b[2Jall is well\\n\" = 1\n\"\\u001b]0;title\\u0007\" = 2\n";
    let why = why_refused(|plugins| fs::write(manifest(plugins), painted).unwrap()).await;
    assert!(why.contains("is no key here"), "{why}");
    let long = format!("{} = 1\n", "k".repeat(60_000));
    why_refused(|plugins| fs::write(manifest(plugins), &long).unwrap()).await;
    let why = why_refused(|plugins| {
        let elsewhere = plugins.path().join("secrets.env");
        fs::write(&elsewhere, "KEY=eyJhbGciOiJIUzI1NiJ9 and more\n").unwrap();
        fs::remove_file(manifest(plugins)).unwrap();
        symlink(elsewhere, manifest(plugins)).unwrap();
    });
    assert!(!why.await.contains("eyJ"), "a link made the host quote another file");
}

#[tokio::test]
async fn a_manifest_nested_as_deep_as_its_size_allows_ends_nothing() {
    for text in [
        format!("name = {}", "[".repeat(60_000)),
        format!("name = {}1{}", "[".repeat(30_000), "]".repeat(30_000)),
        format!("name = {}", "{a=".repeat(20_000)),
        format!("{}a = 1", "a.".repeat(30_000)),
        format!("[{}a]", "a.".repeat(30_000)),
    ] {
        why_refused(|plugins| fs::write(manifest(plugins), &text).unwrap()).await;
    }
}
