use std::sync::Mutex;

use async_trait::async_trait;
use serde_json::{Value, json};
use xnovu_domain::{Draft, JobId, Notification, NotificationRule, Reason, RuleId, WorkflowKey};

use super::*;
use crate::pressure::Pressure;
use crate::store::{Fence, ReadRules, Settlement};

const SECOND: Duration = Duration::from_secs(1);

/// What one query asked.
#[derive(Debug, Clone, PartialEq)]
struct Query {
    search: Search,
    enterprise: String,
    after: Option<i64>,
    limit: usize,
    at: Instant,
}

/// Rows in memory, and a log of what was asked.
#[derive(Default)]
struct Rows {
    ids: Mutex<BTreeMap<(Search, String), Vec<i64>>>,
    log: Mutex<Vec<Query>>,
    /// The API's own limit.
    max_rows: Option<usize>,
    /// Pages of more rows than this are too large.
    fits: Option<usize>,
    /// How long a query takes.
    takes: Duration,
    /// How long the store says the answer took, where it does.
    took: Option<Duration>,
    /// The error each enterprise meets.
    errors: Mutex<BTreeMap<String, (u16, Option<String>)>>,
}

impl Rows {
    fn with(ids: &[(Search, &str, std::ops::RangeInclusive<i64>)]) -> Self {
        let ids =
            ids.iter().map(|(search, enterprise, ids)| ((*search, (*enterprise).to_owned()), ids.clone().collect()));
        Self { ids: Mutex::new(ids.collect()), ..Self::default() }
    }

    fn fail(&self, enterprise: &str, status: u16, code: Option<&str>) {
        self.errors.lock().unwrap().insert(enterprise.to_owned(), (status, code.map(str::to_owned)));
    }

    async fn page(
        &self,
        search: Search,
        enterprise: &EnterpriseId,
        after: Option<NotificationId>,
        limit: usize,
    ) -> Result<ReadRows, StoreError> {
        let (enterprise, after) = (enterprise.to_string(), after.map(NotificationId::get));
        let query = Query { search, enterprise: enterprise.clone(), after, limit, at: Instant::now() };
        self.log.lock().unwrap().push(query);
        tokio::time::sleep(self.takes).await;
        if let Some((status, code)) = self.errors.lock().unwrap().get(&enterprise).cloned() {
            return Err(StoreError::Refused { what: "read", status, code, message: "m".to_owned() });
        }
        let ids = self.ids.lock().unwrap().get(&(search, enterprise.clone())).cloned().unwrap_or_default();
        let limit = limit.min(self.max_rows.unwrap_or(limit));
        let page: Vec<i64> = ids.into_iter().filter(|id| after.is_none_or(|after| *id > after)).take(limit).collect();
        if self.fits.is_some_and(|fits| page.len() > fits) {
            return Err(StoreError::TooLarge { what: "read", limit_bytes: 1 });
        }
        Ok(ReadRows {
            rows: page.into_iter().map(|id| row(&enterprise, id)).collect(),
            took: self.took,
            ..ReadRows::default()
        })
    }

    fn asked(&self, search: Search) -> Vec<(String, Option<i64>)> {
        let log = self.log.lock().unwrap();
        log.iter().filter(|query| query.search == search).map(|query| (query.enterprise.clone(), query.after)).collect()
    }

    /// When each first page was asked for, since `start`.
    fn rounds(&self, search: Search, enterprise: &str, start: Instant) -> Vec<Duration> {
        let log = self.log.lock().unwrap();
        let first = |query: &&Query| query.search == search && query.enterprise == enterprise && query.after.is_none();
        log.iter().filter(first).map(|query| query.at - start).collect()
    }
}

fn row(enterprise: &str, id: i64) -> Notification {
    let row = json!({"id": id, "enterprise_id": enterprise, "name": "n", "notification_status": "PENDING",
        "publish_status": "PUBLISH", "deactivated": false, "payload": {}, "recipients": [],
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"});
    serde_json::from_str(&row.to_string()).unwrap()
}

fn not_asked<T>() -> Result<T, StoreError> {
    Err(StoreError::Refused { what: "the sweep only reads", status: 500, code: None, message: String::new() })
}

#[async_trait]
impl NotificationStore for Rows {
    async fn owed(
        &self,
        enterprise: &EnterpriseId,
        after: Option<NotificationId>,
        horizon: Micros,
        limit: usize,
    ) -> Result<ReadRows, StoreError> {
        assert_eq!(horizon, Micros::new(0).plus(HORIZON_MIN));
        self.page(Search::Owed, enterprise, after, limit).await
    }

    async fn retracted(
        &self,
        enterprise: &EnterpriseId,
        after: Option<NotificationId>,
        since: Micros,
        limit: usize,
    ) -> Result<ReadRows, StoreError> {
        assert_eq!(since, Micros::new(0).minus(RETRACTED_SINCE));
        self.page(Search::Retracted, enterprise, after, limit).await
    }

    async fn expired(
        &self,
        enterprise: &EnterpriseId,
        stamp_before: Micros,
        after: Option<NotificationId>,
        limit: usize,
    ) -> Result<ReadRows, StoreError> {
        assert_eq!(stamp_before, Micros::new(0).minus(LEASE));
        self.page(Search::Expired, enterprise, after, limit).await
    }

    async fn read(&self, _: &EnterpriseId, _: &[NotificationId]) -> Result<ReadRows, StoreError> {
        not_asked()
    }

    async fn reach(&self) -> Result<(), StoreError> {
        not_asked()
    }

    async fn claim(&self, _: &JobId, _: Micros) -> Result<Option<Notification>, StoreError> {
        not_asked()
    }

    async fn renew(&self, _: &Fence, _: Micros) -> Result<bool, StoreError> {
        not_asked()
    }

    async fn release(&self, _: &Fence, _: Option<Value>) -> Result<bool, StoreError> {
        not_asked()
    }

    async fn settle(&self, _: &Fence, _: &Settlement) -> Result<bool, StoreError> {
        not_asked()
    }

    async fn drop_seen(&self, _: &Notification, _: &Reason) -> Result<bool, StoreError> {
        not_asked()
    }

    async fn defer_seen(&self, _: &Notification, _: Micros, _: Value) -> Result<bool, StoreError> {
        not_asked()
    }

    async fn note_reaped(&self, _: &Notification, _: Value) -> Result<bool, StoreError> {
        not_asked()
    }

    async fn mark_cancelled(&self, _: &Notification, _: Value) -> Result<bool, StoreError> {
        not_asked()
    }

    async fn workflows(&self, _: &EnterpriseId) -> Result<BTreeSet<WorkflowKey>, StoreError> {
        not_asked()
    }

    async fn made_since(
        &self,
        _: &EnterpriseId,
        _: Micros,
        _: Option<NotificationId>,
        _: usize,
    ) -> Result<ReadRows, StoreError> {
        not_asked()
    }

    async fn rules(&self, _: &[EnterpriseId], _: Option<RuleId>, _: usize) -> Result<ReadRules, StoreError> {
        not_asked()
    }

    async fn whole_rules(&self, _: &[EnterpriseId], _: &[RuleId]) -> Result<ReadRules, StoreError> {
        not_asked()
    }

    async fn rule(&self, _: &EnterpriseId, _: RuleId) -> Result<Option<NotificationRule>, StoreError> {
        not_asked()
    }

    async fn make(&self, _: &Draft) -> Result<bool, StoreError> {
        not_asked()
    }

    fn stamp(&self) -> Micros {
        Micros::new(0)
    }

    fn database_now(&self) -> Micros {
        Micros::new(0)
    }
}

/// A sweep, and what is needed to steer it.
struct Bench {
    rows: Arc<Rows>,
    requests: Arc<SweepRequests>,
    pressure: watch::Sender<Pressure>,
    sweep: Sweep,
    start: Instant,
}

impl Bench {
    fn new(rows: Rows, enterprises: &[&str]) -> Self {
        let (rows, requests, pressure) =
            (Arc::new(rows), Arc::<SweepRequests>::default(), watch::Sender::new(Pressure::Free));
        let enterprises = enterprises.iter().map(|id| id.parse().unwrap()).collect();
        let settings = SweepSettings { page_rows: 3, ..SweepSettings::with_period(30 * SECOND) };
        let sweep = Sweep::new(
            rows.clone() as Arc<dyn NotificationStore>,
            enterprises,
            settings,
            requests.clone(),
            pressure.subscribe(),
        );
        Self { rows, requests, pressure, sweep, start: Instant::now() }
    }

    /// Runs until `until`, and for `span` at most; returns the rows that were found, with the path.
    async fn run(&self, span: Duration, meanwhile: impl Future<Output = ()>) -> Vec<(Via, i64)> {
        let (out, mut hints) = mpsc::channel(100);
        let stop = CancellationToken::new();
        let timed = async {
            let _ = tokio::time::timeout(span, async { tokio::join!(meanwhile, std::future::pending::<()>()) }).await;
            stop.cancel();
        };
        tokio::join!(self.sweep.run(&out, &stop), timed);
        let mut found = Vec::new();
        while let Ok(Hint::Rows { rows, via, .. }) = hints.try_recv() {
            found.extend(rows.into_iter().map(|row| (via, row.id.get())));
        }
        found
    }

    fn report(&self, search: Search) -> SearchReport {
        self.sweep.watch().borrow()[&search].clone()
    }
}

fn ids(found: &[(Via, i64)], via: Via) -> Vec<i64> {
    found.iter().filter(|(by, _)| *by == via).map(|(_, id)| *id).collect()
}

#[tokio::test(start_paused = true)]
async fn only_an_empty_page_ends_a_search_however_few_rows_the_api_returns() {
    let rows = Rows { max_rows: Some(2), ..Rows::with(&[(Search::Owed, "a", 1..=5)]) };
    let bench = Bench::new(rows, &["a"]);
    let found = bench.run(SECOND, async {}).await;
    assert_eq!(ids(&found, Via::Sweep), [1, 2, 3, 4, 5]);
    let pages: Vec<Option<i64>> = bench.rows.asked(Search::Owed).into_iter().map(|(_, after)| after).collect();
    assert_eq!(pages, [None, Some(2), Some(4), Some(5)]);
    assert_eq!((bench.report(Search::Owed).rounds, bench.report(Search::Owed).rows), (1, 5));
}

#[tokio::test(start_paused = true)]
async fn enterprises_take_turns_page_by_page() {
    let bench = Bench::new(Rows::with(&[(Search::Owed, "a", 1..=6), (Search::Owed, "b", 11..=12)]), &["a", "b"]);
    let found = bench.run(SECOND, async {}).await;
    assert_eq!(ids(&found, Via::Sweep), [1, 2, 3, 11, 12, 4, 5, 6]);
}

#[tokio::test(start_paused = true)]
async fn retractions_and_expired_claims_are_found_on_their_own_paths() {
    let bench = Bench::new(Rows::with(&[(Search::Retracted, "a", 1..=1), (Search::Expired, "a", 2..=2)]), &["a"]);
    let found = bench.run(SECOND, async {}).await;
    assert_eq!((ids(&found, Via::Retraction), ids(&found, Via::Reap)), (vec![1], vec![2]));
}

#[tokio::test(start_paused = true)]
async fn rounds_follow_the_period_and_rest_twenty_times_as_long_as_they_were_busy() {
    let quick = Bench::new(Rows::default(), &["a"]);
    quick.run(70 * SECOND, async {}).await;
    assert_eq!(quick.rows.rounds(Search::Owed, "a", quick.start), [0, 30, 60].map(Duration::from_secs));

    let slow = Bench::new(Rows { takes: 3 * SECOND, ..Rows::default() }, &["a"]);
    slow.run(70 * SECOND, async {}).await;
    assert_eq!(slow.rows.rounds(Search::Owed, "a", slow.start), [0, 63].map(Duration::from_secs));
}

#[tokio::test(start_paused = true)]
async fn time_lost_to_a_try_that_failed_is_not_rested_from() {
    let rows = Rows { takes: 10 * SECOND, took: Some(SECOND / 100), ..Rows::default() };
    let bench = Bench::new(rows, &["a"]);
    bench.run(70 * SECOND, async {}).await;
    assert_eq!(bench.rows.rounds(Search::Owed, "a", bench.start), [0, 40].map(Duration::from_secs));
}

#[tokio::test(start_paused = true)]
async fn requests_coalesce_into_one_round_of_their_enterprises() {
    let bench = Bench::new(Rows::default(), &["a", "b"]);
    let asking = async {
        tokio::time::sleep(5 * SECOND).await;
        for _ in 0..9 {
            bench.requests.ask(&["b".parse().unwrap(), "stranger".parse().unwrap()]);
        }
    };
    bench.run(20 * SECOND, asking).await;
    assert_eq!(bench.rows.rounds(Search::Owed, "b", bench.start), [0, 5].map(Duration::from_secs));
    assert_eq!(bench.rows.rounds(Search::Retracted, "b", bench.start), [0, 5].map(Duration::from_secs));
    assert_eq!(bench.rows.rounds(Search::Expired, "b", bench.start), [Duration::ZERO]);
    assert_eq!(bench.rows.rounds(Search::Owed, "a", bench.start), [Duration::ZERO]);
    assert!(bench.rows.asked(Search::Owed).iter().all(|(enterprise, _)| enterprise != "stranger"));
}

#[tokio::test(start_paused = true)]
async fn a_round_asked_for_during_a_round_follows_it_and_rests_first() {
    let bench = Bench::new(Rows { takes: SECOND, ..Rows::default() }, &["a"]);
    let asking = async {
        tokio::time::sleep(SECOND / 2).await;
        bench.requests.ask(&["a".parse().unwrap()]);
    };
    bench.run(25 * SECOND, asking).await;
    assert_eq!(bench.rows.rounds(Search::Owed, "a", bench.start), [0, 21].map(Duration::from_secs));
}

#[tokio::test(start_paused = true)]
async fn partial_rounds_do_not_put_the_full_one_off() {
    let bench = Bench::new(Rows::default(), &["a", "b"]);
    let asking = async {
        loop {
            tokio::time::sleep(7 * SECOND).await;
            bench.requests.ask(&["b".parse().unwrap()]);
        }
    };
    bench.run(31 * SECOND, asking).await;
    assert_eq!(bench.rows.rounds(Search::Owed, "a", bench.start), [0, 30].map(Duration::from_secs));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_stops_what_makes_jobs_and_nothing_else() {
    let all = [(Search::Owed, "a", 1..=1), (Search::Retracted, "a", 2..=2), (Search::Expired, "a", 3..=3)];
    let bench = Bench::new(Rows::with(&all), &["a"]);
    bench.pressure.send_replace(Pressure::Full);
    assert_eq!(bench.run(SECOND, async {}).await, [(Via::Retraction, 2)]);
    bench.pressure.send_replace(Pressure::Free);
    let found = bench.run(SECOND, async {}).await;
    assert_eq!((ids(&found, Via::Sweep), ids(&found, Via::Reap)), (vec![1], vec![3]));
}

#[tokio::test(start_paused = true)]
async fn a_backlog_is_left_where_it_is_under_pressure_and_the_others_are_found() {
    let bench = Bench::new(Rows::with(&[(Search::Owed, "a", 1..=50), (Search::Owed, "b", 51..=51)]), &["a", "b"]);
    bench.pressure.send_replace(Pressure::High);
    let found = ids(&bench.run(SECOND, async {}).await, Via::Sweep);
    assert!(found.contains(&51) && found.len() < 10, "{found:?}");
    bench.pressure.send_replace(Pressure::Free);
    assert_eq!(ids(&bench.run(SECOND, async {}).await, Via::Sweep).len(), 51);
}

#[tokio::test(start_paused = true)]
async fn a_malformed_enterprise_disables_only_itself_and_says_so() {
    let bench = Bench::new(Rows::with(&[(Search::Owed, "b", 1..=1), (Search::Owed, "a", 2..=2)]), &["a", "b"]);
    bench.rows.fail("a", 400, Some("22P02"));
    assert_eq!(ids(&bench.run(SECOND, async {}).await, Via::Sweep), [1]);
    let errors = bench.report(Search::Owed).errors;
    assert_eq!(errors.values().collect::<Vec<_>>(), ["read: HTTP 400 (22P02): m"]);
    bench.rows.errors.lock().unwrap().clear();
    assert_eq!(ids(&bench.run(SECOND, async {}).await, Via::Sweep), [2, 1]);
    assert_eq!(bench.report(Search::Owed).errors, BTreeMap::new());
}

#[tokio::test(start_paused = true)]
async fn a_database_that_does_not_answer_or_refuses_the_key_ends_the_round_and_costs_no_rest() {
    for status in [503, 401] {
        let bench = Bench::new(Rows { takes: 5 * SECOND, ..Rows::default() }, &["a", "b", "c", "d"]);
        for enterprise in ["a", "b", "c", "d"] {
            bench.rows.fail(enterprise, status, None);
        }
        bench.run(46 * SECOND, async {}).await;
        assert_eq!(bench.rows.rounds(Search::Owed, "a", bench.start), [0, 45].map(Duration::from_secs));
        assert_eq!(bench.rows.rounds(Search::Owed, "d", bench.start), Vec::<Duration>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_too_large_is_asked_for_in_halves() {
    let rows = Rows { fits: Some(1), ..Rows::with(&[(Search::Owed, "a", 1..=4)]) };
    let bench = Bench::new(rows, &["a"]);
    assert_eq!(ids(&bench.run(SECOND, async {}).await, Via::Sweep), [1, 2, 3, 4]);
    let limits: Vec<usize> =
        bench.rows.log.lock().unwrap().iter().filter(|q| q.search == Search::Owed).map(|q| q.limit).collect();
    assert_eq!(limits, [3, 1, 1, 1, 1, 1]);
}
