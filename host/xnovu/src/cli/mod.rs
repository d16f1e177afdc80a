//! The command line: one file a verb.
//!
//! Owns the verbs, their flags and their exit codes. Never decides anything a verb is for.

mod compile;
mod config;
mod daemon;
mod dev;
mod doctor;
mod notes;
pub mod output;
mod place;
pub mod plugin;
mod queue;
mod reach;
mod serve;
mod shell;
mod worker;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand};
use serde::Serialize;

use crate::config::{Config, Layers, Mistakes, require_bindings};
use crate::telemetry::LogFormat;
use output::{Format, Output};

/// Exit code of settings that are missing or wrong (EX_USAGE of sysexits.h).
const EXIT_SETTINGS: u8 = 64;

/// The rule-engine host for notifications.
///
/// Companies put notification rows into Supabase; their own rules, sandboxed WebAssembly components, decide which are sent, when and how;
/// Novu delivers them. Start with `xnovu dev`.
#[derive(Parser)]
#[command(name = "xnovu", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,

    /// How results are written.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT", help_heading = "Global options")]
    output: Format,

    /// File of settings, instead of the xnovu.toml of this directory
    #[arg(long, global = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath, help_heading = "Global options")]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Hear of notifications, let the rules decide, queue jobs.
    Daemon(daemon::DaemonCommand),
    /// Take jobs, let the rules map them, trigger Novu.
    #[command(subcommand)]
    Worker(worker::WorkerCommand),
    /// See the jobs, and try those again that were given up.
    #[command(subcommand)]
    Queue(queue::QueueCommand),
    /// Write, build, try and inspect plugins.
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// See and check the settings.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Say whether this installation can work, and what to do where it cannot; exit code 1 where something fails.
    Doctor(doctor::DoctorArgs),
    /// Try everything on this machine: a local Supabase and Novu, daemon, worker and sample plugins in one process.
    Dev(dev::DevArgs),
    /// Print a script that lets a shell complete verbs and flags.
    Completions(shell::CompletionsArgs),
    /// Print the manual page, or write one for each verb.
    Man(shell::ManArgs),
    /// Compile a component for the host, within bounds.
    #[command(hide = true)]
    Compile(compile::CompileArgs),
}

impl Cli {
    /// Runs a command that must have its process to itself, with no other thread and no settings. None: it is no such command.
    #[must_use]
    pub fn run_alone(&self) -> Option<ExitCode> {
        match &self.command {
            Command::Compile(args) => Some(compile::run(args)),
            _ => None,
        }
    }
}

/// Flags every long-running command has.
#[derive(Args, Clone, Default, Serialize)]
struct CommonArgs {
    /// Directory of bindings.toml and the plugins [default: plugins]
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    plugins: Option<String>,

    /// Jobs performed at a time by one worker [default: 5]
    #[arg(long, value_name = "N")]
    concurrency: Option<usize>,

    /// debug, info, warn or error [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

impl CommonArgs {
    fn put_into(&self, layers: &mut Layers) {
        layers.set_flag("XNOVU_PLUGINS", self.plugins.as_ref());
        layers.set_flag("WORKER_CONCURRENCY", self.concurrency);
        layers.set_flag("DAEMON_LOG_LEVEL", self.log_level.as_ref());
    }
}

/// Longest wait a flag can ask for: a week, in seconds.
const SECONDS_MAX: u64 = 7 * 24 * 60 * 60;

/// Seconds that a flag says to wait.
fn seconds() -> RangedU64ValueParser {
    RangedU64ValueParser::new().range(0..=SECONDS_MAX)
}

/// Runs a command and says how it ended.
pub async fn run(cli: Cli) -> ExitCode {
    let layers = Layers::of_process(Path::new("."), cli.config.as_deref());
    let output = Output::new(cli.output, layers.get("NO_COLOR").is_some());
    let ended = dispatch(cli.command, layers, output).await;
    ended.unwrap_or_else(|error| {
        output.note(&format!("error: {error:#}"));
        exit_code(&error)
    })
}

/// The code a command ends with that failed so.
fn exit_code(error: &anyhow::Error) -> ExitCode {
    if error.is::<Mistakes>() { ExitCode::from(EXIT_SETTINGS) } else { ExitCode::FAILURE }
}

async fn dispatch(command: Command, layers: Layers, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        Command::Daemon(daemon) => daemon::run(daemon, layers, output).await,
        Command::Worker(worker) => worker::run(worker, layers, output).await,
        Command::Queue(queue) => queue::run(queue, &layers, output).await,
        Command::Plugin(plugin) => plugin::run(plugin, &layers, output).await,
        Command::Config(config) => config::run(&config, &layers, output),
        Command::Doctor(args) => doctor::run(args, layers, output).await,
        Command::Dev(dev) => dev::run(dev, layers, output).await,
        Command::Completions(args) => Ok(shell::completions(&args, output)),
        Command::Man(args) => shell::man(&args, output),
        Command::Compile(args) => Ok(compile::run(&args)),
    }
}

/// The settings of a process that has rules.
fn read_settings(layers: &Layers) -> Result<Config, Mistakes> {
    let config = Config::read(layers)?;
    require_bindings(layers)?;
    Ok(config)
}

/// The settings of a long-running command, and its log. With `dev` the log tells more, in lines for people.
fn settle(common: &CommonArgs, dev: bool, mut layers: Layers) -> anyhow::Result<Config> {
    common.put_into(&mut layers);
    if dev && common.log_level.is_none() {
        layers.set_flag("DAEMON_LOG_LEVEL", Some("debug"));
    }
    let config = read_settings(&layers)?;
    let format = if dev && config.log_format == LogFormat::Auto { LogFormat::Text } else { config.log_format };
    crate::telemetry::start(&config.log_level, format, output::is_watched(), layers.get("NO_COLOR").is_some());
    for warning in &config.warnings {
        tracing::warn!(setting = warning.name, hint = warning.hint, "{} {}", warning.name, warning.what);
    }
    Ok(config)
}

#[cfg(test)]
mod help_tests;
