//! One worker process, kept running.
//!
//! Owns the process: starts it, starts it again with back-off when it ends by itself, and lets it drain when it is no longer wanted. A worker
//! drains when its standard input is closed, so it also does when the supervisor dies. Never kills one that was asked to drain.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use xnovu_domain::Backoff;

/// Waits before a worker that ended by itself is started again.
const RESTART: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(30) };

/// A worker that has run for so long was sound: the waits begin anew.
const STEADY: Duration = Duration::from_secs(60);

/// How a worker process is started.
#[derive(Debug, Clone)]
pub struct Program {
    /// The program.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Where given, the worker in a slot is told to serve its health at this port plus the slot's number.
    pub health_base: Option<u16>,
}

impl Program {
    fn start(&self, slot: u16) -> std::io::Result<Child> {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments);
        if let Some(base) = self.health_base {
            command.arg(format!("--health-port={}", base.saturating_add(slot)));
        }
        command.stdin(Stdio::piped()).kill_on_drop(true);
        // Ctrl-C is the supervisor's to hear: a worker that drains by its line would take it for a second signal.
        command.process_group(0);
        command.spawn()
    }
}

/// What a kept worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// It runs.
    Running,
    /// It has ended by itself and is started again soon.
    Waiting,
    /// It ends what is under way.
    Draining,
    /// It has ended.
    Ended,
}

/// A kept worker, as it is seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Its number, from 1; no other worker of this supervisor gets it.
    pub number: u32,
    /// Its process, while there is one.
    pub pid: Option<u32>,
    /// What it does.
    pub stage: Stage,
    /// How often it was started again.
    pub restarts: u32,
    /// Whether it ended well although nobody here asked it to: somebody else did.
    pub dismissed: bool,
    /// Whether it ended badly after it was asked to drain.
    pub failed: bool,
}

impl Kept {
    pub(super) fn new(number: u32) -> Self {
        Self { number, pid: None, stage: Stage::Waiting, restarts: 0, dismissed: false, failed: false }
    }
}

/// Keeps a worker running until `drain` is cancelled, then until it has drained.
pub(super) async fn keep(program: Arc<Program>, slot: u16, tell: watch::Sender<Kept>, drain: CancellationToken) {
    let mut failures = 0;
    while !drain.is_cancelled() {
        let started = Instant::now();
        let why = match run(&program, slot, &tell, &drain).await {
            Ok(Ended::Drained(status)) => {
                tell.send_modify(|kept| kept.failed = !status.success());
                break;
            }
            Ok(Ended::ByItself(status)) if status.success() => {
                tell.send_modify(|kept| kept.dismissed = true);
                break;
            }
            Ok(Ended::ByItself(status)) => status.to_string(),
            Err(error) => format!("it could not be started: {error}"),
        };
        failures = if started.elapsed() >= STEADY { 0 } else { failures };
        let wait = RESTART.equal_jitter(failures, fastrand::f64());
        failures += 1;
        let number = tell.borrow().number;
        tracing::warn!(worker = number, reason = why, again_in_ms = wait.as_millis(), "a worker has ended by itself");
        tell.send_modify(|kept| (kept.stage, kept.pid, kept.restarts) = (Stage::Waiting, None, kept.restarts + 1));
        drain.run_until_cancelled(tokio::time::sleep(wait)).await;
    }
    tell.send_modify(|kept| (kept.stage, kept.pid) = (Stage::Ended, None));
}

enum Ended {
    ByItself(ExitStatus),
    Drained(ExitStatus),
}

async fn run(
    program: &Program,
    slot: u16,
    tell: &watch::Sender<Kept>,
    drain: &CancellationToken,
) -> std::io::Result<Ended> {
    let mut child = program.start(slot)?;
    let line = child.stdin.take();
    let pid = child.id();
    tell.send_modify(|kept| (kept.stage, kept.pid) = (Stage::Running, pid));
    tracing::info!(worker = tell.borrow().number, pid, "a worker was started");
    if let Some(status) = drain.run_until_cancelled(child.wait()).await {
        return status.map(Ended::ByItself);
    }
    tell.send_modify(|kept| kept.stage = Stage::Draining);
    drop(line);
    child.wait().await.map(Ended::Drained)
}
