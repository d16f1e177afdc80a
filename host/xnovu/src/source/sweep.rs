//! The sweep, which makes us right where Realtime only makes us fast.
//!
//! Owns three searches that go round for ever, each at its own pace: rows that are owed, rows taken back whose retraction nobody has
//! carried, and claims whose lease is over. Promises that no row is missed because a page was short, an enterprise failed or a connection
//! was blind for a while, and that searching takes at most a twentieth of the database's time. Never keeps a cursor beyond a round, so
//! none can skip a late commit.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use xnovu_domain::{EnterpriseId, LEASE, Micros, NotificationId};

use super::{Hint, Via};
use crate::pressure::Pressure;
use crate::store::{NotificationStore, ReadRows, StoreError};

pub use requests::SweepRequests;

mod requests;

/// Rows asked for at a time. The API may return fewer; only an empty page ends a search.
const PAGE_ROWS: usize = 500;

/// How far ahead owed rows are read, at least.
const HORIZON_MIN: Duration = Duration::from_secs(600);

/// How old a retraction may be and still be carried.
const RETRACTED_SINCE: Duration = Duration::from_secs(7 * 24 * 3600);

/// A round rests at least this many times as long as it kept the database busy.
const REST_FACTOR: u32 = 20;

/// Enterprises that may meet a database that does not answer, or refuses the key, before a round is given up.
const OUTAGES_MAX: u32 = 3;

/// How the sweep goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepSettings {
    /// Time between two rounds, at least.
    pub period: Duration,
    /// How far ahead owed rows are read, so that a timer can be set for them. Longer than a few periods.
    pub horizon: Duration,
    /// Rows asked for at a time, at least 1.
    pub page_rows: usize,
}

impl SweepSettings {
    /// Rounds with this period, a horizon that suits it and pages of 500.
    #[must_use]
    pub fn with_period(period: Duration) -> Self {
        Self { period, horizon: HORIZON_MIN.max(period * 4), page_rows: PAGE_ROWS }
    }
}

/// What is searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Search {
    /// Rows that are owed or soon will be.
    Owed,
    /// Rows of ours taken back.
    Retracted,
    /// Claims whose lease is over.
    Expired,
}

impl Search {
    const ALL: [Self; 3] = [Self::Owed, Self::Retracted, Self::Expired];

    /// The word for metrics and logs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Owed => "owed",
            Self::Retracted => "retracted",
            Self::Expired => "expired",
        }
    }

    fn via(self) -> Via {
        match self {
            Self::Owed => Via::Sweep,
            Self::Retracted => Via::Retraction,
            Self::Expired => Via::Reap,
        }
    }

    /// What is found makes jobs, so a full queue holds the search back. Retractions only take work away.
    fn makes_jobs(self) -> bool {
        self != Self::Retracted
    }
}

/// How a search stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchReport {
    /// Rounds over every enterprise that have ended.
    pub rounds: u64,
    /// When the last one ended, by the database's clock.
    pub ended_at: Option<Micros>,
    /// How long the last round kept the database busy.
    pub busy: Duration,
    /// Rows found since the start.
    pub rows: u64,
    /// Enterprises whose last search failed, and why. The others are searched regardless.
    pub errors: BTreeMap<EnterpriseId, String>,
}

/// How each search stands.
pub type SweepReport = BTreeMap<Search, SearchReport>;

/// The sweep.
pub struct Sweep {
    store: Arc<dyn NotificationStore>,
    enterprises: Vec<EnterpriseId>,
    settings: SweepSettings,
    requests: Arc<SweepRequests>,
    pressure: watch::Receiver<Pressure>,
    report: watch::Sender<SweepReport>,
}

/// An enterprise within a round: where its next page starts, and how large it may be.
struct Place {
    enterprise: EnterpriseId,
    after: Option<NotificationId>,
    page_rows: usize,
}

impl Sweep {
    /// A sweep of these enterprises. `requests` asks for rounds out of turn. Under high `pressure` one page
    /// of each enterprise is read of what makes jobs, so that a backlog stays where it is and the others are found; under full, nothing.
    #[must_use]
    pub fn new(
        store: Arc<dyn NotificationStore>,
        enterprises: Vec<EnterpriseId>,
        settings: SweepSettings,
        requests: Arc<SweepRequests>,
        pressure: watch::Receiver<Pressure>,
    ) -> Self {
        let report = Search::ALL.into_iter().map(|search| (search, SearchReport::default())).collect();
        Self { store, enterprises, settings, requests, pressure, report: watch::Sender::new(report) }
    }

    /// Watches how the searches stand.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<SweepReport> {
        self.report.subscribe()
    }

    /// Searches until `stop` is cancelled or nobody listens.
    pub async fn run(&self, out: &mpsc::Sender<Hint>, stop: &CancellationToken) {
        let [owed, retracted, expired] = Search::ALL.map(|search| self.go_round(search, out));
        stop.run_until_cancelled(async { tokio::join!(owed, retracted, expired) }).await;
    }

    async fn go_round(&self, search: Search, out: &mpsc::Sender<Hint>) {
        let all: BTreeSet<EnterpriseId> = self.enterprises.iter().cloned().collect();
        let (mut wanted, mut full_at) = (all.clone(), Instant::now());
        while !out.is_closed() {
            let is_full = wanted.len() == all.len();
            let busy = self.round(search, wanted, out).await;
            self.note(search, |report| {
                report.busy = busy;
                if is_full {
                    report.rounds += 1;
                    report.ended_at = Some(self.store.database_now());
                }
            });
            let rested = Instant::now() + busy * REST_FACTOR;
            full_at = rested.max(if is_full { Instant::now() + self.settings.period } else { full_at });
            wanted = self.rest(search, rested, full_at, &all).await;
        }
    }

    /// Waits for the next round and says which enterprises it is about.
    async fn rest(
        &self,
        search: Search,
        rested: Instant,
        full_at: Instant,
        all: &BTreeSet<EnterpriseId>,
    ) -> BTreeSet<EnterpriseId> {
        let asked = async {
            match search {
                Search::Expired => std::future::pending().await,
                Search::Owed | Search::Retracted => self.requests.asked(search).await,
            }
            tokio::time::sleep_until(rested).await;
        };
        // At the time of a full round whatever was asked is answered by it.
        let is_full = tokio::time::timeout_at(full_at, asked).await.is_err();
        let asked = self.requests.take(search);
        if is_full { all.clone() } else { asked.intersection(all).cloned().collect() }
    }

    /// Reads these enterprises to their ends, a page of each in turn, and says how long that kept the database busy.
    async fn round(&self, search: Search, wanted: BTreeSet<EnterpriseId>, out: &mpsc::Sender<Hint>) -> Duration {
        let place = |enterprise| Place { enterprise, after: None, page_rows: self.settings.page_rows };
        let mut places: VecDeque<Place> = wanted.into_iter().map(place).collect();
        let (mut busy, mut outages) = (Duration::ZERO, 0);
        while let Some(place) = places.pop_front() {
            if search.makes_jobs() {
                // An error says that nobody can hold us back any more.
                let _ = self.pressure.clone().wait_for(|pressure| *pressure != Pressure::Full).await;
            }
            let started = Instant::now();
            let page = self.page(search, &place).await;
            let is_outage = page.as_ref().is_err_and(|error| error.is_outage() || error.is_denied());
            if is_outage {
                outages += 1;
            } else {
                // A database that does not answer, or nobody, is not kept busy and must be found again soon after it is back.
                let took = page.as_ref().ok().and_then(|page| page.took);
                busy += took.unwrap_or_else(|| started.elapsed());
                outages = 0;
            }
            let next = self.turn(search, place, page, out).await;
            places.extend(next.filter(|next| next.after.is_none() || self.may_read_on(search)));
            if outages >= OUTAGES_MAX {
                break;
            }
        }
        busy
    }

    fn may_read_on(&self, search: Search) -> bool {
        !search.makes_jobs() || *self.pressure.borrow() == Pressure::Free
    }

    async fn page(&self, search: Search, place: &Place) -> Result<ReadRows, StoreError> {
        let (enterprise, after, limit) = (&place.enterprise, place.after, place.page_rows);
        let now = self.store.database_now();
        match search {
            Search::Owed => self.store.owed(enterprise, after, now.plus(self.settings.horizon), limit).await,
            Search::Retracted => self.store.retracted(enterprise, after, now.minus(RETRACTED_SINCE), limit).await,
            Search::Expired => self.store.expired(enterprise, now.minus(LEASE), after, limit).await,
        }
    }

    /// Passes a page on and says where the enterprise's next page starts; None at its end.
    async fn turn(
        &self,
        search: Search,
        place: Place,
        page: Result<ReadRows, StoreError>,
        out: &mpsc::Sender<Hint>,
    ) -> Option<Place> {
        let page = match page {
            Err(StoreError::TooLarge { .. }) if place.page_rows > 1 => {
                return Some(Place { page_rows: place.page_rows / 2, ..place });
            }
            Err(error) => {
                self.failed(search, &place.enterprise, format!("{:#}", anyhow::Error::from(error)));
                return None;
            }
            Ok(page) => page,
        };
        if page.is_empty() {
            self.note(search, |report| drop(report.errors.remove(&place.enterprise)));
            return None;
        }
        let Some(last) = page.last_id().filter(|last| place.after.is_none_or(|after| *last > after)) else {
            self.failed(search, &place.enterprise, "a page does not lead on: its rows have no readable ids".to_owned());
            return None;
        };
        self.note(search, |report| report.rows += page.rows.len() as u64);
        if !page.rows.is_empty() {
            let hint = Hint::Rows { enterprise: place.enterprise.clone(), rows: page.rows, via: search.via() };
            out.send(hint).await.ok()?;
        }
        Some(Place { after: Some(last), ..place })
    }

    /// Logs an error when it is new, because it may come back with every round.
    fn failed(&self, search: Search, enterprise: &EnterpriseId, error: String) {
        let known = self.report.borrow().get(&search).and_then(|report| report.errors.get(enterprise).cloned());
        if known.as_ref() != Some(&error) {
            tracing::warn!(enterprise.id = %enterprise, search = search.word(), error, "the sweep of an enterprise fails");
        }
        self.note(search, |report| drop(report.errors.insert(enterprise.clone(), error)));
    }

    fn note(&self, search: Search, change: impl FnOnce(&mut SearchReport)) {
        self.report.send_modify(|report| change(report.entry(search).or_default()));
    }
}

#[cfg(test)]
mod tests;
