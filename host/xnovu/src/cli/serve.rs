//! How a long-running command runs and stops.
//!
//! Owns the order of the stop: sources, then the admission empties, then workers finish or give back, then HTTP. A second signal ends the
//! process at once.

use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, anyhow};
use axum::Router;
use futures_util::future::join_all;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use xnovu_domain::EnterpriseId;
use xnovu_queue::Drained;

use super::place::Place;
use crate::config::Mistakes;
use crate::control::{Role, server};
use crate::daemon::Daemon;
use crate::health::Health;
use crate::http;
use crate::monitor::Comparison;
use crate::parts::Parts;
use crate::reloading::Reloads;
use crate::systemd;
use crate::tasks::Tasks;
use crate::worker::{self, WorkerName};

/// How long answers under way may take at the end.
pub(in crate::cli) const HTTP_GRACE: Duration = Duration::from_secs(5);

/// Exit code after a second signal, as shells report an interrupt.
pub(in crate::cli) const EXIT_INTERRUPTED: u8 = 130;

/// What a process does.
pub(super) struct Roles {
    /// The enterprises to hear of. None: it is no daemon.
    pub(super) daemon: Option<Vec<EnterpriseId>>,
    /// Where what it sees is compared, if it only watches.
    pub(super) monitor: Option<Arc<Mutex<Comparison>>>,
    /// How many workers it runs.
    pub(super) workers: usize,
    /// Whether health and metrics are served on TCP.
    pub(super) health: bool,
    /// Its place in the state directory. None: it cannot be instructed from outside.
    pub(super) place: Option<Place>,
}

/// Runs until a signal or until `stop` is cancelled, then stops in order.
pub(super) async fn serve(parts: Parts, roles: Roles, stop: CancellationToken) -> anyhow::Result<ExitCode> {
    let signals = crate::shutdown::listen(stop.clone());
    tokio::select! {
        ended = run(parts, roles, stop.clone()) => ended,
        second = signals => {
            second.context("listening to signals")?;
            tracing::warn!("a second signal: stopping at once; what was under way is taken over by others");
            Ok(ExitCode::from(EXIT_INTERRUPTED))
        }
    }
}

async fn run(parts: Parts, mut roles: Roles, stop: CancellationToken) -> anyhow::Result<ExitCode> {
    let parts = Arc::new(parts);
    let [tasks, http_tasks, work_tasks] = [(); 3].map(|()| Tasks::new(stop.clone()));
    let all = vec![tasks.clone(), http_tasks.clone(), work_tasks.clone()];
    let (drained, http_stop) = (CancellationToken::new(), CancellationToken::new());
    tasks.spawn("secrets", parts.config.secret_files.clone().watch(stop.clone()));
    let listener = if roles.health { Some(http::bind(parts.config.health).await?) } else { None };
    let socket = roles.place.as_ref().map(Place::bind).transpose()?;
    if let (Some(listener), Some(place)) = (&listener, &mut roles.place) {
        place.serves_health_at(listener.local_addr().context("finding the health port")?)?;
    }
    let names = worker_names(&roles);
    let reloads = Reloads::start(&parts, &tasks, &stop)?;
    let daemon = roles.daemon.take().map(|enterprises| match roles.monitor.take() {
        Some(comparison) => Daemon::watch(&parts, enterprises, comparison, &tasks, &stop),
        None => Daemon::start(&parts, enterprises, &tasks, &stop),
    });
    let health = Health::of(&parts, daemon, all.clone(), stop.clone()).await;
    http_tasks.spawn("health", Arc::clone(&health).keep_looking(http_stop.clone()));
    let admin = roles.place.as_ref().map_or_else(Router::new, |place| place.routes(&parts, &reloads, &stop));
    if let Some(listener) = listener {
        let guarded = server::guarded(admin.clone(), parts.config.admin_token.as_ref());
        let routes = http::closed(http::routes(&health).merge(guarded));
        http_tasks.spawn("http", http::serve(listener, routes, http_stop.clone()));
    }
    if let Some(socket) = socket {
        let routes = http::closed(http::routes(&health).merge(admin));
        http_tasks.spawn("admin", server::serve(socket, routes, http_stop.clone()));
    }
    tracing::info!(event = "started", version = env!("CARGO_PKG_VERSION"), workers = roles.workers, "started");
    announce(&roles, all, &http_tasks, &http_stop);
    let working = start_workers(&parts, names, &work_tasks, &drained, &stop);
    let stopping = async {
        stop.cancelled().await;
        tracing::info!(event = "stopping", "stopping");
        systemd::stopping();
        let late = tasks.wait(parts.config.graces.admission).await;
        drained.cancel();
        late
    };
    let (late, worked) = tokio::join!(stopping, working);
    http_stop.cancel();
    let callers = http_tasks.wait(HTTP_GRACE).await;
    if !callers.is_empty() {
        // No work is lost with a caller that was not answered.
        tracing::warn!(tasks = callers.join(", "), "stopped without waiting longer for callers");
    }
    parts.trail.traces().finish();
    report_end(&late, worked)
}

/// Starts the workers of this process. The answer waits for all of them.
fn start_workers(
    parts: &Arc<Parts>,
    names: Vec<WorkerName>,
    tasks: &Tasks,
    drained: &CancellationToken,
    stop: &CancellationToken,
) -> impl Future<Output = Vec<anyhow::Result<Drained>>> {
    let start = |name: WorkerName| {
        let (tell, told) = oneshot::channel();
        let (parts, drained, stop) = (Arc::clone(parts), drained.clone(), stop.clone());
        tasks.spawn("worker", async move {
            // Nobody waits any more where the process ends at once.
            let _ = tell.send(worker::serve::serve(&parts, &name, &drained).await);
        });
        async move {
            let worked = told.await.unwrap_or_else(|_| Err(anyhow!("a worker has panicked")));
            // A worker that cannot work ends the process: a daemon without its workers is not what was asked for.
            stop.cancel();
            worked
        }
    };
    join_all(names.into_iter().map(start).collect::<Vec<_>>())
}

/// Tells a service manager that everything is open, and feeds its watchdog until the end.
fn announce(roles: &Roles, watched: Vec<Tasks>, http_tasks: &Tasks, end: &CancellationToken) {
    tracing::info!(workers = roles.workers, "ready: everything is open");
    systemd::ready();
    if let Some(every) = systemd::watchdog() {
        http_tasks.spawn("watchdog", systemd::feed_watchdog(every, watched, end.clone()));
    }
}

/// What the workers of this process are called: a process that is a worker bears its worker's name.
fn worker_names(roles: &Roles) -> Vec<WorkerName> {
    let in_daemon = roles.daemon.is_some();
    let own = roles.place.as_ref().map(|place| place.role().clone());
    let name = |_| {
        let role = own.clone().filter(|role| matches!(role, Role::Worker(_))).unwrap_or_else(Role::new_worker);
        let id = if let Role::Worker(id) = role { id } else { role.to_string() };
        WorkerName { id, in_daemon }
    };
    (0..roles.workers).map(name).collect()
}

fn report_end(late: &[&str], worked: Vec<anyhow::Result<Drained>>) -> anyhow::Result<ExitCode> {
    let mut jobs = 0;
    for drained in worked {
        jobs += drained?.still_running;
    }
    if late.is_empty() && jobs == 0 {
        tracing::info!(event = "stopped", "stopped");
        return Ok(ExitCode::SUCCESS);
    }
    tracing::error!(tasks = late.join(", "), jobs, "stopped before everything had ended");
    Ok(ExitCode::FAILURE)
}

/// The enterprises to serve: those of the settings, else those bound by name, without those that are switched off.
pub(super) fn enterprises(parts: &Parts) -> Result<Vec<EnterpriseId>, Mistakes> {
    let mut enterprises = parts.config.enterprises.clone();
    if enterprises.is_empty() {
        enterprises = parts.rules.snapshot().enterprises().cloned().collect();
    }
    let mut mistakes = Mistakes::default();
    if enterprises.is_empty() {
        let what = format!(
            "is not set, and {} binds no enterprise by name",
            parts.config.plugins.join("bindings.toml").display()
        );
        mistakes.add(
            "DAEMON_ENTERPRISE_IDS",
            what,
            "set it, or --enterprises, to the ids to serve, separated by commas",
        );
        return Err(mistakes);
    }
    let named = enterprises.len();
    enterprises.retain(|enterprise| parts.config.of(enterprise).enabled);
    if enterprises.is_empty() {
        let hint = "set ENT_<id>_SUBSCRIPTION_ENABLED=true for one of them";
        mistakes.add("DAEMON_ENTERPRISE_IDS", format!("names {named} enterprises, and all are switched off"), hint);
        return Err(mistakes);
    }
    Ok(enterprises)
}
