//! What a shell and a reader of manuals need: `xnovu completions` and `xnovu man`.
//!
//! Owns the form of both; what they say is made from the verbs and flags as they are. Never shows a hidden verb.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Command, CommandFactory, ValueHint};
use clap_complete::Shell;
use clap_mangen::Man;

use super::Cli;
use super::output::Output;

#[derive(Args)]
pub(super) struct CompletionsArgs {
    /// The shell; in bash, for example: source <(xnovu completions bash)
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Args)]
pub(super) struct ManArgs {
    /// Write a page for xnovu and one for each verb into this directory, instead of printing the first
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

/// What each page says of exit codes; docs/configuration.md has the same table.
const EXIT_CODES: &str = r#".SH "EXIT STATUS"
.TP
0
Done.
.TP
1
Failed, or stopped before everything had ended.
.TP
2
The command line is wrong.
.TP
64
Settings are missing or wrong; all of them are named.
.TP
130
Stopped at once, by a signal while it was stopping.
"#;

pub(super) fn completions(args: &CompletionsArgs, output: Output) -> ExitCode {
    output.line(script(args.shell).trim_end());
    ExitCode::SUCCESS
}

pub(super) fn man(args: &ManArgs, output: Output) -> anyhow::Result<ExitCode> {
    let mut command = shown(&Cli::command());
    command.build();
    let Some(dir) = &args.dir else {
        output.line(page(&command).context("writing the page")?.trim_end());
        return Ok(ExitCode::SUCCESS);
    };
    let refused =
        || format!("the pages cannot be written to {}\n  hint: name a directory you may write to", dir.display());
    std::fs::create_dir_all(dir).with_context(refused)?;
    write_pages(&command, dir)?;
    output.note(&format!("the pages are in {0}; read one with: man {0}/xnovu-daemon.1", dir.display()));
    Ok(ExitCode::SUCCESS)
}

/// The command as people may use it. The libraries would offer hidden verbs too.
fn shown(command: &Command) -> Command {
    let bare = Command::new("xnovu")
        .version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .args(command.get_arguments().cloned());
    let described = command.get_about().into_iter().fold(bare, |bare, about| bare.about(about.clone()));
    let described = command.get_long_about().into_iter().fold(described, |bare, about| bare.long_about(about.clone()));
    described.subcommands(verbs(command).cloned())
}

fn verbs(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help")
}

fn script(shell: Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut shown(&Cli::command()), "xnovu", &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn write_pages(command: &Command, dir: &Path) -> anyhow::Result<()> {
    let path = dir.join(format!("{}.1", title(command)));
    let text = page(command).with_context(|| format!("writing {}", path.display()))?;
    std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    verbs(command).try_for_each(|verb| write_pages(verb, dir))
}

/// The page of a built command.
fn page(command: &Command) -> std::io::Result<String> {
    let man = Man::new(command.clone().disable_help_subcommand(true));
    let mut page = Vec::new();
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let body = String::from_utf8_lossy(&page).into_owned();
    // The library's own title line leaves the date out in a way that moves the version into its place.
    let head = format!(".TH {} 1 \"\" \"xnovu {}\" \"xnovu\"\n", title(command), env!("CARGO_PKG_VERSION"));
    Ok(format!("{head}{body}{EXIT_CODES}"))
}

/// What its page is called: `xnovu-daemon-start`.
fn title(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(command: &Command, above: &str, all: &mut Vec<String>) {
        for verb in verbs(command) {
            let name = format!("{above}-{}", verb.get_name());
            names(verb, &name, all);
            all.push(name);
        }
    }

    fn all() -> Vec<String> {
        let mut all = Vec::new();
        names(&Cli::command(), "xnovu", &mut all);
        assert!(all.contains(&"xnovu-daemon-restart".to_owned()) && all.len() > 20, "{all:?}");
        all
    }

    #[test]
    fn the_completions_of_every_shell_know_every_verb_and_none_that_is_hidden() {
        for shell in [Shell::Bash, Shell::Elvish, Shell::Fish, Shell::PowerShell, Shell::Zsh] {
            let script = script(shell);
            for name in all() {
                let verb = name.rsplit_once('-').unwrap().1;
                assert!(script.contains(verb), "{shell} does not know {name}");
            }
            assert!(!script.contains("Compile a component") && !script.contains("xnovu__compile"), "{shell}");
        }
    }

    #[test]
    fn every_verb_has_a_page_and_what_is_hidden_has_none() {
        let dir = tempfile::tempdir().unwrap();
        man(&ManArgs { dir: Some(dir.path().join("man")) }, Output::new(Default::default(), true)).unwrap();
        let mut pages: Vec<String> = std::fs::read_dir(dir.path().join("man"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap().replace(".1", ""))
            .collect();
        let mut want = [all(), vec!["xnovu".to_owned()]].concat();
        pages.sort();
        want.sort();
        assert_eq!(pages, want);
    }

    #[test]
    fn the_exit_codes_of_the_pages_are_those_of_the_documentation() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let document = std::fs::read_to_string(path).unwrap();
        let (_, rest) = document.split_once("## Exit codes").unwrap();
        let table: Vec<(&str, String)> = rest
            .lines()
            .skip_while(|line| !line.starts_with("|---"))
            .skip(1)
            .take_while(|line| line.starts_with('|'))
            .filter_map(|line| line.trim_matches(['|', ' ']).split_once(" | "))
            .map(|(code, meaning)| (code, meaning.to_lowercase()))
            .collect();
        let lines: Vec<&str> = EXIT_CODES.lines().collect();
        let page: Vec<(&str, String)> =
            lines[1..].chunks(3).map(|chunk| (chunk[1], chunk[2].trim_end_matches('.').to_lowercase())).collect();
        assert_eq!(page, table);
    }
}
