//! What an operator asks running processes about their rules.
//!
//! Owns the verbs `list`, `reload` and `rollback`. All of them go over the admin sockets of this state directory, so that every process of
//! the installation on this machine is told. Never touches the plugins' directory itself.

mod list;
mod reload;
mod rollback;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::{Args, Subcommand};

use crate::cli::output::Output;
use crate::config::{Layers, state_dir};
use crate::control::{Client, Role, StateDir};

/// Look after the rules that run.
#[derive(Debug, Subcommand)]
pub enum OperateCommand {
    /// Say whose rules run, in which version, how they stand and what they have done.
    List(ListArgs),
    /// Let every daemon and worker of this state directory look at the plugins' directory again, and say what came of it.
    Reload,
    /// Let the version that ran before decide again, at once, until another component lies in the plugin's directory.
    Rollback(RollbackArgs),
}

/// Where plugins lie.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Directory of bindings.toml and the plugins, for where no process runs to be asked [default: plugins]
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
}

/// Whose rules to roll back.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// The enterprise as bindings.toml names it, or '*' for those without a binding of their own
    #[arg(value_name = "ENTERPRISE")]
    enterprise: String,

    /// Take the roll-back back: what lies in the plugins' directory decides again
    #[arg(long)]
    undo: bool,
}

pub(super) async fn run(
    command: OperateCommand,
    plugins: PathBuf,
    layers: &Layers,
    output: Output,
) -> anyhow::Result<ExitCode> {
    match command {
        OperateCommand::List(args) => list::list(args.plugins.unwrap_or(plugins), layers, output).await,
        OperateCommand::Reload => reload::reload(layers, output).await,
        OperateCommand::Rollback(args) => rollback::rollback(args, layers, output).await,
    }
}

/// The processes that have rules, the daemon first.
fn processes(layers: &Layers) -> anyhow::Result<Vec<Client>> {
    let state = StateDir::at(&state_dir(layers)?)?;
    let mut found = state.running()?;
    found.retain(|found| matches!(found.role, Role::Daemon | Role::Worker(_)));
    found.sort_by_key(|found| (found.role != Role::Daemon, found.role.to_string()));
    Ok(found.into_iter().map(Client::to).collect::<Result<_, _>>()?)
}

/// Those there are, of which there must be one.
fn running(layers: &Layers) -> anyhow::Result<Vec<Client>> {
    let processes = processes(layers)?;
    if processes.is_empty() {
        let state = state_dir(layers)?;
        return Err(anyhow!(
            "no daemon or worker runs with the state directory {}\n  hint: start one, or set XNOVU_STATE_DIR to the directory of the one that runs",
            state.display()
        ));
    }
    Ok(processes)
}

/// How a process is called: `daemon (pid 12)`.
fn name(client: &Client) -> String {
    let found = client.found();
    format!("{} (pid {})", found.role, found.pid)
}
