//! `xnovu daemon`.

mod ask;
mod detach;
mod logs;
mod monitor;
mod restart;
mod start;
mod stop;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::CommonArgs;
use super::output::Output;
use crate::config::{Config, Layers};

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
    /// Start the daemon, in the foreground unless --detach is given.
    Start(StartArgs),
    /// Say in a few lines how the running daemon is; exit code 1 when it is unhealthy or not to be reached.
    Status(ask::StatusArgs),
    /// Say everything the running daemon knows of its health; exit codes as of status.
    Health,
    /// Stop the running daemon and wait until what was under way has ended.
    Stop(stop::StopArgs),
    /// Stop the running daemon and start it again, with the options it had and those given here.
    Restart(restart::RestartArgs),
    /// Show the end of the log of a daemon that was started with --detach.
    Logs(logs::LogsArgs),
}

#[derive(Args, Clone, Default, Serialize)]
struct StartArgs {
    #[command(flatten)]
    #[serde(flatten)]
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

    /// Only watch: judge every notification, compare with what another sender writes to the rows, and write, queue and send nothing
    #[arg(long, conflicts_with = "workers")]
    monitor: bool,

    /// Log at debug level in lines for people. The services are the real ones; `xnovu dev` has its own
    #[arg(long)]
    dev: bool,

    /// Leave the terminal, and return once the daemon is ready; its log goes to daemon.log in the state directory
    #[arg(long)]
    #[serde(skip)]
    detach: bool,

    /// The process that --detach starts.
    #[arg(long, hide = true, conflicts_with = "detach")]
    #[serde(skip)]
    detached: bool,
}

impl StartArgs {
    fn put_into(&self, layers: &mut Layers) {
        layers.set_flag("DAEMON_ENTERPRISE_IDS", self.enterprises.as_ref());
        layers.set_flag("DAEMON_HEALTH_PORT", self.health_port);
        self.common.put_into(layers);
    }
}

/// Where health is served, before the port is bound.
fn health_at(config: &Config, path: &str) -> String {
    match config.health {
        free if free.port() == 0 => format!("{path} on a free port; `xnovu daemon status` tells which"),
        address => format!("http://{address}{path}"),
    }
}

pub(super) async fn run(command: DaemonCommand, layers: Layers, output: Output) -> anyhow::Result<ExitCode> {
    match command.verb {
        None => start::start(command.start, layers, output).await,
        Some(Verb::Start(args)) => start::start(args, layers, output).await,
        Some(Verb::Status(args)) => ask::status(&args, &layers, output).await,
        Some(Verb::Health) => ask::health(&layers, output).await,
        Some(Verb::Stop(args)) => stop::stop(&args, &layers, output).await,
        Some(Verb::Restart(args)) => restart::restart(args, layers, output).await,
        Some(Verb::Logs(args)) => logs::logs(&args, &layers, output).await,
    }
}
