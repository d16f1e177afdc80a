//! `xnovu config`.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::EXIT_SETTINGS;
use super::output::Output;
use crate::config::{self, Layers, Mistake, Shown};

#[derive(Subcommand)]
pub(super) enum ConfigCommand {
    /// Say everything that is missing, wrong or risky; exit code 64 where something is missing or wrong.
    Check,
    /// Show every setting, its value and where it comes from; secrets are hidden.
    Show {
        /// Only those that were set
        #[arg(long)]
        set: bool,
    },
    /// Print an example of a .env with every setting.
    Example,
    /// Print every setting as the tables of the documentation.
    Reference,
}

pub(super) fn run(command: &ConfigCommand, layers: &Layers, output: Output) -> ExitCode {
    match command {
        ConfigCommand::Check => return check(layers, output),
        ConfigCommand::Show { set } => show(layers, *set, output),
        ConfigCommand::Example => output.line(config::env_example().trim_end()),
        ConfigCommand::Reference => output.line(config::markdown().trim_end()),
    }
    ExitCode::SUCCESS
}

fn check(layers: &Layers, output: Output) -> ExitCode {
    let examined = config::examine(layers);
    let (mistakes, warnings) = (&examined.mistakes.0, &examined.warnings);
    if output.json() {
        output.line(&json!({"ok": mistakes.is_empty(), "mistakes": mistakes, "warnings": warnings}).to_string());
    } else {
        let tell = |word: &str, told: &[Mistake]| {
            for Mistake { name, what, hint } in told {
                output.line(&format!("{word}: {name}: {what}\n  hint: {hint}"));
            }
        };
        tell("error", mistakes);
        tell("warning", warnings);
        output.line(&match (mistakes.len(), warnings.len()) {
            (0, 0) => "the settings are right".to_owned(),
            (0, warnings) => format!("the settings work; warnings: {warnings}"),
            (mistakes, warnings) => format!("the settings are wrong; errors: {mistakes}, warnings: {warnings}"),
        });
    }
    if mistakes.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_SETTINGS) }
}

fn show(layers: &Layers, set: bool, output: Output) {
    let mut shown = config::shown(layers);
    shown.retain(|one| !set || one.layer != "default");
    if output.json() {
        output.line(&json!(shown).to_string());
    } else {
        let width = |of: fn(&Shown) -> usize| shown.iter().map(of).max().unwrap_or(0);
        let names = width(|one| one.name.len());
        let values = width(|one| one.value.as_deref().map_or(1, |value| value.chars().count())).min(VALUE_COLUMNS_MAX);
        let mut group = "";
        for one in &shown {
            if one.group != group {
                group = one.group;
                output.line(&format!("{}# {group}", if one == &shown[0] { "" } else { "\n" }));
            }
            let value = one.value.as_deref().unwrap_or("–");
            output.line(&format!("{:names$}  {value:values$}  {}", one.name, one.origin));
        }
    }
    let mistakes = config::examine(layers).mistakes.0.len();
    if mistakes > 0 {
        output.note(&format!("note: settings missing or wrong: {mistakes}; `xnovu config check` names them"));
    }
}

/// Widest value that moves the column behind it.
const VALUE_COLUMNS_MAX: usize = 48;
