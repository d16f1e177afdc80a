//! `xnovu worker stop`.
//!
//! Owns the order in which workers are found: those of this state directory over their sockets, the others through a request in Redis that
//! they hear with their next sign of life. Waits until they have ended what was under way.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Value, json};
use xnovu_queue::Registry;

use super::super::output::Output;
use super::super::reach::{Reached, reach};
use super::super::seconds;
use crate::config::{Layers, state_dir};
use crate::control::{Client, ControlError, Role, StateDir};

/// Time between two looks whether they have ended.
const LOOK: Duration = Duration::from_millis(200);

/// Longest wait for a worker that is starting.
const STARTING: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(in crate::cli) struct StopArgs {
    /// The worker, as `xnovu worker list` names it; the first letters suffice. Without: every worker of this state directory
    #[arg(value_name = "ID", value_parser = NonEmptyStringValueParser::new(), conflicts_with = "all")]
    id: Option<String>,

    /// Every worker of this Redis, also of other machines
    #[arg(long)]
    all: bool,

    /// Longest wait for jobs under way
    #[arg(long, value_name = "SECONDS", default_value_t = 90, value_parser = seconds())]
    timeout: u64,
}

pub(super) async fn run(args: StopArgs, layers: &Layers, output: Output) -> anyhow::Result<ExitCode> {
    let state = StateDir::at(&state_dir(layers)?)?;
    let mut asked = Asked { state, registry: None, left: BTreeSet::new() };
    let own = asked.running()?;
    // Those of this state directory are stopped without Redis, which may be what is amiss.
    let is_elsewhere = |start: &String| !own.iter().any(|id| id.starts_with(start.as_str()));
    if (args.all || args.id.as_ref().is_some_and(is_elsewhere))
        && let Reached::Redis(queue) = reach(layers).await?
    {
        asked.registry = Some(queue.registry());
    }
    match &args.id {
        Some(id) => asked.one(id, output).await?,
        None => asked.own(output).await?,
    }
    if args.all {
        asked.others(output).await?;
    }
    asked.wait(Duration::from_secs(args.timeout), output).await
}

/// Those that were asked, and where they are looked for.
struct Asked {
    state: StateDir,
    registry: Option<Registry>,
    left: BTreeSet<String>,
}

impl Asked {
    /// One worker, wherever it runs.
    async fn one(&mut self, start: &str, output: Output) -> anyhow::Result<()> {
        let own = self.running()?;
        let mut known = own.clone();
        if let Some(registry) = &self.registry {
            for worker in registry.list().await? {
                if worker.in_daemon && worker.id == start {
                    bail!(
                        "worker {start} runs inside the daemon (pid {} on {})\n  hint: `xnovu daemon stop` stops both",
                        worker.pid,
                        worker.host
                    );
                }
                if !worker.in_daemon {
                    known.insert(worker.id);
                }
            }
        }
        let matching: Vec<&String> = known.iter().filter(|id| id.starts_with(start)).collect();
        match matching.as_slice() {
            [id] if own.contains(*id) => self.ask_own(id, output).await,
            [id] => self.ask_other(id, output).await,
            [] => bail!("there is no worker {start}\n  hint: `xnovu worker list` shows those there are"),
            several => bail!("{} workers begin with {start}\n  hint: give more letters", several.len()),
        }
    }

    /// The supervisor of this state directory, then every worker of it.
    async fn own(&mut self, output: Output) -> anyhow::Result<()> {
        if let Ok(supervisor) = Client::of(&self.state, &Role::Supervisor) {
            supervisor.post::<Value>("/admin/stop", &json!({})).await?;
            output.note(&format!("asked the supervisor (pid {}) to stop", supervisor.found().pid));
            self.left.insert(SUPERVISOR.to_owned());
        }
        for id in self.running()? {
            self.ask_own(&id, output).await?;
        }
        Ok(())
    }

    async fn others(&mut self, output: Output) -> anyhow::Result<()> {
        let Some(registry) = &self.registry else { return Ok(()) };
        for worker in registry.list().await? {
            if self.left.contains(&worker.id) {
                continue;
            }
            if worker.in_daemon {
                output.note(&format!(
                    "worker {} runs inside a daemon and stays (pid {} on {})",
                    worker.id, worker.pid, worker.host
                ));
            } else {
                self.ask_other(&worker.id, output).await?;
            }
        }
        Ok(())
    }

    async fn ask_own(&mut self, id: &str, output: Output) -> anyhow::Result<()> {
        let deadline = Instant::now() + STARTING;
        loop {
            // One that has ended meanwhile need not be asked.
            let Ok(client) = Client::of(&self.state, &Role::Worker(id.to_owned())) else { return Ok(()) };
            match client.post::<Value>("/admin/stop", &json!({})).await {
                Ok(_) => {
                    output.note(&format!("asked worker {id} (pid {}) to stop", client.found().pid));
                    self.left.insert(id.to_owned());
                    return Ok(());
                }
                // Its socket comes a moment after its place, and goes a moment before.
                Err(ControlError::Silent { .. }) if Instant::now() < deadline => tokio::time::sleep(LOOK).await,
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn ask_other(&mut self, id: &str, output: Output) -> anyhow::Result<()> {
        if let Some(registry) = &self.registry
            && registry.ask_to_stop(id).await?
        {
            output.note(&format!("asked worker {id} to stop; it hears of it within a few seconds"));
            self.left.insert(id.to_owned());
        }
        Ok(())
    }

    /// The workers of this state directory.
    fn running(&self) -> anyhow::Result<BTreeSet<String>> {
        let running = self.state.running()?.into_iter();
        Ok(running.filter_map(|found| if let Role::Worker(id) = found.role { Some(id) } else { None }).collect())
    }

    /// Waits for all of them.
    async fn wait(mut self, timeout: Duration, output: Output) -> anyhow::Result<ExitCode> {
        if self.left.is_empty() {
            output.note("no worker runs");
        }
        let asked = self.left.len();
        let deadline = Instant::now() + timeout;
        loop {
            self.forget_ended().await?;
            if self.left.is_empty() {
                break;
            }
            if Instant::now() >= deadline {
                let left: Vec<String> = self.left.into_iter().collect();
                bail!(
                    "after {} s there still run: {}\n  hint: they end what is under way; wait longer with --timeout",
                    timeout.as_secs(),
                    left.join(", ")
                );
            }
            tokio::time::sleep(LOOK).await;
        }
        if output.json() {
            output.document(&json!({"stopped": asked}))?;
        } else if asked > 0 {
            output.note(&format!("stopped: {asked}"));
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn forget_ended(&mut self) -> anyhow::Result<()> {
        let mut living = self.running()?;
        if self.state.find(&Role::Supervisor).is_ok() {
            living.insert(SUPERVISOR.to_owned());
        }
        if let Some(registry) = &self.registry {
            living.extend(registry.list().await?.into_iter().map(|worker| worker.id));
        }
        self.left.retain(|id| living.contains(id));
        Ok(())
    }
}

/// How the supervisor is called among those that were asked. No worker is: their names are hexadecimal.
const SUPERVISOR: &str = "supervisor";
