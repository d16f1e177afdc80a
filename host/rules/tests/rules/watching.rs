//! Whatever changes in the plugins' directory is told once, and when it is whole.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;
use xnovu_rules::Watch;

/// Longest wait for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Wait in which what must not come would have come.
const A_WHILE: Duration = Duration::from_millis(300);

/// A look where no event calls for one, so rare that it helps no test of events.
const RARE: Duration = Duration::from_secs(3600);

/// A directory with the plugin `p`, watched; what it held at the start has been told.
async fn watched(rescan: Duration) -> (tempfile::TempDir, Watch) {
    let dir = tempfile::tempdir().unwrap();
    let plugins = dir.path().join("plugins");
    fs::create_dir_all(plugins.join("p")).unwrap();
    for (file, text) in [("bindings.toml", "# one"), ("p/plugin.toml", "one"), ("p/p.wasm", "one")] {
        fs::write(plugins.join(file), text).unwrap();
    }
    let watch = Watch::start(&plugins, rescan).unwrap();
    told(&watch, "what was there at the start").await;
    (dir, watch)
}

async fn told(watch: &Watch, what: &str) {
    timeout(PATIENCE, watch.changed()).await.unwrap_or_else(|_| panic!("not told: {what}"));
}

async fn not_told(watch: &Watch, what: &str) {
    assert!(timeout(A_WHILE, watch.changed()).await.is_err(), "told: {what}");
}

/// Writes beside the place and renames, as a careful tool does.
fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("tmp");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, path).unwrap();
}

#[tokio::test]
async fn each_way_to_change_a_file_is_told_by_its_events() {
    let (dir, watch) = watched(RARE).await;
    let plugins = dir.path().join("plugins");
    for file in ["bindings.toml", "p/plugin.toml", "p/p.wasm"] {
        replace(&plugins.join(file), "two");
        told(&watch, "a file that was renamed into place").await;
        fs::write(plugins.join(file), "three").unwrap();
        told(&watch, "a file that was overwritten in place").await;
        fs::remove_file(plugins.join(file)).unwrap();
        told(&watch, "a file that was removed").await;
    }
}

#[tokio::test]
async fn a_swapped_link_is_told_wherever_it_stands() {
    let (dir, watch) = watched(RARE).await;
    let plugins = dir.path().join("plugins");
    for release in ["1", "2"] {
        fs::create_dir_all(dir.path().join(release).join("p")).unwrap();
        for file in ["bindings.toml", "p/plugin.toml", "p/p.wasm"] {
            fs::write(dir.path().join(release).join(file), release).unwrap();
        }
    }
    let swap = |target: &Path, link: &Path| {
        let beside = link.with_extension("new");
        symlink(target, &beside).unwrap();
        fs::rename(beside, link).unwrap();
    };
    fs::remove_file(plugins.join("p/p.wasm")).unwrap();
    swap(&dir.path().join("1/p/p.wasm"), &plugins.join("p/p.wasm"));
    told(&watch, "a component that became a link").await;
    swap(&dir.path().join("2/p/p.wasm"), &plugins.join("p/p.wasm"));
    told(&watch, "a component whose link was swapped").await;

    fs::remove_dir_all(plugins.join("p")).unwrap();
    swap(&dir.path().join("1/p"), &plugins.join("p"));
    told(&watch, "a plugin that became a link").await;
    swap(&dir.path().join("2/p"), &plugins.join("p"));
    told(&watch, "a plugin whose link was swapped").await;
    fs::write(dir.path().join("2/p/p.wasm"), "and changed there").unwrap();
    told(&watch, "a change behind the link").await;

    fs::rename(&plugins, dir.path().join("aside")).unwrap();
    swap(&dir.path().join("1"), &plugins);
    told(&watch, "a directory that became a link").await;
    swap(&dir.path().join("2"), &plugins);
    told(&watch, "a directory whose link was swapped").await;
}

#[tokio::test]
async fn a_new_plugin_is_told_whether_it_is_built_there_or_moved_there() {
    let (dir, watch) = watched(RARE).await;
    let plugins = dir.path().join("plugins");
    fs::create_dir(plugins.join("q")).unwrap();
    fs::write(plugins.join("q/q.wasm"), "one").unwrap();
    told(&watch, "a directory that was made").await;
    fs::write(plugins.join("q/q.wasm"), "two").unwrap();
    told(&watch, "a change in it").await;
    let beside = dir.path().join("r");
    fs::create_dir(&beside).unwrap();
    fs::write(beside.join("r.wasm"), "one").unwrap();
    fs::rename(&beside, plugins.join("r")).unwrap();
    told(&watch, "a directory that was moved there").await;
    fs::write(plugins.join("r/r.wasm"), "two").unwrap();
    told(&watch, "a change in that").await;
}

#[tokio::test]
async fn a_half_written_file_is_not_told() {
    let (dir, watch) = watched(RARE).await;
    let mut file = File::create(dir.path().join("plugins/p/p.wasm")).unwrap();
    for part in ["half ", "of ", "it"] {
        file.write_all(part.as_bytes()).unwrap();
        not_told(&watch, "a file that somebody still writes to").await;
    }
    drop(file);
    told(&watch, "the file, once it was closed").await;
}

#[tokio::test]
async fn what_is_none_of_the_hosts_business_is_not_told() {
    let (dir, watch) = watched(Duration::from_millis(20)).await;
    let plugins = dir.path().join("plugins");
    for file in ["notes.txt", "p/src.rs", "p/other.wasm", "../elsewhere"] {
        fs::write(plugins.join(file), "text").unwrap();
    }
    fs::read(plugins.join("p/p.wasm")).unwrap();
    fs::read_dir(&plugins).unwrap().for_each(drop);
    not_told(&watch, "files of other names, and reads").await;
}

#[tokio::test]
async fn where_no_event_comes_a_look_finds_the_change() {
    // What a link leads to lies outside of every directory that is watched, so nothing tells of it, as on a network mount.
    let (dir, watch) = watched(Duration::from_millis(50)).await;
    let (component, elsewhere) = (dir.path().join("plugins/p/p.wasm"), dir.path().join("store"));
    fs::create_dir(&elsewhere).unwrap();
    fs::rename(&component, elsewhere.join("p.wasm")).unwrap();
    symlink(elsewhere.join("p.wasm"), &component).unwrap();
    told(&watch, "the link").await;
    fs::write(elsewhere.join("p.wasm"), "changed without an event").unwrap();
    told(&watch, "a change that sent no event").await;
}

#[tokio::test]
async fn a_directory_that_comes_later_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let plugins = dir.path().join("plugins");
    let watch = Watch::start(&plugins, RARE).unwrap();
    told(&watch, "the start").await;
    fs::create_dir(&plugins).unwrap();
    fs::write(plugins.join("bindings.toml"), "").unwrap();
    told(&watch, "the directory").await;
}
