//! `xnovu worker`.

mod list;
mod scale;
mod status;
mod stop;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::notes::Notes;
use super::output::Output;
use super::place::{Place, options};
use super::serve::{Roles, serve};
use super::{CommonArgs, settle};
use crate::config::{Config, Layers, Mistakes};
use crate::control::Role;
use crate::parts::Parts;
use crate::tasks::Tasks;

#[derive(Subcommand)]
pub(super) enum WorkerCommand {
    /// Start one worker in the foreground.
    Start(StartArgs),
    /// Keep a number of workers running on this machine; a later call changes the number.
    Scale(scale::ScaleArgs),
    /// Show every worker of this Redis, also those of other machines.
    List,
    /// Say how the workers of this state directory are; exit code 1 where none runs or one is not well.
    Status(status::StatusArgs),
    /// Let workers end what is under way, and wait for that.
    Stop(stop::StopArgs),
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

    /// Drain when standard input is closed, as a supervisor does it
    #[arg(long, hide = true)]
    #[serde(skip)]
    supervised: bool,
}

pub(super) async fn run(command: WorkerCommand, layers: Layers, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        WorkerCommand::Start(args) => start(args, layers, output).await,
        WorkerCommand::Scale(args) => scale::run(args, layers, output).await,
        WorkerCommand::List => list::run(&layers, output).await,
        WorkerCommand::Status(args) => status::run(&args, &layers, output).await,
        WorkerCommand::Stop(args) => stop::run(args, &layers, output).await,
    }
}

/// Workers of their own need a queue that is not in another process's memory.
fn require_redis(config: &Config) -> Result<(), Mistakes> {
    if config.redis.is_some() {
        return Ok(());
    }
    let mut mistakes = Mistakes::default();
    let hint = "set it to the daemon's Redis, or run workers inside the daemon: xnovu daemon --workers 1";
    mistakes.add("REDIS_URL", "is not set, and a worker of its own has no queue without it", hint);
    Err(mistakes)
}

async fn start(args: StartArgs, mut layers: Layers, output: Output) -> anyhow::Result<ExitCode> {
    layers.set_flag("DAEMON_HEALTH_PORT", args.health_port);
    let config = settle(&args.common, args.dev, layers)?;
    let notes = Notes::of(&config, output);
    notes.end(work(&args, config, notes).await)
}

async fn work(args: &StartArgs, config: Config, notes: Notes) -> anyhow::Result<ExitCode> {
    require_redis(&config)?;
    let health = args.health_port.is_some();
    let place = Place::take(&config, Role::new_worker(), options(args))?;
    let parts = Parts::open(config, "worker").await?;
    notes.report(&parts.report);
    notes.info(&format!("performing {} job(s) at a time", parts.config.concurrency));
    let roles = Roles { daemon: None, monitor: None, workers: 1, health, place: Some(place) };
    let stop = CancellationToken::new();
    if args.supervised {
        Tasks::new(stop.clone()).spawn("supervisor's line", drain_with_the_line(stop.clone()));
    }
    serve(parts, roles, stop).await
}

async fn drain_with_the_line(stop: CancellationToken) {
    match crate::shutdown::line_closed().await {
        Ok(()) => tracing::info!("the supervisor lets this worker drain, or has ended"),
        Err(error) => tracing::error!(%error, "--supervised is for workers that a supervisor starts; standard input"),
    }
    stop.cancel();
}
