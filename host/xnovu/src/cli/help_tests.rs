//! What `--help` says of each verb stands in `tests/help/`, so that a change of it is read by somebody.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};

use super::Cli;

/// Set, the files are written anew instead of compared.
const UPDATE: &str = "XNOVU_UPDATE_HELP";

#[test]
fn the_help_of_every_verb_is_as_it_was_reviewed() {
    let mut command = Cli::command().term_width(100);
    command.build();
    let mut said = BTreeMap::new();
    collect(&mut command, "xnovu", &mut said);
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/help");
    if std::env::var_os(UPDATE).is_some() {
        write(&dir, &said);
    }
    let stands: BTreeMap<String, String> =
        files(&dir).into_iter().map(|(name, path)| (name, fs::read_to_string(path).unwrap())).collect();
    let hint = format!("read the change, then: {UPDATE}=1 cargo test -p xnovu --lib cli::help");
    for (name, text) in &said {
        let stands = stands.get(name).map_or("nothing", String::as_str);
        assert!(stands == text, "tests/help/{name}.txt has\n{stands}\nand --help says\n{text}\n{hint}");
    }
    let gone: Vec<&String> = stands.keys().filter(|name| !said.contains_key(*name)).collect();
    assert!(gone.is_empty(), "there are no such verbs any more: {gone:?}\n{hint}");
}

#[test]
fn every_command_line_of_the_specification_is_understood() {
    let lines = [
        "daemon start --dev --enterprises ent1,ent2",
        "worker scale 2 --dev --concurrency 5",
        "daemon start --health-port 3002 --log-level warn",
        "daemon status",
        "daemon health",
        "daemon stop",
        "daemon restart",
        "daemon restart --dev --enterprises ent1 --health-port 3002 --log-level error",
        "worker start",
        "worker start --dev --concurrency 5 --log-level debug",
        "worker list",
        "worker stop",
        "daemon start --enterprises ent1,ent2,ent3 --log-level debug",
        "worker scale 4 --concurrency 10",
        "daemon start --dev --enterprises test-ent",
        "worker scale 2 --dev --concurrency 3",
        "worker scale 6",
    ];
    for line in lines {
        let parsed = Cli::try_parse_from(std::iter::once("xnovu").chain(line.split(' ')));
        assert!(parsed.is_ok(), "{line}: {}", parsed.err().unwrap());
    }
    assert!(Cli::try_parse_from(["xnovu", "daemon", "begin"]).is_err(), "anything is understood");
}

#[test]
fn every_command_line_of_the_documentation_is_understood() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let pages = fs::read_dir(root.join("docs")).unwrap().map(|page| page.unwrap().path());
    let pages = pages.chain(["README.md", "docker/README.md"].map(|page| root.join(page)));
    let mut understood = 0;
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for line in
            text.lines().filter_map(|line| line.strip_prefix("$ xnovu ").or_else(|| line.strip_prefix("xnovu ")))
        {
            // What bash makes of the rest is for the tests that run the pages.
            let words =
                line.split([' ', '|', '>', '&', ';']).take_while(|word| !word.is_empty() && !word.starts_with('#'));
            let parsed =
                Cli::try_parse_from(std::iter::once("xnovu").chain(words.map(|word| word.trim_matches(['"', '\'']))));
            let shown = |error: &clap::Error| !error.use_stderr();
            assert!(parsed.as_ref().err().is_none_or(shown), "{}: {line}: {}", page.display(), parsed.err().unwrap());
            understood += 1;
        }
    }
    assert!(understood > 50, "only {understood} lines were read");
}

fn collect(command: &mut clap::Command, name: &str, said: &mut BTreeMap<String, String>) {
    said.insert(name.to_owned(), command.render_long_help().to_string());
    for verb in command.get_subcommands_mut().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help") {
        let name = format!("{name}-{}", verb.get_name());
        collect(verb, &name, said);
    }
}

fn files(dir: &Path) -> BTreeMap<String, PathBuf> {
    let paths = fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
    paths.map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), path)).collect()
}

fn write(dir: &Path, said: &BTreeMap<String, String>) {
    fs::create_dir_all(dir).unwrap();
    files(dir).values().for_each(|path| fs::remove_file(path).unwrap());
    said.iter().for_each(|(name, text)| fs::write(dir.join(format!("{name}.txt")), text).unwrap());
}
