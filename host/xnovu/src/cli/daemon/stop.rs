//! `xnovu daemon stop`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::output::Output;
use super::super::seconds;
use crate::config::{Layers, state_dir};
use crate::control::{Client, ControlError, Role, StateDir};

/// What a stop may take beyond the daemon's own grace periods.
const MARGIN: Duration = Duration::from_secs(15);

/// Longest wait until a daemon that is starting listens.
const STARTING: Duration = Duration::from_secs(30);

/// Time between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Args, Clone)]
pub(super) struct StopArgs {
    /// Seconds to wait for the end [default: the daemon's own grace periods, and 15]
    #[arg(long, value_name = "SECONDS", value_parser = seconds())]
    timeout: Option<u64>,
}

/// What is left of the daemon.
pub(super) enum Stopped {
    /// There was none.
    None,
    /// It has ended.
    Ended(u32),
    /// It has not ended in time.
    Late(u32, Duration),
}

pub(super) async fn stop(args: &StopArgs, layers: &Layers, output: Output) -> anyhow::Result<ExitCode> {
    let state = StateDir::at(&state_dir(layers)?)?;
    let stopped = stop_daemon(&state, args, output).await?;
    if output.json() {
        let (was_running, running) = match stopped {
            Stopped::None => (false, false),
            Stopped::Ended(_) => (true, false),
            Stopped::Late(..) => (true, true),
        };
        output.line(&format!("{:#}", json!({"was_running": was_running, "running": running})));
    }
    Ok(tell(&stopped, &state, output))
}

/// Says how a stop went. Late is a failure.
pub(super) fn tell(stopped: &Stopped, state: &StateDir, output: Output) -> ExitCode {
    match stopped {
        Stopped::None => output.note(&format!("no daemon runs with the state directory {}", state.path().display())),
        Stopped::Ended(pid) => output.note(&format!("the daemon (pid {pid}) has stopped")),
        Stopped::Late(pid, waited) => {
            output.note(&format!("error: the daemon (pid {pid}) is still stopping after {} s", waited.as_secs()));
            output.note(&format!("  hint: wait with `xnovu daemon stop`, or end it at once with: kill {pid}; what is under way is taken over"));
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Asks the daemon to stop. One that is starting has no socket yet.
async fn ask(client: &Client, state: &StateDir) -> Result<Value, ControlError> {
    let patience = Instant::now() + STARTING;
    loop {
        match client.post("/admin/stop", &json!({})).await {
            Err(ControlError::Silent { .. }) if state.find(&Role::Daemon).is_err() => return Ok(Value::Null),
            Err(ControlError::Silent { .. }) if Instant::now() < patience => tokio::time::sleep(LOOK).await,
            answered => return answered,
        }
    }
}

/// Asks the daemon to stop and waits for its end.
///
/// # Errors
/// It does not answer.
pub(super) async fn stop_daemon(state: &StateDir, args: &StopArgs, output: Output) -> anyhow::Result<Stopped> {
    let client = match Client::of(state, &Role::Daemon) {
        Ok(client) => client,
        Err(ControlError::NotRunning { .. }) => return Ok(Stopped::None),
        Err(error) => return Err(error.into()),
    };
    let pid = client.found().pid;
    let answer = ask(&client, state).await?;
    let own = Duration::from_millis(answer["grace_ms"].as_u64().unwrap_or_default()) + MARGIN;
    let patience = args.timeout.map_or(own, Duration::from_secs);
    if output.is_terminal() {
        output.note(&format!("waiting at most {} s until what is under way has ended", patience.as_secs()));
    }
    let deadline = Instant::now() + patience;
    // Its lock is its life: the operating system gives it up last.
    while state.find(&Role::Daemon).is_ok_and(|found| found.pid == pid) {
        if Instant::now() >= deadline {
            return Ok(Stopped::Late(pid, patience));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(Stopped::Ended(pid))
}
