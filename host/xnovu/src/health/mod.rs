//! How this process is, and why.
//!
//! Owns what counts as healthy, degraded and unhealthy. Looks at the queue, the database and Novu once a second ([`look`]); whoever asks
//! gets the last look, so that asking costs nobody anything. Subscriptions, rules and sweeps tell of themselves and are read when asked.
//! Promises that a change is logged once, and told to the service manager. Never repairs anything: each part recovers by itself.

mod look;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use xnovu_queue::{JobQueue, QueueName};
use xnovu_rules::{Runtime, State};

use crate::clock::Clock;
use crate::daemon::Daemon;
use crate::gateway::NotificationGateway;
use crate::metrics::{Metrics, Shown};
use crate::parts::Parts;
use crate::pressure::Pressure;
use crate::source::status::Subscriptions;
use crate::store::NotificationStore;
use crate::systemd;
use crate::tasks::Tasks;

use look::Doubts;
pub use look::{Look, QueueLook};

/// The parts of a process, as the health body names them.
pub const COMPONENTS: [&str; 6] = ["queue", "supabase", "novu", "ruleEngine", "subscriptions", "sweep"];

/// A look that is older says nothing any more: whoever should look is stuck.
const LOOK_KEPT: Duration = Duration::from_secs(10);

/// Longest turn of a task that works: tasks wait, they do not compute.
const TURN_MAX: Duration = Duration::from_secs(10);

/// How a process is, as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Everything does what it should.
    Healthy,
    /// It works, slower or for fewer than it should.
    Degraded,
    /// It cannot work.
    Unhealthy,
    /// It was asked to stop and finishes what is under way.
    Draining,
}

impl Status {
    /// The word the health endpoints use.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
            Self::Draining => "draining",
        }
    }

    /// Whether the process does its work and wants more.
    #[must_use]
    pub fn is_ready(self) -> bool {
        matches!(self, Self::Healthy | Self::Degraded)
    }
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The part, by its name in the health body.
    pub component: &'static str,
    /// How bad that is for the process.
    pub status: Status,
    /// What is wrong, in words for operators.
    pub reason: String,
}

/// What is judged: everything there is to know of a process at one moment.
struct Facts<'a> {
    ailing: Vec<String>,
    draining: bool,
    look: &'a Look,
    look_age: Duration,
    bindings: (usize, usize),
    subscriptions: Subscriptions,
    sweeps_failing: usize,
    pressure: Pressure,
    bad_rules: usize,
    unread_rules: usize,
}

/// How this process is.
pub struct Health {
    started: Instant,
    queue: Arc<dyn JobQueue>,
    store: Arc<dyn NotificationStore>,
    gateway: Arc<dyn NotificationGateway>,
    rules: Arc<Runtime>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    daemon: Option<Daemon>,
    tasks: Vec<Tasks>,
    draining: CancellationToken,
    last: watch::Sender<(Instant, Look)>,
}

impl Health {
    /// The health of a process of these tasks that has just started, after a first look. `daemon` is None in a worker; `draining` is
    /// cancelled when it is asked to stop.
    pub async fn of(
        parts: &Parts,
        daemon: Option<Daemon>,
        tasks: Vec<Tasks>,
        draining: CancellationToken,
    ) -> Arc<Self> {
        let (queue, store, gateway) = (&parts.queue, &parts.store, &parts.gateway);
        let first = look::look(queue.as_ref(), store.as_ref(), gateway.as_ref()).await.believed();
        Arc::new(Self {
            started: Instant::now(),
            queue: Arc::clone(queue),
            store: Arc::clone(store),
            gateway: Arc::clone(gateway),
            rules: Arc::clone(&parts.rules),
            clock: Arc::clone(&parts.clock),
            metrics: Arc::clone(&parts.metrics),
            daemon,
            tasks,
            draining,
            last: watch::Sender::new((Instant::now(), first)),
        })
    }

    /// How long the process runs.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Wall time.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &Runtime {
        &self.rules
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The daemon; None in a worker.
    #[must_use]
    pub fn daemon(&self) -> Option<&Daemon> {
        self.daemon.as_ref()
    }

    /// The last look.
    #[must_use]
    pub fn last_look(&self) -> Look {
        self.last.borrow().1.clone()
    }

    /// The queue's counts, now.
    ///
    /// # Errors
    /// Why there are none, in words.
    pub async fn queue_now(&self) -> Result<QueueLook, String> {
        look::queue(self.queue.as_ref()).await.map_err(|miss| miss.reason)
    }

    /// The tasks that have died or do not turn, each with why. Only a restart mends that.
    #[must_use]
    pub fn ailing(&self) -> Vec<String> {
        self.tasks.iter().flat_map(|tasks| tasks.ailing(TURN_MAX)).collect()
    }

    /// How many subscriptions stand where; all zero in a worker.
    #[must_use]
    pub fn subscriptions(&self) -> Subscriptions {
        self.daemon.as_ref().map(|daemon| Subscriptions::of(&daemon.connections.borrow())).unwrap_or_default()
    }

    /// How the process is, and everything that is not as it should be, the worst first.
    #[must_use]
    pub fn judge(&self) -> (Status, Vec<Trouble>) {
        let (at, look) = self.last.borrow().clone();
        self.judge_with(&look, at.elapsed())
    }

    /// The same with newer counts of the queue. None: it did not answer this once, which by itself is no reason to change one's mind.
    #[must_use]
    pub fn judge_queue(&self, queue: Option<QueueLook>) -> (Status, Vec<Trouble>) {
        let (at, mut look) = self.last.borrow().clone();
        if let Some(queue) = queue {
            look.queue = Ok(queue);
        }
        self.judge_with(&look, at.elapsed())
    }

    fn judge_with(&self, look: &Look, look_age: Duration) -> (Status, Vec<Trouble>) {
        let states = self.rules.states();
        let as_wished = states.iter().filter(|(_, state)| !state.is_trouble()).count();
        let bindings = (as_wished, states.len());
        let failing = |daemon: &Daemon| daemon.sweeps.borrow().values().map(|report| report.errors.len()).max();
        let book = self.daemon.as_ref().and_then(|daemon| daemon.book.as_ref());
        let book = book.map(|book| book.report()).unwrap_or_default();
        judge(&Facts {
            ailing: self.ailing(),
            draining: self.draining.is_cancelled(),
            look,
            look_age,
            bindings,
            subscriptions: self.subscriptions(),
            sweeps_failing: self.daemon.as_ref().and_then(failing).unwrap_or(0),
            pressure: self.daemon.as_ref().map(|daemon| *daemon.pressure.borrow()).unwrap_or_default(),
            bad_rules: book.bad,
            unread_rules: book.unread.len(),
        })
    }

    /// The metrics, with how the process is now.
    #[must_use]
    pub fn scrape(&self) -> String {
        let (status, troubles) = self.judge();
        let connections = |daemon: &Daemon| {
            let lost = daemon.connections.borrow().values().map(|standing| u64::from(standing.reconnects)).sum();
            (self.subscriptions(), lost)
        };
        let look = self.last_look();
        let memory = look.queue.as_ref().ok().and_then(|look| look.memory);
        let queues = look.queue.map(|look| {
            vec![
                (QueueName::NotificationProcessing, look.notification),
                (QueueName::RuleExecution, look.rule_execution),
            ]
        });
        self.metrics.scrape(&Shown {
            uptime: self.uptime(),
            healthy: status == Status::Healthy,
            ready: status.is_ready(),
            components: COMPONENTS.map(|one| (one, troubles.iter().all(|trouble| trouble.component != one))).to_vec(),
            subscriptions: self.daemon.as_ref().map(connections),
            queues: queues.unwrap_or_default(),
            memory,
            novu: look.novu,
            bindings: self.bindings(),
        })
    }

    /// How many bindings stand where.
    fn bindings(&self) -> Vec<(&'static str, usize)> {
        let states = self.rules.states();
        let count = |wanted: State| states.iter().filter(|(_, state)| *state == wanted).count();
        State::ALL.map(|state| (state.word(), count(state))).to_vec()
    }

    /// Looks again and again until `stop` is cancelled, and logs what changes.
    pub async fn keep_looking(self: Arc<Self>, stop: CancellationToken) {
        let mut known = self.judge();
        note(&known, None);
        let (mut beat, mut doubts) = (look::beat(), Doubts::default());
        while stop.run_until_cancelled(beat.tick()).await.is_some() {
            let seen = look::look(self.queue.as_ref(), self.store.as_ref(), self.gateway.as_ref()).await;
            let look = doubts.weigh(&self.last_look(), seen);
            self.last.send_replace((Instant::now(), look));
            let now = self.judge();
            if differ(&now, &known) {
                note(&now, Some(known.0));
            }
            known = now;
            if doubts.any() {
                beat.reset_after(look::DOUBT);
            }
        }
    }
}

/// A queue or a database that is gone makes a process useless; a subscription, a plugin or Novu that is gone makes it slower or smaller.
fn judge(facts: &Facts<'_>) -> (Status, Vec<Trouble>) {
    let mut troubles = Vec::new();
    let mut add = |component, status, reason: String| troubles.push(Trouble { component, status, reason });
    if facts.look_age > LOOK_KEPT {
        add("monitor", Status::Unhealthy, format!("nobody has looked for {} s", facts.look_age.as_secs()));
    }
    if !facts.ailing.is_empty() {
        add("tasks", Status::Unhealthy, format!("they do not work any more: {}", facts.ailing.join(", ")));
    }
    if let Err(reason) = &facts.look.queue {
        add("queue", Status::Unhealthy, reason.clone());
    }
    if let Some(reason) = facts.pressure.trouble() {
        add("queue", Status::Degraded, reason.to_owned());
    }
    if let Err(reason) = &facts.look.store {
        add("supabase", Status::Unhealthy, reason.clone());
    }
    if let Some(pause) = facts.look.novu {
        add("novu", Status::Degraded, format!("Novu is not called for now: {pause}"));
    }
    let (ready, all) = facts.bindings;
    if ready < all {
        add(
            "ruleEngine",
            Status::Degraded,
            format!("{} of {all} bindings do not run as they are written", all - ready),
        );
    }
    let subscriptions = facts.subscriptions;
    if subscriptions.active < subscriptions.total {
        let missing = subscriptions.total - subscriptions.active;
        add("subscriptions", Status::Degraded, format!("{missing} of {} are not subscribed", subscriptions.total));
    }
    if facts.bad_rules > 0 {
        let reason = format!("{} rule(s) of ent_notification_rule have a mistake and do not fire", facts.bad_rules);
        add("ruleEngine", Status::Degraded, reason);
    }
    if facts.unread_rules > 0 {
        let reason = format!("the rules of {} enterprise(s) could not be read at the last look", facts.unread_rules);
        add("ruleEngine", Status::Degraded, reason);
    }
    if facts.sweeps_failing > 0 {
        add("sweep", Status::Degraded, format!("it fails for {} enterprise(s)", facts.sweeps_failing));
    }
    let worst = troubles.iter().map(|trouble| trouble.status).max().unwrap_or(Status::Healthy);
    (if facts.draining { Status::Draining } else { worst }, troubles)
}

/// Whether something else is wrong, or is worse or better. The words of a trouble may change from look to look.
fn differ(one: &(Status, Vec<Trouble>), other: &(Status, Vec<Trouble>)) -> bool {
    let outline = |judged: &(Status, Vec<Trouble>)| -> (Status, BTreeSet<(&'static str, Status)>) {
        (judged.0, judged.1.iter().map(|trouble| (trouble.component, trouble.status)).collect())
    };
    outline(one) != outline(other)
}

fn note((status, troubles): &(Status, Vec<Trouble>), before: Option<Status>) {
    let components: BTreeSet<&str> = troubles.iter().map(|trouble| trouble.component).collect();
    let components: Vec<&str> = components.into_iter().collect();
    let separator = if components.is_empty() { "" } else { ": " };
    systemd::status(&format!("{}{separator}{}", status.word(), components.join(", ")));
    let reasons: Vec<String> = troubles.iter().map(|one| format!("{}: {}", one.component, one.reason)).collect();
    let (status, before, reasons) = (status.word(), before.map(Status::word), reasons.join("; "));
    if troubles.is_empty() {
        tracing::info!(event = "health_changed", status, before, "health");
    } else {
        tracing::warn!(event = "health_changed", status, before, reasons, "health");
    }
}

#[cfg(test)]
mod tests;
