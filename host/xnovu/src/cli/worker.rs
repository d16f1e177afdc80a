//! `xnovu worker`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::output::Output;
use super::place::{Place, options};
use super::serve::{Roles, serve, tell_report};
use super::{CommonArgs, settle};
use crate::config::{Layers, Mistakes};
use crate::control::Role;
use crate::parts::Parts;

#[derive(Subcommand)]
pub(super) enum WorkerCommand {
    /// Start one worker in the foreground.
    Start(StartArgs),
}

#[derive(Args, Serialize)]
pub(super) struct StartArgs {
    #[command(flatten)]
    #[serde(flatten)]
    common: CommonArgs,

    /// Port of health and metrics on loopback [default: none]
    #[arg(long, value_name = "PORT")]
    health_port: Option<u16>,

    /// Log at debug level in lines for people
    #[arg(long)]
    dev: bool,
}

pub(super) async fn run(command: WorkerCommand, layers: Layers, output: Output) -> anyhow::Result<ExitCode> {
    let WorkerCommand::Start(args) = command;
    start(args, layers, output).await
}

async fn start(args: StartArgs, mut layers: Layers, output: Output) -> anyhow::Result<ExitCode> {
    layers.set_flag("DAEMON_HEALTH_PORT", args.health_port);
    let config = settle(&args.common, args.dev, layers)?;
    if config.redis.is_none() {
        let mut mistakes = Mistakes::default();
        let hint = "set it to the daemon's Redis, or run workers inside the daemon: xnovu daemon --workers 1";
        mistakes.add("REDIS_URL", "is not set, and a worker of its own has no queue without it", hint);
        return Err(mistakes.into());
    }
    let health = args.health_port.is_some();
    let place = Place::take(&config, Role::new_worker(), options(&args))?;
    let parts = Parts::open(config).await?;
    tell_report(&parts.report, output);
    output.note(&format!("performing {} job(s) at a time", parts.config.concurrency));
    let roles = Roles { daemon: None, workers: 1, health, place: Some(place) };
    serve(parts, roles, CancellationToken::new()).await
}
