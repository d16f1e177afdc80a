//! `xnovu worker scale`.
//!
//! Owns the two halves of the verb: the first call stays in the foreground as supervisor, a later one instructs it and tells what happens.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::super::notes::Notes;
use super::super::output::Output;
use super::super::place::{Place, options};
use super::super::serve::{EXIT_INTERRUPTED, HTTP_GRACE};
use super::super::{CommonArgs, seconds, settle};
use super::require_redis;
use crate::config::Layers;
use crate::control::server;
use crate::control::{Client, ControlError, Role, StateDir};
use crate::supervisor::{Fleet, Program, Stage, Supervisor, WORKERS_MAX, routes};
use crate::tasks::Tasks;

/// Time between two looks at the supervisor.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Args)]
pub(in crate::cli) struct ScaleArgs {
    /// How many workers there shall be on this machine
    #[arg(value_name = "COUNT", value_parser = clap::value_parser!(u16).range(0..=WORKERS_MAX as i64))]
    count: u16,

    #[command(flatten)]
    of_workers: WorkerArgs,

    /// Where a supervisor runs: longest wait until it has reached the number
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = seconds())]
    timeout: u64,
}

/// What the workers are started with.
#[derive(Args, Serialize)]
struct WorkerArgs {
    #[command(flatten)]
    #[serde(flatten)]
    common: CommonArgs,

    /// Log at debug level in lines for people
    #[arg(long)]
    dev: bool,

    /// Serve health and metrics on loopback: of the first worker at the port after this, of the second at the next, and so on
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..=HEALTH_PORT_MAX))]
    #[serde(skip)]
    health_port: Option<u16>,
}

/// So that every worker has a port.
const HEALTH_PORT_MAX: i64 = u16::MAX as i64 - WORKERS_MAX as i64;

pub(super) async fn run(args: ScaleArgs, layers: Layers, output: Output) -> anyhow::Result<ExitCode> {
    let config = settle(&args.of_workers.common, args.of_workers.dev, layers)?;
    require_redis(&config)?;
    let state = StateDir::at(&config.state)?;
    let wanted = usize::from(args.count);
    if let Ok(supervisor) = Client::of(&state, &Role::Supervisor) {
        return instruct(&supervisor, wanted, &args, output).await;
    }
    if wanted == 0 {
        output.note("no supervisor runs, so none of its workers does");
        return if output.json() {
            tell_end(&Fleet { target: 0, workers: Vec::new() }, output)
        } else {
            Ok(ExitCode::SUCCESS)
        };
    }
    let flags = options(&args.of_workers);
    match Place::take(&config, Role::Supervisor, flags.clone()) {
        Ok(place) => {
            let notes = Notes::of(&config, output);
            notes.end(supervise(&place, program(&flags, args.of_workers.health_port)?, wanted, notes).await)
        }
        // Another call was faster.
        Err(error) if matches!(error.downcast_ref(), Some(ControlError::Running { .. })) => {
            instruct(&Client::of(&state, &Role::Supervisor)?, wanted, &args, output).await
        }
        Err(error) => Err(error),
    }
}

/// The worker this very program starts, with the flags it was given itself.
fn program(flags: &[String], health_base: Option<u16>) -> anyhow::Result<Program> {
    let path = std::env::current_exe().context("finding this program")?;
    let mut arguments: Vec<OsString> = ["worker", "start", "--supervised"].map(OsString::from).to_vec();
    arguments.extend(flags.iter().map(OsString::from));
    Ok(Program { path, arguments, health_base })
}

/// Stays until a signal, or until it is told to stop; then waits for its workers. A second signal ends everything at once.
async fn supervise(place: &Place, program: Program, wanted: usize, notes: Notes) -> anyhow::Result<ExitCode> {
    let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
    let (workers, admin) = (Tasks::new(stop.clone()), Tasks::new(ended.clone()));
    let supervisor = Supervisor::new(program, wanted, workers);
    let socket = place.bind()?;
    let told = routes::routes(std::sync::Arc::clone(&supervisor), stop.clone());
    admin.spawn("admin", server::serve(socket, told, ended.clone()));
    notes.info(&format!("supervising {wanted} worker(s); `xnovu worker scale <count>` changes the number"));
    crate::systemd::ready();
    crate::systemd::status("supervising");
    let signals = crate::shutdown::listen(stop.clone());
    let failed = tokio::select! {
        failed = supervisor.run(stop.clone()) => failed,
        second = signals => {
            second.context("listening to signals")?;
            tracing::warn!("a second signal: the workers are ended at once; what was under way is taken over by others");
            return Ok(ExitCode::from(EXIT_INTERRUPTED));
        }
    };
    ended.cancel();
    admin.wait(HTTP_GRACE).await;
    if failed > 0 {
        bail!("{failed} worker(s) stopped before everything had ended");
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells the running supervisor, and what it does until the number is reached.
async fn instruct(supervisor: &Client, wanted: usize, args: &ScaleArgs, output: Output) -> anyhow::Result<ExitCode> {
    if !options(&args.of_workers).is_empty() || args.of_workers.health_port.is_some() {
        output.note("note: the running supervisor keeps the options it was started with; stop it first to change them");
    }
    let before: Fleet = supervisor.get("/admin/fleet").await?;
    output.note(&format!(
        "the supervisor (pid {}) goes from {} to {wanted} worker(s)",
        supervisor.found().pid,
        before.target
    ));
    supervisor.post::<Fleet>("/admin/scale", &routes::Scale { workers: wanted }).await?;
    let deadline = Instant::now() + Duration::from_secs(args.timeout);
    let mut told = stages(&before);
    loop {
        let fleet: Fleet = supervisor.get("/admin/fleet").await?;
        tell_changes(&mut told, &fleet, output);
        if fleet.target != wanted {
            bail!("somebody else has scaled to {} meanwhile", fleet.target);
        }
        if fleet.is_reached() {
            return tell_end(&fleet, output);
        }
        if Instant::now() >= deadline {
            bail!(
                "not reached after {} s: {} worker(s) of {wanted}\n  hint: its log tells why; wait longer with --timeout",
                args.timeout,
                fleet.workers.len()
            );
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn tell_end(fleet: &Fleet, output: Output) -> anyhow::Result<ExitCode> {
    if output.json() {
        output.document(fleet)?;
    } else {
        output.note(&format!("{} worker(s) run", fleet.workers.len()));
    }
    Ok(ExitCode::SUCCESS)
}

type Stages = BTreeMap<u32, (Stage, Option<u32>)>;

fn stages(fleet: &Fleet) -> Stages {
    fleet.workers.iter().map(|kept| (kept.number, (kept.stage, kept.pid))).collect()
}

/// A line for each worker that is not as it was.
fn tell_changes(told: &mut Stages, fleet: &Fleet, output: Output) {
    let now = stages(fleet);
    for (number, (stage, pid)) in &now {
        if told.get(number) == Some(&(*stage, *pid)) {
            continue;
        }
        let pid = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
        let what = match stage {
            Stage::Running => "runs",
            Stage::Waiting => "starts",
            Stage::Draining => "drains",
            Stage::Ended => "has ended",
        };
        output.note(&format!("worker {number}{pid} {what}"));
    }
    for number in told.keys().filter(|number| !now.contains_key(number)) {
        output.note(&format!("worker {number} has ended"));
    }
    *told = now;
}
