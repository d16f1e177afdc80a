//! `xnovu worker list`.

use std::process::ExitCode;

use xnovu_queue::WorkerInfo;

use super::super::output::{Output, seconds, table};
use super::super::reach::{Reached, reach};
use crate::config::Layers;

const HEAD: [&str; 10] = ["ID", "HOST", "PID", "SINCE", "CONCURRENCY", "ACTIVE", "DONE", "FAILED", "VERSION", "STATE"];

/// Every worker of this Redis, or those inside the daemon where there is none.
pub(super) async fn run(layers: &Layers, output: Output) -> anyhow::Result<ExitCode> {
    let workers: Vec<WorkerInfo> = match reach(layers).await? {
        Reached::Redis(queue) => queue.registry().list().await?,
        Reached::Daemon(daemon) => daemon.get("/admin/workers").await?,
    };
    if output.json() {
        output.document(&workers)?;
    } else if workers.is_empty() {
        output.note("no worker runs");
        output.note("  hint: start one with `xnovu worker start`, or several with `xnovu worker scale 2`");
    } else {
        output.lines(&table(&HEAD, &workers.iter().map(row).collect::<Vec<_>>()));
    }
    Ok(ExitCode::SUCCESS)
}

fn row(worker: &WorkerInfo) -> Vec<String> {
    let state = match (worker.draining, worker.in_daemon) {
        (true, _) => "draining",
        (false, true) => "in daemon",
        (false, false) => "running",
    };
    let numbers = [worker.jobs.active, worker.jobs.done, worker.jobs.failed].map(|number| number.to_string());
    let mut row = vec![worker.id.clone(), worker.host.clone(), worker.pid.to_string(), seconds(worker.since)];
    row.push(worker.concurrency.to_string());
    row.extend(numbers);
    row.extend([worker.version.clone(), state.to_owned()]);
    row
}
