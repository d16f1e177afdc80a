//! `xnovu queue`.
//!
//! Owns the verbs that look at jobs and mend them. Where Redis is set they ask Redis itself, so they work while no daemon runs; else they ask
//! the daemon of this state directory, whose memory the queue is in. Exit codes: 0 done, 1 it could not be done, 64 the settings are wrong.

use std::process::ExitCode;

use anyhow::bail;
use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use xnovu_domain::EnterpriseId;
use xnovu_queue::{JobQueue, QueueName};

use super::output::{Output, age, seconds, table};
use super::reach::{Reached, reach};
use crate::clock::{Clock, SystemClock};
use crate::config::Layers;
use crate::jobs::{self, Failed, QUEUES, QueueStatus, Retry, Selection};

/// Characters of a reason that a line of the table shows.
const REASON_SHOWN: usize = 100;

#[derive(Subcommand)]
pub(super) enum QueueCommand {
    /// How many jobs wait, are under way, delayed, done and failed.
    Status,
    /// The jobs that were given up, with the reason.
    Failed(FailedArgs),
    /// Queue jobs again that were given up.
    Retry(RetryArgs),
    /// Let no worker begin a job until `xnovu queue resume`.
    Pause(WhichArgs),
    /// Let workers begin jobs again.
    Resume(WhichArgs),
}

#[derive(Clone, Copy, ValueEnum)]
enum Which {
    Notifications,
    Rules,
}

impl Which {
    fn name(self) -> QueueName {
        match self {
            Self::Notifications => QueueName::NotificationProcessing,
            Self::Rules => QueueName::RuleExecution,
        }
    }
}

#[derive(Args)]
pub(super) struct WhichArgs {
    /// One queue only [default: both]
    #[arg(long, value_enum, value_name = "QUEUE")]
    queue: Option<Which>,
}

#[derive(Args)]
pub(super) struct FilterArgs {
    #[command(flatten)]
    which: WhichArgs,

    /// Of one enterprise only
    #[arg(long, value_name = "ID")]
    enterprise: Option<EnterpriseId>,

    /// With this text in their reason only
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: Option<String>,
}

impl FilterArgs {
    fn selection(&self, limit: Option<usize>) -> Selection {
        let queue = self.which.queue.map(Which::name);
        Selection { queue, enterprise: self.enterprise.clone(), reason: self.reason.clone(), limit }
    }
}

#[derive(Args)]
pub(super) struct FailedArgs {
    #[command(flatten)]
    filter: FilterArgs,

    /// The latest so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

/// Saying nothing is not everything.
#[derive(Args)]
#[command(group(ArgGroup::new("meant").required(true).multiple(true).args(["jobs", "queue", "enterprise", "reason", "all"])))]
pub(super) struct RetryArgs {
    /// The jobs, as `xnovu queue failed` names them
    #[arg(value_name = "JOB", value_parser = NonEmptyStringValueParser::new(), conflicts_with_all = ["all", "enterprise", "reason", "queue"])]
    jobs: Vec<String>,

    #[command(flatten)]
    filter: FilterArgs,

    /// Every failed job
    #[arg(long, conflicts_with_all = ["enterprise", "reason", "queue"])]
    all: bool,
}

pub(super) async fn run(command: QueueCommand, layers: &Layers, output: Output) -> anyhow::Result<ExitCode> {
    let reached = reach(layers).await?;
    match command {
        QueueCommand::Status => status(&reached, output).await,
        QueueCommand::Failed(args) => failed(&reached, &args, output).await,
        QueueCommand::Retry(args) => retry(&reached, &args.wanted(), output).await,
        QueueCommand::Pause(which) => set_paused(&reached, &which, true, output).await,
        QueueCommand::Resume(which) => set_paused(&reached, &which, false, output).await,
    }
}

async fn status(reached: &Reached, output: Output) -> anyhow::Result<ExitCode> {
    let queues: Vec<QueueStatus> = match reached {
        Reached::Redis(queue) => jobs::status(queue.as_ref()).await?,
        Reached::Daemon(daemon) => daemon.get("/admin/queue").await?,
    };
    if output.json() {
        output.document(&queues)?;
        return Ok(ExitCode::SUCCESS);
    }
    let now = SystemClock.now();
    let row = |one: &QueueStatus| {
        let counts = one.counts;
        let numbers = [counts.waiting, counts.active, counts.delayed, counts.completed, counts.failed];
        let mut row = vec![one.queue.as_str().to_owned()];
        row.extend(numbers.map(|number| number.to_string()));
        row.push(if counts.paused { "paused" } else { "running" }.to_owned());
        row.push(one.oldest_waiting.map_or_else(|| "-".to_owned(), |since| age(now.since(since))));
        row
    };
    let head = ["QUEUE", "WAITING", "ACTIVE", "DELAYED", "COMPLETED", "FAILED", "STATE", "OLDEST WAITS"];
    output.lines(&table(&head, &queues.iter().map(row).collect::<Vec<_>>()));
    Ok(ExitCode::SUCCESS)
}

async fn failed(reached: &Reached, args: &FailedArgs, output: Output) -> anyhow::Result<ExitCode> {
    let selection = args.filter.selection(Some(args.limit));
    let found: Vec<Failed> = match reached {
        Reached::Redis(queue) => jobs::failed(queue.as_ref(), &selection).await?,
        Reached::Daemon(daemon) => daemon.post("/admin/queue/failed", &selection).await?,
    };
    if output.json() {
        output.document(&found)?;
    } else if found.is_empty() {
        output.note("no failed job");
    } else {
        let head = ["JOB", "ENTERPRISE", "FAILED AT", "ATTEMPTS", "REASON"];
        output.lines(&table(&head, &found.iter().map(failed_row).collect::<Vec<_>>()));
    }
    Ok(ExitCode::SUCCESS)
}

fn failed_row(one: &Failed) -> Vec<String> {
    let job = &one.job;
    // A reason may hold what another server said: one line of it, and no control characters, reach the terminal.
    let reason: String = job.reason.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REASON_SHOWN).collect();
    let enterprise = job.enterprise.as_ref().map_or("-", |enterprise| enterprise.as_str()).to_owned();
    let attempts = format!("{}/{}", job.attempts, job.attempts_max);
    vec![job.id.clone(), enterprise, seconds(job.at), attempts, reason]
}

impl RetryArgs {
    fn wanted(&self) -> Retry {
        if self.jobs.is_empty() { Retry::Selected(self.filter.selection(None)) } else { Retry::Jobs(self.jobs.clone()) }
    }
}

async fn retry(reached: &Reached, wanted: &Retry, output: Output) -> anyhow::Result<ExitCode> {
    let again: Vec<String> = match reached {
        Reached::Redis(queue) => jobs::carry_out(queue.as_ref(), wanted).await?,
        Reached::Daemon(daemon) => daemon.post("/admin/queue/retry", wanted).await?,
    };
    if output.json() {
        output.document(&json!({"retried": again}))?;
    } else {
        output.note(&format!("queued again: {}", again.len()));
    }
    let Retry::Jobs(ids) = wanted else { return Ok(ExitCode::SUCCESS) };
    let missing: Vec<&String> = ids.iter().filter(|id| !again.contains(id)).collect();
    for id in &missing {
        output.note(&format!("error: there is no failed job {id}\n  hint: `xnovu queue failed` shows those there are"));
    }
    Ok(if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn set_paused(reached: &Reached, which: &WhichArgs, paused: bool, output: Output) -> anyhow::Result<ExitCode> {
    let names: Vec<QueueName> = which.queue.map_or(QUEUES.to_vec(), |which| vec![which.name()]);
    match reached {
        Reached::Redis(queue) => {
            for name in &names {
                if paused { queue.pause(*name).await? } else { queue.resume(*name).await? }
            }
        }
        Reached::Daemon(_) if which.queue.is_some() => {
            bail!("a queue in memory is paused as a whole\n  hint: leave --queue out")
        }
        Reached::Daemon(daemon) => {
            let path = if paused { "/admin/pause" } else { "/admin/resume" };
            daemon.post::<Value>(path, &json!({})).await?;
        }
    }
    let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
    if output.json() {
        output.document(&json!({"queues": names, "paused": paused}))?;
    } else {
        output.note(&format!("{}: {}", if paused { "paused" } else { "resumed" }, names.join(", ")));
    }
    Ok(ExitCode::SUCCESS)
}
