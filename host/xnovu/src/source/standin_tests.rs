//! The sources together, against a Realtime and a PostgREST that lose, stall and refuse as the hosted ones do.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use xnovu_domain::{EnterpriseId, NotificationId};
use xnovu_standin::{Action, Faults, Options, RealtimeFaults, RestFaults, Standin, StandinConfig, State};

use super::status::Standing;
use super::sweep::{Search, SearchReport};
use super::*;
use crate::clock::SystemClock;
use crate::config::{Secret, Sources, Supabase};
use crate::source::realtime::{Timing, realtime_sources, source_with};
use crate::store::NotificationStore;
use crate::store::postgrest::Postgrest;
use crate::tasks::Tasks;

const TABLE: &str = "ent_notification";
const ENTERPRISE: &str = "11111111-1111-4111-8111-111111111111";
const PATIENCE: Duration = Duration::from_secs(20);

/// Longer than any test.
const NEVER: Duration = Duration::from_secs(3600);

/// Sources that listen to a stand-in, and what they have told.
struct Bench {
    standin: Standin,
    store: Arc<Postgrest>,
    supabase: Supabase,
    enterprises: Vec<EnterpriseId>,
    requests: Arc<SweepRequests>,
    status: StatusSender,
    out: mpsc::Sender<Hint>,
    hints: mpsc::Receiver<Hint>,
    stop: CancellationToken,
    tasks: Tasks,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Bench {
    async fn start() -> Self {
        Self::with(&[ENTERPRISE], Options::default(), 1_000).await
    }

    async fn with(enterprises: &[&str], options: Options, hints_max: usize) -> Self {
        let standin = Standin::start(StandinConfig { options, ..StandinConfig::default() }).await.unwrap();
        let supabase = Supabase { url: standin.url(), key: Secret::new("sb_secret_standin"), concurrency: 5 };
        let store = Arc::new(Postgrest::new(&supabase, Arc::new(SystemClock)).unwrap());
        let enterprises: Vec<EnterpriseId> = enterprises.iter().map(|id| id.parse().unwrap()).collect();
        let status = StatusSender::new(&enterprises, Arc::new(SystemClock));
        let (out, hints) = mpsc::channel(hints_max);
        let stop = CancellationToken::new();
        let tasks = Tasks::new(stop.clone());
        Self { standin, store, supabase, enterprises, requests: Arc::default(), status, out, hints, stop, tasks }
    }

    fn state(&self) -> &State {
        self.standin.state()
    }

    fn faults(&self, realtime: RealtimeFaults) {
        self.state().set_faults(Faults { realtime, ..Faults::default() });
    }

    fn listen(&self) {
        self.listen_with(Timing::with_heartbeat(Duration::from_secs(25)));
    }

    fn listen_with(&self, timing: Timing) {
        let source = source_with(&self.supabase, timing, &self.enterprises, &self.requests);
        let restarts = Restarts::from_base(Duration::from_millis(50));
        let (out, status, stop) = (self.out.clone(), self.status.clone(), self.stop.clone());
        self.tasks.spawn("realtime", supervise(source, restarts, out, status, stop));
    }

    /// Starts a sweep and waits for the end of its first round.
    async fn sweep(&self, period: Duration) -> watch::Receiver<SweepReport> {
        let store = Arc::clone(&self.store) as Arc<dyn NotificationStore>;
        let settings = SweepSettings::with_period(period);
        let paused = watch::Sender::new(crate::pressure::Pressure::Free).subscribe();
        let sweep = Sweep::new(store, self.enterprises.clone(), settings, Arc::clone(&self.requests), paused);
        let mut report = sweep.watch();
        let (out, stop) = (self.out.clone(), self.stop.clone());
        self.tasks.spawn("sweep", async move { sweep.run(&out, &stop).await });
        until("a round of every search", &mut report, |report| report.values().all(|search| search.rounds > 0)).await;
        report
    }

    fn insert(&self) -> NotificationId {
        self.insert_row(json!({}))
    }

    fn insert_row(&self, columns: Value) -> NotificationId {
        let mut row = json!({"enterprise_id": ENTERPRISE});
        row.as_object_mut().unwrap().extend(columns.as_object().unwrap().clone());
        let stored = self.state().insert(TABLE, &row).unwrap();
        NotificationId::new(stored["id"].as_i64().unwrap()).unwrap()
    }

    /// The next id that is told, and on which path.
    async fn told(&mut self) -> (Vec<NotificationId>, Via) {
        let hint = tokio::time::timeout(PATIENCE, self.hints.recv()).await.expect("nothing was told").unwrap();
        match hint {
            Hint::Id { id, via, .. } => (vec![id], via),
            Hint::Rows { rows, via, .. } => (rows.into_iter().map(|row| row.id).collect(), via),
        }
    }

    /// Waits until the one enterprise stands like that.
    async fn stands(&self, what: &str, wanted: impl Fn(&Standing) -> bool) -> Standing {
        let table = until(what, &mut self.status.watch(), |table| table.values().all(&wanted)).await;
        table.into_values().next().unwrap()
    }

    async fn subscribed(&self) -> Standing {
        self.stands("a subscription", |standing| standing.connection == Connection::Subscribed).await
    }

    /// Waits until `joins` channels have been joined since the start and the last of them is ready.
    async fn rejoined(&self, joins: u64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let stats = self.state().stats().realtime;
            if stats.joins_total >= joins && stats.subscriptions > 0 {
                return;
            }
            assert!(Instant::now() < deadline, "no further join: {stats:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// A change that is told through Realtime, which shows that the connection works.
    async fn assert_live(&mut self) {
        let id = self.insert();
        assert_eq!(self.told().await, (vec![id], Via::Realtime));
    }
}

/// Waits for a state of `watched`; panics with the last one.
async fn until<T: Clone + Debug>(what: &str, watched: &mut watch::Receiver<T>, is: impl Fn(&T) -> bool) -> T {
    let waited = tokio::time::timeout(PATIENCE, watched.wait_for(|state| is(state))).await;
    let seen = waited.map(|state| state.expect("the sender lives").clone());
    seen.unwrap_or_else(|_| panic!("waited in vain for {what}: {:?}", *watched.borrow()))
}

#[tokio::test]
async fn inserts_and_edits_are_told_and_our_own_echoes_are_not() {
    let mut bench = Bench::start().await;
    bench.listen();
    bench.subscribed().await;
    let id = bench.insert();
    assert_eq!(bench.told().await, (vec![id], Via::Realtime));
    for status in ["PROCESSING", "SENT", "FAILED", "RETRACTED"] {
        bench.state().update(TABLE, id.get(), &json!({"notification_status": status})).unwrap();
    }
    // Events keep their order, so that the first hint is the first change that was no echo.
    let next = bench.insert();
    assert_eq!(bench.told().await, (vec![id], Via::Realtime));
    assert_eq!(bench.told().await, (vec![next], Via::Realtime));
}

#[tokio::test]
async fn a_dropped_socket_is_made_again() {
    let mut bench = Bench::start().await;
    bench.listen();
    bench.subscribed().await;
    bench.state().act(Action::DropSockets);
    let standing = bench.stands("a reconnect", |standing| standing.reconnects == 1).await;
    assert!(standing.last_error.is_some());
    bench.subscribed().await;
    bench.assert_live().await;
}

#[tokio::test]
async fn channels_that_close_crash_or_fail_are_joined_again_on_the_same_socket() {
    for action in [Action::ExpireTokens, Action::ErrorChannels, Action::FailSubscriptions] {
        let mut bench = Bench::start().await;
        bench.listen();
        bench.subscribed().await;
        bench.state().act(action);
        bench.rejoined(2).await;
        let standing = bench.subscribed().await;
        assert!(standing.last_error.is_some() && standing.reconnects == 0, "{action:?}: {standing:?}");
        bench.assert_live().await;
        assert_eq!(bench.state().stats().realtime.connections_total, 1, "{action:?}");
    }
}

#[tokio::test]
async fn a_join_without_readiness_is_noticed_and_repeated() {
    let mut bench = Bench::start().await;
    bench.faults(RealtimeFaults { withhold_system: true, ..RealtimeFaults::default() });
    let heartbeat = Duration::from_secs(25);
    bench.listen_with(Timing { ready_within: Duration::from_millis(200), ..Timing::with_heartbeat(heartbeat) });
    let standing = bench.stands("the watchdog", |standing| standing.connection == Connection::Error).await;
    assert!(standing.last_error.unwrap().contains("did not confirm"));
    bench.faults(RealtimeFaults::default());
    bench.subscribed().await;
    bench.assert_live().await;
}

#[tokio::test]
async fn a_refused_subscription_is_an_error_until_it_is_not() {
    let mut bench = Bench::start().await;
    let system_error = Some("Unable to subscribe to changes with given parameters".to_owned());
    bench.faults(RealtimeFaults { system_error, ..RealtimeFaults::default() });
    bench.listen();
    bench.stands("the error", |standing| standing.connection == Connection::Error).await;
    bench.faults(RealtimeFaults::default());
    bench.subscribed().await;
    bench.assert_live().await;
}

#[tokio::test]
async fn a_socket_that_falls_silent_is_replaced_within_two_heartbeats() {
    let mut bench = Bench::start().await;
    let heartbeat = Duration::from_millis(400);
    bench.listen_with(Timing::with_heartbeat(heartbeat));
    bench.subscribed().await;
    let stalled_at = Instant::now();
    bench.state().act(Action::StallSockets);
    let standing = bench.stands("the loss", |standing| standing.reconnects == 1).await;
    assert!(stalled_at.elapsed() < heartbeat * 5, "{:?}", stalled_at.elapsed());
    assert!(standing.last_error.unwrap().contains("nothing was heard"));
    bench.subscribed().await;
    bench.assert_live().await;
}

#[tokio::test]
async fn what_was_inserted_before_readiness_is_swept_after_it() {
    let mut bench = Bench::start().await;
    bench.sweep(NEVER).await;
    bench.faults(RealtimeFaults { withhold_system: true, ..RealtimeFaults::default() });
    let heartbeat = Duration::from_secs(25);
    bench.listen_with(Timing { ready_within: Duration::from_millis(200), ..Timing::with_heartbeat(heartbeat) });
    let joined = |standing: &Standing| matches!(standing.connection, Connection::Connected | Connection::Error);
    bench.stands("the socket", joined).await;
    let lost = bench.insert();
    bench.faults(RealtimeFaults::default());
    assert_eq!(bench.told().await, (vec![lost], Via::Sweep));
}

#[tokio::test]
async fn what_was_inserted_or_taken_back_during_a_reconnect_is_swept_after_it() {
    let mut bench = Bench::start().await;
    bench.listen();
    bench.subscribed().await;
    bench.sweep(NEVER).await;
    let job = format!("xn-{ENTERPRISE}-1-5");
    let sent = bench.insert_row(json!({"notification_status": "SENT", "transaction_id": job}));
    bench.faults(RealtimeFaults { discard_events: 2, ..RealtimeFaults::default() });
    let pending = bench.insert();
    bench.state().update(TABLE, sent.get(), &json!({"notification_status": "RETRACTED"})).unwrap();
    bench.state().act(Action::DropSockets);
    let mut found = [bench.told().await, bench.told().await];
    found.sort_by_key(|(_, via)| *via != Via::Sweep);
    assert_eq!(found, [(vec![pending], Via::Sweep), (vec![sent], Via::Retraction)]);
}

#[tokio::test]
async fn a_silently_restarted_slot_loses_nothing_beyond_the_next_sweep() {
    let mut bench = Bench::start().await;
    bench.faults(RealtimeFaults { discard_events: 1, ..RealtimeFaults::default() });
    bench.listen();
    bench.subscribed().await;
    bench.sweep(Duration::from_millis(200)).await;
    let lost = bench.insert();
    bench.state().act(Action::RestartSlot);
    assert_eq!(bench.told().await, (vec![lost], Via::Sweep));
}

#[tokio::test]
async fn a_record_cut_for_its_size_still_names_its_row() {
    let mut bench = Bench::start().await;
    bench.faults(RealtimeFaults { truncate_events: true, ..RealtimeFaults::default() });
    bench.listen();
    bench.subscribed().await;
    bench.assert_live().await;
}

#[tokio::test]
async fn an_admission_that_cannot_keep_up_is_swept_to_later() {
    let mut bench = Bench::with(&[ENTERPRISE], Options::default(), 1).await;
    bench.sweep(NEVER).await;
    bench.listen();
    bench.subscribed().await;
    let ids: Vec<NotificationId> = (0..9).map(|_| bench.insert()).collect();
    let mut missing = ids.clone();
    while !missing.is_empty() {
        let (told, _) = bench.told().await;
        missing.retain(|id| !told.contains(id));
    }
}

#[tokio::test]
async fn a_page_limit_of_the_api_below_ours_hides_nothing() {
    let mut bench = Bench::with(&[ENTERPRISE], Options { max_rows: 2, ..Options::default() }, 1_000).await;
    let ids: Vec<NotificationId> = (0..5).map(|_| bench.insert()).collect();
    bench.sweep(NEVER).await;
    let pages = [bench.told().await, bench.told().await, bench.told().await];
    assert_eq!(pages.map(|(ids, _)| ids).concat(), ids);
}

#[tokio::test]
async fn an_enterprise_id_that_is_no_uuid_touches_only_itself() {
    let mut bench = Bench::with(&["acme", ENTERPRISE], Options::default(), 1_000).await;
    bench.listen();
    let [bad, good] = [0, 1].map(|index| bench.enterprises[index].clone());
    let settled = |table: &Connections| {
        (table[&bad].connection, table[&good].connection) == (Connection::Error, Connection::Subscribed)
    };
    until("one error and one subscription", &mut bench.status.watch(), settled).await;
    let owed = bench.insert();
    assert_eq!(bench.told().await, (vec![owed], Via::Realtime));
    let report = bench.sweep(NEVER).await;
    assert_eq!(bench.told().await, (vec![owed], Via::Sweep));
    let SearchReport { errors, .. } = report.borrow()[&Search::Owed].clone();
    let (failed, error) = errors.into_iter().next().unwrap();
    assert!(failed.as_str() == "acme" && error.contains("22P02"), "{error}");
}

#[tokio::test]
async fn a_row_the_replica_does_not_know_yet_is_found_by_the_sweep() {
    let mut bench = Bench::start().await;
    let rest = RestFaults { stale_reads_ms: 3_600_000, ..RestFaults::default() };
    bench.state().set_faults(Faults { rest, ..Faults::default() });
    bench.listen();
    bench.subscribed().await;
    let id = bench.insert();
    assert_eq!(bench.told().await, (vec![id], Via::Realtime));
    let read = bench.store.read(&bench.enterprises[0], &[id]).await.unwrap();
    assert!(read.is_empty(), "{read:?}");
    bench.sweep(Duration::from_millis(100)).await;
    bench.state().set_faults(Faults::default());
    assert_eq!(bench.told().await, (vec![id], Via::Sweep));
}

#[tokio::test]
async fn forty_five_enterprises_share_three_channels_and_each_is_told_of() {
    let ids: Vec<String> = (0..45).map(|n| format!("{n:08x}-1111-4111-8111-111111111111")).collect();
    let mut bench = Bench::with(&ids.iter().map(String::as_str).collect::<Vec<_>>(), Options::default(), 1_000).await;
    let heartbeat = Duration::from_secs(25);
    let settings = Sources { reconnect_delay: Duration::ZERO, heartbeat, sweep_interval: NEVER };
    let sockets = realtime_sources(&bench.supabase, settings, &Arc::default(), &bench.enterprises, &bench.requests);
    assert_eq!(sockets.len(), 1);
    bench.listen();
    bench.subscribed().await;
    assert_eq!(bench.state().stats().realtime.subscriptions, 3);
    for enterprise in [&ids[0], &ids[20], &ids[44]] {
        let id = bench.insert_row(json!({"enterprise_id": enterprise}));
        assert_eq!(bench.told().await, (vec![id], Via::Realtime));
    }
}

#[tokio::test]
async fn stopping_closes_the_socket_and_ends_every_task() {
    let bench = Bench::start().await;
    bench.listen();
    bench.sweep(NEVER).await;
    bench.subscribed().await;
    bench.stop.cancel();
    assert_eq!(bench.tasks.wait(PATIENCE).await, Vec::<&str>::new());
    bench.stands("the end", |standing| standing.connection == Connection::Disconnected).await;
}

#[tokio::test]
async fn a_refused_key_is_told_and_never_shown() {
    let mut bench = Bench::start().await;
    bench.supabase.key = Secret::new("sb_secret_wrong");
    bench.listen();
    let standing = bench.stands("a refusal", |standing| standing.reconnects > 0).await;
    let error = standing.last_error.unwrap();
    assert!(error.contains("401") && !error.contains("sb_secret_wrong"), "{error}");
}
