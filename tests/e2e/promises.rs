//! The pages that say which test shows what name tests that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Pages whose tables name tests between backticks.
const PAGES: [&str; 3] = ["docs/hazards.md", "docs/hostile-plugins.md", "docs/queue.md"];

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
