//! `xnovu daemon`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use tokio_util::sync::CancellationToken;

use super::output::Output;
use super::serve::{Roles, enterprises, serve, take_place, tell_report};
use super::{CommonArgs, settle};
use crate::config::Layers;
use crate::control::Role;
use crate::parts::Parts;

/// `xnovu daemon` is `xnovu daemon start`.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct DaemonCommand {
    #[command(subcommand)]
    verb: Option<Verb>,

    #[command(flatten)]
    start: StartArgs,
}

#[derive(Subcommand)]
enum Verb {
    /// Start the daemon in the foreground.
    Start(StartArgs),
}

#[derive(Args, Default)]
struct StartArgs {
    #[command(flatten)]
    common: CommonArgs,

    /// Enterprises to serve, separated by commas [default: DAEMON_ENTERPRISE_IDS, else those bound by name]
    #[arg(long, value_name = "IDS")]
    enterprises: Option<String>,

    /// Port of health and metrics on loopback [default: 3001]
    #[arg(long, value_name = "PORT")]
    health_port: Option<u16>,

    /// Workers inside this process [default: 0 with REDIS_URL, 1 without]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
}

pub(super) async fn run(command: DaemonCommand, layers: Layers, output: Output) -> anyhow::Result<ExitCode> {
    let args = match command.verb {
        Some(Verb::Start(args)) => args,
        None => command.start,
    };
    start(args, layers, output).await
}

async fn start(args: StartArgs, mut layers: Layers, output: Output) -> anyhow::Result<ExitCode> {
    layers.set_flag("DAEMON_ENTERPRISE_IDS", args.enterprises.as_ref());
    layers.set_flag("DAEMON_HEALTH_PORT", args.health_port);
    let config = settle(&args.common, layers)?;
    let embedded = config.redis.is_none();
    if embedded {
        output.note("note: REDIS_URL is not set: the queue lives in this process, and `xnovu worker start` cannot take its jobs");
    }
    let place = take_place(&config, Role::Daemon, true, Vec::new())?;
    let parts = Parts::open(config).await?;
    tell_report(&parts.report, output);
    let served = enterprises(&parts)?;
    let workers = args.workers.unwrap_or(usize::from(embedded));
    output.note(&format!("serving {} enterprise(s) with {workers} worker(s) inside", served.len()));
    output.note(&format!("health: http://{}/health", parts.config.health));
    let roles = Roles { daemon: Some(served), workers, health: true, place: Some(place) };
    serve(parts, roles, CancellationToken::new()).await
}
