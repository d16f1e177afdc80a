//! Assembles the daemon.
//!
//! Owns which tasks a daemon is made of and how they are joined. Sources end when `stop` is cancelled; the admission ends when no source
//! is left, so that nothing it has heard of is forgotten.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use xnovu_domain::EnterpriseId;
use xnovu_queue::{JobQueue, QueueName};

use crate::admission::Admission;
use crate::cron::Book;
use crate::cron::catalog::Catalog;
use crate::cron::tick::Ticker;
use crate::monitor::{Comparison, Eyes, Monitor, Report};
use crate::parts::Parts;
use crate::pressure::Pressure;
use crate::reaper::Reaper;
use crate::source::due::Due;
use crate::source::realtime::realtime_sources;
use crate::source::sweep::{Sweep, SweepReport, SweepRequests, SweepSettings};
use crate::source::{Connections, EventSource, Hint, Restarts, StatusSender, supervise};
use crate::tasks::Tasks;
use crate::workflows::Workflows;

/// Hints on their way to the lanes.
const HINTS_MAX: usize = 10_000;

/// Time between two looks at the queue.
const QUEUE_WATCH: Duration = Duration::from_secs(1);

/// A running daemon, as those see it who watch.
pub struct Daemon {
    /// The enterprises it serves.
    pub enterprises: Vec<EnterpriseId>,
    /// How each subscription stands.
    pub connections: watch::Receiver<Connections>,
    /// How the sweeps stand.
    pub sweeps: watch::Receiver<SweepReport>,
    /// The rules that fire by the clock; None where they are switched off.
    pub book: Option<Arc<Book>>,
    /// How full its queue is.
    pub pressure: watch::Receiver<Pressure>,
    /// What came of watching; None where it does its work.
    pub comparison: Option<Arc<Mutex<Comparison>>>,
}

impl Daemon {
    /// Starts the daemon's tasks.
    #[must_use]
    pub fn start(parts: &Parts, enterprises: Vec<EnterpriseId>, tasks: &Tasks, stop: &CancellationToken) -> Self {
        let (ears, heard) = Ears::of(parts, &enterprises);
        let (press, pressure) = watch::channel(Pressure::Free);
        let epoch = Arc::new(AtomicU64::new(0));
        let admission = Arc::new(admission(parts, &ears, pressure.clone(), &epoch));
        tasks.spawn("admission", admission.run(enterprises.clone(), heard, tasks.clone()));
        tasks.spawn("queue watch", watch_queue(Arc::clone(&parts.queue), press, Arc::clone(&epoch), stop.clone()));
        let again = (epoch, Arc::clone(&ears.requests), enterprises.clone());
        tasks.spawn("rules watch", watch_rules(parts.rules.changes(), again, stop.clone()));
        let (connections, sweeps) = ears.listen(parts, &enterprises, pressure.clone(), tasks, stop);
        let book = parts.config.cron.enabled.then(|| read_rules(parts, &enterprises, tasks, stop));
        if let Some(book) = &book {
            start_ticker(parts, book, tasks, stop);
        }
        Self { enterprises, connections, sweeps, book, pressure, comparison: None }
    }

    /// What came of watching so far.
    #[must_use]
    pub fn comparison(&self) -> Option<Report> {
        self.comparison.as_ref().map(|comparison| comparison.lock().unwrap_or_else(PoisonError::into_inner).report())
    }

    /// Starts a daemon that only watches: the same sources, and nobody who acts.
    #[must_use]
    pub fn watch(
        parts: &Parts,
        enterprises: Vec<EnterpriseId>,
        comparison: Arc<Mutex<Comparison>>,
        tasks: &Tasks,
        stop: &CancellationToken,
    ) -> Self {
        let (ears, heard) = Ears::of(parts, &enterprises);
        let (_, pressure) = watch::channel(Pressure::Free);
        let book = parts.config.cron.enabled.then(|| read_rules(parts, &enterprises, tasks, stop));
        let monitor = Arc::new(Monitor {
            eyes: Eyes::of(Arc::clone(&parts.store)),
            rules: Arc::clone(&parts.rules) as _,
            workflows: Workflows::new(Arc::clone(&parts.store)),
            due: Arc::clone(&ears.due),
            book: book.clone(),
            enterprises: enterprises.clone(),
            clock: Arc::clone(&parts.clock),
            comparison: Arc::clone(&comparison),
        });
        tasks.spawn("monitor", monitor.run(heard, stop.clone()));
        let (connections, sweeps) = ears.listen(parts, &enterprises, pressure.clone(), tasks, stop);
        Self { enterprises, connections, sweeps, book, pressure, comparison: Some(comparison) }
    }
}

/// What a daemon hears with, whatever it does with what it hears.
struct Ears {
    requests: Arc<SweepRequests>,
    sockets: Vec<Arc<dyn EventSource>>,
    due: Arc<Due>,
    sweeping: SweepSettings,
    hints: mpsc::Sender<Hint>,
}

impl Ears {
    /// The ears, and where hints arrive once they listen. Nothing runs yet.
    fn of(parts: &Parts, enterprises: &[EnterpriseId]) -> (Self, mpsc::Receiver<Hint>) {
        let (config, requests) = (&parts.config, Arc::new(SweepRequests::default()));
        let sockets =
            realtime_sources(&config.supabase, config.sources, &config.per_enterprise, enterprises, &requests);
        let sweeping = SweepSettings::with_period(config.sources.sweep_interval);
        let due = Arc::new(Due::new(sweeping.horizon, Arc::clone(&parts.clock)));
        let (hints, heard) = mpsc::channel(HINTS_MAX);
        (Self { requests, sockets, due, sweeping, hints }, heard)
    }

    /// Starts every source. Under `pressure` the searches of the sweep that make jobs are held back.
    fn listen(
        self,
        parts: &Parts,
        enterprises: &[EnterpriseId],
        pressure: watch::Receiver<Pressure>,
        tasks: &Tasks,
        stop: &CancellationToken,
    ) -> (watch::Receiver<Connections>, watch::Receiver<SweepReport>) {
        let Self { requests, sockets, due, sweeping, hints } = self;
        start_due(due, hints.clone(), tasks, stop);
        let connections = start_realtime(parts, enterprises, sockets, &hints, tasks, stop);
        let sweep = Sweep::new(Arc::clone(&parts.store), enterprises.to_vec(), sweeping, requests, pressure);
        let sweeps = sweep.watch();
        let stopped = stop.clone();
        tasks.spawn("sweep", async move { sweep.run(&hints, &stopped).await });
        (connections, sweeps)
    }
}

fn admission(parts: &Parts, ears: &Ears, pressure: watch::Receiver<Pressure>, epoch: &Arc<AtomicU64>) -> Admission {
    let reaper = Reaper {
        store: Arc::clone(&parts.store),
        queue: Arc::clone(&parts.queue),
        rules: Arc::clone(&parts.rules) as _,
        settings: Arc::clone(&parts.config.per_enterprise),
        trail: parts.trail.clone(),
        metrics: Arc::clone(&parts.metrics),
    };
    Admission {
        store: Arc::clone(&parts.store),
        rules: Arc::clone(&parts.rules) as _,
        queue: Arc::clone(&parts.queue),
        due: Arc::clone(&ears.due),
        retractions: Arc::clone(&parts.retractions),
        reaper: Arc::new(reaper),
        settings: Arc::clone(&parts.config.per_enterprise),
        seen_for: parts.config.sources.sweep_interval * 2,
        clock: Arc::clone(&parts.clock),
        pressure,
        requests: Arc::clone(&ears.requests),
        epoch: Arc::clone(epoch),
        trail: parts.trail.clone(),
        metrics: Arc::clone(&parts.metrics),
    }
}

fn start_due(due: Arc<Due>, hints: mpsc::Sender<Hint>, tasks: &Tasks, stop: &CancellationToken) {
    let stop = stop.clone();
    tasks.spawn("due", async move { due.run(&hints, &stop).await });
}

fn read_rules(parts: &Parts, enterprises: &[EnterpriseId], tasks: &Tasks, stop: &CancellationToken) -> Arc<Book> {
    let book = Arc::new(Book::new(parts.config.cron.defaults));
    let catalog = Catalog {
        store: Arc::clone(&parts.store),
        enterprises: enterprises.to_vec(),
        interval: parts.config.cron.interval,
        book: Arc::clone(&book),
        metrics: Arc::clone(&parts.metrics),
    };
    let stopped = stop.clone();
    tasks.spawn("rules", async move { catalog.run(&stopped).await });
    book
}

fn start_ticker(parts: &Parts, book: &Arc<Book>, tasks: &Tasks, stop: &CancellationToken) {
    let ticker = Ticker {
        book: Arc::clone(book),
        queue: Arc::clone(&parts.queue),
        settings: Arc::clone(&parts.config.per_enterprise),
        clock: Arc::clone(&parts.clock),
        metrics: Arc::clone(&parts.metrics),
    };
    let stopped = stop.clone();
    tasks.spawn("cron", async move { ticker.run(&stopped).await });
}

fn start_realtime(
    parts: &Parts,
    enterprises: &[EnterpriseId],
    sockets: Vec<Arc<dyn EventSource>>,
    hints: &mpsc::Sender<Hint>,
    tasks: &Tasks,
    stop: &CancellationToken,
) -> watch::Receiver<Connections> {
    let status = StatusSender::new(enterprises, Arc::clone(&parts.clock));
    let restarts = Restarts::from_base(parts.config.sources.reconnect_delay);
    for source in sockets {
        tasks.spawn("realtime", supervise(source, restarts, hints.clone(), status.clone(), stop.clone()));
    }
    status.watch()
}

/// Tells how full the queue is, and makes the lanes forget their offers when the queue was emptied.
async fn watch_queue(
    queue: Arc<dyn JobQueue>,
    press: watch::Sender<Pressure>,
    epoch: Arc<AtomicU64>,
    stop: CancellationToken,
) {
    let mut born: Option<String> = None;
    while stop.run_until_cancelled(tokio::time::sleep(QUEUE_WATCH)).await.is_some() {
        // A queue that does not answer says nothing: what is known stays.
        if let Ok(counts) = queue.counts(QueueName::NotificationProcessing).await {
            press.send_if_modified(|pressure| {
                let next = pressure.next(counts.waiting + counts.delayed);
                std::mem::replace(pressure, next) != next
            });
        }
        if let Ok(now) = queue.born().await {
            if born.as_ref().is_some_and(|before| *before != now) {
                tracing::warn!("the queue was emptied; everything owed is offered again");
                epoch.fetch_add(1, Ordering::Relaxed);
            }
            born = Some(now);
        }
    }
}

/// Lets the lanes ask again about what they hold when other rules are in force, instead of when its rest is over.
async fn watch_rules(
    mut changes: watch::Receiver<u64>,
    (epoch, requests, enterprises): (Arc<AtomicU64>, Arc<SweepRequests>, Vec<EnterpriseId>),
    stop: CancellationToken,
) {
    while let Some(Ok(())) = stop.run_until_cancelled(changes.changed()).await {
        epoch.fetch_add(1, Ordering::Relaxed);
        requests.ask(&enterprises);
    }
}
