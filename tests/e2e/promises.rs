//! The pages that say which test shows what name tests that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Pages whose tables name tests between backticks.
const PAGES: [&str; 6] =
    ["SECURITY.md", "docs/hazards.md", "docs/hostile-plugins.md", "docs/queue.md", "wit/README.md", PROMISES];

/// The page with a row for each promise of the specification.
const PROMISES: &str = "docs/promises.md";

/// A name is that of a test where it has more words than a command, a metric or a setting.
const WORDS_MIN: usize = 5;

#[test]
fn every_test_that_a_page_names_exists() {
    let (tests, mut missing) = (tests(), Vec::new());
    for page in PAGES {
        let text = fs::read_to_string(root().join(page)).unwrap();
        let names = text.split('`').skip(1).step_by(2).filter(|name| is_a_claim(name));
        let exists = |name: &str| match name.strip_suffix('…') {
            Some(beginning) => {
                tests.range(beginning.to_owned()..).next().is_some_and(|test| test.starts_with(beginning))
            }
            None => tests.contains(name),
        };
        missing.extend(names.filter(|name| !exists(name)).map(|name| format!("{page}: {name}")));
    }
    assert!(missing.is_empty(), "no test has these names: {missing:#?}");
}

#[test]
fn every_promise_has_something_that_shows_it() {
    let page = fs::read_to_string(root().join(PROMISES)).unwrap();
    let (tests, clients) = (tests(), of_clients());
    let mut rows = 0;
    for row in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| promise |")) {
        let shown_by = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let named = shown_by.split('`').skip(1).step_by(2);
        let shows = |name: &str| tests.contains(name) || clients.contains(name);
        let bad: Vec<&str> = named.clone().filter(|name| !shows(name)).collect();
        assert!(bad.is_empty(), "no test has the names {bad:?} of the row\n{row}");
        let is_file = |word: &str| word.contains('/') && root().join(word).is_file();
        let files = shown_by.split([' ', ',']).filter(|word| is_file(word)).count();
        assert!(named.count() + files > 0, "nothing shows this promise:\n{row}");
        rows += 1;
    }
    assert!(rows > 50, "only {rows} rows were read");
}

/// Pages whose commands no test here runs, and why.
const RUN_ELSEWHERE: [(&str, &str); 2] = [
    ("docs/plugins.md", "by host/xnovu/src/cli/plugin/tests.rs"),
    ("docs/queue.md", "by tests/e2e/queue.rs, which fills in names"),
];

#[test]
fn every_page_with_commands_is_run_by_a_test() {
    let here = root().join("tests/e2e");
    let sources = fs::read_dir(here).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file());
    let sources: String = sources.map(|path| fs::read_to_string(path).unwrap()).collect();
    let pages = fs::read_dir(root().join("docs")).unwrap().map(|page| page.unwrap().path());
    let has_commands =
        |text: &str| ["```console", "```sh", "```bash", "```shell"].iter().any(|fence| text.contains(fence));
    for page in pages.filter(|page| has_commands(&fs::read_to_string(page).unwrap())) {
        let name = format!("docs/{}", page.file_name().unwrap().to_string_lossy());
        let run = sources.contains(&format!("Page::of(&house, \"{name}\""));
        assert!(
            run || RUN_ELSEWHERE.iter().any(|(elsewhere, _)| *elsewhere == name),
            "no test runs the commands of {name}"
        );
    }
}

/// The names of the tests that Node runs.
fn of_clients() -> BTreeSet<String> {
    let directories = ["tests/interop", "docker/bull-board"].map(|directory| root().join(directory));
    let files =
        directories.iter().flat_map(|directory| fs::read_dir(directory).unwrap()).map(|file| file.unwrap().path());
    let mut names = BTreeSet::new();
    for text in files.filter(|path| path.is_file()).filter_map(|path| fs::read_to_string(path).ok()) {
        let calls = text.lines().filter_map(|line| line.trim_start().strip_prefix("test("));
        names.extend(calls.filter_map(|call| Some(call.split(['\'', '"']).nth(1)?.to_owned())));
    }
    names
}

fn is_a_claim(name: &str) -> bool {
    let shortened = name.ends_with('…');
    let words = name.trim_end_matches('…').trim_end_matches('_');
    let plain = !words.is_empty() && words.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    plain && (shortened || words.split('_').count() >= WORDS_MIN)
}

/// The names of all functions, the tests among them.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for directory in ["host", "sdk", "plugins", "tests"] {
        collect(&root().join(directory), &mut names);
    }
    names
}

fn collect(directory: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !["target", "node_modules"].contains(&name.as_str()) {
            collect(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            names.extend(text.split("fn ").skip(1).filter_map(|rest| Some(rest.split_once('(')?.0.to_owned())));
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}
