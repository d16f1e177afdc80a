//! `xnovu config`.

use std::process::ExitCode;

use clap::Subcommand;

use super::output::Output;
use crate::config;

#[derive(Subcommand)]
pub(super) enum ConfigCommand {
    /// Print an example of a .env with every setting.
    Example,
    /// Print every setting as the tables of the documentation.
    Reference,
}

pub(super) fn run(command: &ConfigCommand, output: Output) -> ExitCode {
    let text = match command {
        ConfigCommand::Example => config::env_example(),
        ConfigCommand::Reference => config::markdown(),
    };
    output.line(text.trim_end());
    ExitCode::SUCCESS
}
