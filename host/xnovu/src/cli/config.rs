//! `xnovu config`.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::EXIT_SETTINGS;
use super::output::Output;
use crate::config::{self, Layers, Mistake, Mistakes, Shown};

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

pub(super) fn run(command: &ConfigCommand, layers: &Layers, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        ConfigCommand::Check => return check(layers, output),
        ConfigCommand::Show { set } => show(layers, *set, output)?,
        ConfigCommand::Example => output.line(config::env_example().trim_end()),
        ConfigCommand::Reference => output.line(config::markdown().trim_end()),
    }
    Ok(ExitCode::SUCCESS)
}

fn check(layers: &Layers, output: Output) -> anyhow::Result<ExitCode> {
    let (Mistakes(mut mistakes), warnings) = config::check(layers);
    mistakes.extend(config::require_bindings(layers).err().into_iter().flat_map(|Mistakes(more)| more));
    if output.json() {
        output.document(&json!({"ok": mistakes.is_empty(), "mistakes": mistakes, "warnings": warnings}))?;
    } else {
        let tell = |word: &str, told: &[Mistake]| {
            for Mistake { name, what, hint } in told {
                output.line(&format!("{word}: {name}: {what}\n  hint: {hint}"));
            }
        };
        tell("error", &mistakes);
        tell("warning", &warnings);
        output.line(&match (mistakes.len(), warnings.len()) {
            (0, 0) => "the settings are right".to_owned(),
            (0, warnings) => format!("the settings work; warnings: {warnings}"),
            (mistakes, warnings) => format!("the settings are wrong; errors: {mistakes}, warnings: {warnings}"),
        });
    }
    Ok(if mistakes.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_SETTINGS) })
}

fn show(layers: &Layers, set: bool, output: Output) -> anyhow::Result<()> {
    let mut shown = config::shown(layers);
    shown.retain(|one| !set || one.layer != "default");
    if output.json() {
        output.document(&shown)?;
    } else {
        output.lines(&table(&shown));
    }
    let mistakes = config::check(layers).0.0.len();
    if mistakes > 0 {
        output.note(&format!("note: settings missing or wrong: {mistakes}; `xnovu config check` names them"));
    }
    Ok(())
}

/// A line for each setting, under a line for each group.
fn table(shown: &[Shown]) -> Vec<String> {
    let value = |one: &Shown| one.value.clone().unwrap_or_else(|| "–".to_owned());
    let names = shown.iter().map(|one| one.name.chars().count()).max().unwrap_or(0);
    let values = shown.iter().map(|one| value(one).chars().count()).max().unwrap_or(0).min(VALUE_COLUMNS_MAX);
    let (mut lines, mut group) = (Vec::new(), "");
    for one in shown {
        if one.group != group {
            lines.extend((!group.is_empty()).then(String::new));
            group = one.group;
            lines.push(format!("# {group}"));
        }
        lines.push(format!("{:names$}  {:values$}  {}", one.name, value(one), one.origin));
    }
    lines
}

/// Widest value that moves the column behind it.
const VALUE_COLUMNS_MAX: usize = 48;
