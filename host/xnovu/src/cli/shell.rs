//! What a shell and a reader of manuals need: `xnovu completions` and `xnovu man`.
//!
//! Owns nothing of its own: both are made from the verbs and flags as they are.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

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
    /// Write a page for each verb into this directory, instead of printing that of xnovu
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn completions(args: &CompletionsArgs, output: Output) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "xnovu", &mut text);
    output.line(String::from_utf8_lossy(&text).trim_end());
    ExitCode::SUCCESS
}

pub(super) fn man(args: &ManArgs, output: Output) -> anyhow::Result<ExitCode> {
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page).context("writing the page")?;
        output.line(String::from_utf8_lossy(&page).trim_end());
        return Ok(ExitCode::SUCCESS);
    };
    std::fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    clap_mangen::generate_to(Cli::command(), dir).with_context(|| format!("writing pages to {}", dir.display()))?;
    output.note(&format!("the pages are in {0}; read one with: man {0}/xnovu-daemon.1", dir.display()));
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of every verb that is shown, with those it is a verb of.
    fn verbs(command: &clap::Command, above: &str, names: &mut Vec<String>) {
        for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help") {
            let name = format!("{above}-{}", verb.get_name());
            verbs(verb, &name, names);
            names.push(name);
        }
    }

    fn all() -> Vec<String> {
        let mut names = Vec::new();
        verbs(&Cli::command(), "xnovu", &mut names);
        assert!(names.contains(&"xnovu-daemon-restart".to_owned()) && names.len() > 20, "{names:?}");
        names
    }

    #[test]
    fn the_completions_of_every_shell_know_every_verb() {
        for shell in [Shell::Bash, Shell::Elvish, Shell::Fish, Shell::PowerShell, Shell::Zsh] {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "xnovu", &mut text);
            let text = String::from_utf8(text).unwrap();
            for name in all() {
                let verb = name.rsplit_once('-').unwrap().1;
                assert!(text.contains(verb), "{shell} does not know {name}");
            }
        }
    }

    #[test]
    fn every_verb_has_a_page_and_what_is_hidden_has_none() {
        let dir = tempfile::tempdir().unwrap();
        man(&ManArgs { dir: Some(dir.path().join("man")) }, Output::new(Default::default(), true)).unwrap();
        for name in all() {
            let page = std::fs::read_to_string(dir.path().join(format!("man/{name}.1")))
                .unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{name}");
        }
        assert!(!dir.path().join("man/xnovu-compile.1").exists());
    }
}
