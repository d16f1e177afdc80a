//! What we would have done, beside what was done.
//!
//! Owns the comparison of our decisions with the rows another sender writes, and the report of it. Pure: rows and times are passed in.
//! Bounded: of too many notifications the oldest are forgotten. Never holds a payload, a recipient or a rule's reason.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use serde::Serialize;
use xnovu_domain::{EnterpriseId, Micros, Notification, NotificationId, RuleSlot, Status};

/// Notifications that are watched at a time.
const WATCHED_MAX: usize = 100_000;

/// Differences kept with their notification; beyond it they are only counted.
const DIFFERENCES_MAX: usize = 1_000;

/// Leads kept for the report.
const LEADS_MAX: usize = 10_000;

/// How long the other sender may take before a row it has not sent counts as a difference.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// How long a row may be known to the database before not having heard of it counts as a difference.
pub const HEARING: Duration = Duration::from_secs(60);

/// How far from a slot the row of its rule may have been made.
const SLOT_REACH: Duration = Duration::from_secs(60);

type Key = (EnterpriseId, NotificationId);

/// What we would have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ours {
    /// Sent it.
    Send,
    /// Dropped it.
    Drop,
    /// Put it off.
    Defer,
    /// Kept it, because the rules cannot answer.
    Hold,
    /// Settled it FAILED.
    Fail,
    /// Nothing: we had not heard of it.
    Unheard,
}

/// In which way the two differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// They have sent what we would not have.
    TheySentWeWouldNot,
    /// They failed at what we would have sent.
    TheyFailedWeWouldSend,
    /// They have not sent in time what we would have.
    TheyDidNotSendWeWould,
    /// They have written to a row we never heard of.
    WeDidNotHear,
    /// A slot of a rule at which they have made no row.
    TheyMadeNoRow,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// In which way.
    pub kind: Kind,
    /// Whose it is.
    pub enterprise_id: EnterpriseId,
    /// The notification; None where a rule made none.
    pub notification_id: Option<NotificationId>,
    /// The slot of the rule, where it is about one.
    pub slot: Option<String>,
    /// What we would have done.
    pub ours: Ours,
    /// When we decided that.
    pub decided_at: Option<Micros>,
    /// The row's status now.
    pub theirs: Option<Status>,
    /// When the row was last written.
    pub written_at: Option<Micros>,
}

/// The comparison so far.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Since when.
    pub since: Micros,
    /// Until when.
    pub until: Micros,
    /// Episodes of notifications that were judged, each once.
    pub judged: u64,
    /// What we would have done with them.
    pub decisions: BTreeMap<&'static str, u64>,
    /// Rows on which both agree.
    pub agreed: u64,
    /// Rows and slots that are not decided yet.
    pub waiting: usize,
    /// Slots of rules that came due.
    pub slots: u64,
    /// How many differences of each kind.
    pub differing: BTreeMap<Kind, u64>,
    /// By how much we had decided before they had sent, in milliseconds: at least the first number in 95 of 100, the second in half.
    /// Negative: we were later.
    pub lead_ms: Option<[i64; 2]>,
    /// PROCESSING, SENT and FAILED rows that bear no transaction id of ours.
    pub foreign_rows: u64,
    /// The first differences.
    pub differences: Vec<Difference>,
}

struct Watched {
    episode: Micros,
    ours: Ours,
    decided_at: Micros,
    done: bool,
}

/// The comparison.
pub struct Comparison {
    since: Micros,
    watched: HashMap<Key, Watched>,
    order: VecDeque<Key>,
    slots: VecDeque<RuleSlot>,
    leads: VecDeque<i64>,
    report: Report,
}

impl Comparison {
    /// Nothing compared yet.
    #[must_use]
    pub fn new(since: Micros) -> Self {
        let report = Report {
            since,
            until: since,
            judged: 0,
            decisions: BTreeMap::new(),
            agreed: 0,
            waiting: 0,
            slots: 0,
            differing: BTreeMap::new(),
            lead_ms: None,
            foreign_rows: 0,
            differences: Vec::new(),
        };
        let (watched, order, slots, leads) = Default::default();
        Self { since, watched, order, slots, leads, report }
    }

    /// Since when it compares.
    #[must_use]
    pub fn since(&self) -> Micros {
        self.since
    }

    /// Whether this episode of a row was judged before. A row that another sender has touched since is the same notification: it is judged
    /// once more only when it is PENDING anew.
    #[must_use]
    pub fn knows(&self, row: &Notification) -> bool {
        self.watched
            .get(&key(row))
            .is_some_and(|known| row.notification_status != Status::Pending || known.episode == row.episode())
    }

    /// Notes what we would have done with a row.
    pub fn decided(&mut self, row: &Notification, ours: Ours, now: Micros) {
        self.report.judged += 1;
        *self.report.decisions.entry(word(ours)).or_default() += 1;
        let watched = Watched { episode: row.episode(), ours, decided_at: now, done: false };
        if self.watched.insert(key(row), watched).is_none() {
            self.order.push_back(key(row));
        }
        while self.order.len() > WATCHED_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.watched.remove(&oldest);
            }
        }
    }

    /// Notes slots of rules that came due.
    pub fn came_due(&mut self, slots: impl IntoIterator<Item = RuleSlot>) {
        for slot in slots {
            self.report.slots += 1;
            self.slots.push_back(slot);
        }
        while self.slots.len() > WATCHED_MAX {
            self.slots.pop_front();
        }
    }

    /// The notifications of an enterprise that are not decided yet.
    #[must_use]
    pub fn open(&self, enterprise: &EnterpriseId) -> Vec<NotificationId> {
        let open = self.watched.iter().filter(|((owner, _), watched)| owner == enterprise && !watched.done);
        open.map(|((_, id), _)| *id).collect()
    }

    /// Compares rows of an enterprise as they are now: those asked for by id, and those made since the start.
    pub fn compare(&mut self, rows: &[Notification], now: Micros) {
        for row in rows {
            self.compare_row(row, now);
        }
        self.report.until = now;
    }

    fn compare_row(&mut self, row: &Notification, now: Micros) {
        let foreign = row.is_of_another_sender();
        let Some(watched) = self.watched.get_mut(&key(row)) else {
            if foreign && now.since(row.created_at) > HEARING && row.created_at >= self.since {
                let unheard = Watched { episode: row.episode(), ours: Ours::Unheard, decided_at: now, done: true };
                self.watched.insert(key(row), unheard);
                self.order.push_back(key(row));
                self.report.foreign_rows += 1;
                self.differ(Kind::WeDidNotHear, row, Ours::Unheard, None);
            }
            return;
        };
        if watched.done {
            return;
        }
        let (ours, decided_at) = (watched.ours, watched.decided_at);
        let late = now.since(decided_at) > PATIENCE;
        let verdict = match (row.notification_status, ours) {
            (Status::Sent, Ours::Send) => Some(None),
            (Status::Sent, _) => Some(Some(Kind::TheySentWeWouldNot)),
            // They try again after a failure, so it counts only when it lasts.
            (Status::Failed, Ours::Send) => late.then_some(Some(Kind::TheyFailedWeWouldSend)),
            (Status::Pending | Status::Processing, Ours::Send) => late.then_some(Some(Kind::TheyDidNotSendWeWould)),
            (Status::Retracted, _) => Some(None),
            (Status::Pending | Status::Processing | Status::Failed, _) => late.then_some(None),
            (Status::Unknown, _) => None,
        };
        let Some(difference) = verdict else { return };
        watched.done = true;
        self.report.foreign_rows += u64::from(foreign);
        if row.notification_status == Status::Sent && ours == Ours::Send {
            self.note_lead(row.updated_at, decided_at);
        }
        match difference {
            None => self.report.agreed += 1,
            Some(kind) => self.differ(kind, row, ours, Some(decided_at)),
        }
    }

    /// Compares an enterprise's slots that came due with the rows its rules have made. Slots whose time has not passed wait.
    pub fn compare_slots(&mut self, enterprise: &EnterpriseId, rows: &[Notification], now: Micros) {
        let waiting = std::mem::take(&mut self.slots);
        for slot in waiting {
            if slot.enterprise() != enterprise || now.since(slot.at()) <= SLOT_REACH + HEARING {
                self.slots.push_back(slot);
                continue;
            }
            let made = |row: &Notification| {
                row.notification_rule_id == Some(slot.rule())
                    && row.enterprise_id == *slot.enterprise()
                    && row.created_at >= slot.at()
                    && row.created_at.since(slot.at()) <= SLOT_REACH
            };
            if rows.iter().any(made) {
                self.report.agreed += 1;
            } else {
                self.keep(Difference {
                    kind: Kind::TheyMadeNoRow,
                    enterprise_id: slot.enterprise().clone(),
                    notification_id: None,
                    slot: Some(slot.row_name()),
                    ours: Ours::Send,
                    decided_at: Some(slot.at()),
                    theirs: None,
                    written_at: None,
                });
            }
        }
    }

    /// The comparison so far.
    #[must_use]
    pub fn report(&self) -> Report {
        let open = self.watched.values().filter(|watched| !watched.done).count();
        let mut leads: Vec<i64> = self.leads.iter().copied().collect();
        leads.sort_unstable();
        let at = |part: usize| leads.get(leads.len().saturating_sub(1) * part / 20).copied();
        let lead_ms = at(1).zip(at(10)).map(|(most, half)| [most, half]);
        Report { waiting: open + self.slots.len(), lead_ms, ..self.report.clone() }
    }

    fn note_lead(&mut self, sent_at: Micros, decided_at: Micros) {
        self.leads.push_back(sent_at.millis() - decided_at.millis());
        if self.leads.len() > LEADS_MAX {
            self.leads.pop_front();
        }
    }

    fn differ(&mut self, kind: Kind, row: &Notification, ours: Ours, decided_at: Option<Micros>) {
        self.keep(Difference {
            kind,
            enterprise_id: row.enterprise_id.clone(),
            notification_id: Some(row.id),
            slot: None,
            ours,
            decided_at,
            theirs: Some(row.notification_status),
            written_at: Some(row.updated_at),
        });
    }

    fn keep(&mut self, difference: Difference) {
        tracing::warn!(event = "difference", enterprise_id = %difference.enterprise_id,
            notification_id = difference.notification_id.map(tracing::field::display), slot = difference.slot,
            kind = ?difference.kind, ours = word(difference.ours), theirs = ?difference.theirs, "we differ");
        *self.report.differing.entry(difference.kind).or_default() += 1;
        if self.report.differences.len() < DIFFERENCES_MAX {
            self.report.differences.push(difference);
        }
    }
}

fn key(row: &Notification) -> Key {
    (row.enterprise_id.clone(), row.id)
}

/// The word for logs and the report.
#[must_use]
pub fn word(ours: Ours) -> &'static str {
    match ours {
        Ours::Send => "send",
        Ours::Drop => "drop",
        Ours::Defer => "defer",
        Ours::Hold => "hold",
        Ours::Fail => "fail",
        Ours::Unheard => "unheard",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(seconds: i64) -> Micros {
        Micros::new((1_767_225_600 + seconds) * 1_000_000)
    }

    /// A row made at second 1, in this status since that second.
    fn row(id: i64, status: &str, since: i64) -> Notification {
        let row = json!({"id": id, "enterprise_id": "e", "name": "n", "notification_status": status, "publish_status": "PUBLISH",
            "deactivated": false, "payload": {}, "recipients": [], "created_at": at(1), "updated_at": at(since)});
        serde_json::from_str(&row.to_string()).unwrap()
    }

    /// What comes of a decision at second 2 and a row that looks like this at `now`.
    fn check(ours: Ours, status: &str, now: i64, want: Option<Result<(), Kind>>) {
        let mut comparison = Comparison::new(at(0));
        comparison.decided(&row(7, "PENDING", 1), ours, at(2));
        comparison.compare(&[row(7, status, 4)], at(now));
        let report = comparison.report();
        let got = match (report.agreed, report.differences.first()) {
            (1, None) => Some(Ok(())),
            (0, Some(difference)) => Some(Err(difference.kind)),
            (0, None) => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(got, want, "{ours:?} {status} {now}");
        assert_eq!(report.waiting, usize::from(want.is_none()));
    }

    #[test]
    fn what_they_did_is_held_against_what_we_would_have_done() {
        check(Ours::Send, "SENT", 5, Some(Ok(())));
        check(Ours::Drop, "SENT", 5, Some(Err(Kind::TheySentWeWouldNot)));
        check(Ours::Defer, "SENT", 5, Some(Err(Kind::TheySentWeWouldNot)));
        check(Ours::Hold, "SENT", 5, Some(Err(Kind::TheySentWeWouldNot)));
        check(Ours::Fail, "SENT", 5, Some(Err(Kind::TheySentWeWouldNot)));
        check(Ours::Send, "FAILED", 5, None);
        check(Ours::Send, "FAILED", 200, Some(Err(Kind::TheyFailedWeWouldSend)));
        check(Ours::Send, "PENDING", 5, None);
        check(Ours::Send, "PENDING", 200, Some(Err(Kind::TheyDidNotSendWeWould)));
        check(Ours::Send, "PROCESSING", 200, Some(Err(Kind::TheyDidNotSendWeWould)));
        check(Ours::Drop, "PENDING", 5, None);
        check(Ours::Drop, "PENDING", 200, Some(Ok(())));
        check(Ours::Fail, "FAILED", 200, Some(Ok(())));
        check(Ours::Send, "RETRACTED", 5, Some(Ok(())));
    }

    #[test]
    fn a_row_we_never_heard_of_is_a_difference_once_it_is_old_enough() {
        let mut comparison = Comparison::new(at(0));
        for now in [10, 100, 200] {
            comparison.compare(&[row(7, "SENT", 4), row(8, "PENDING", 1)], at(now));
        }
        let report = comparison.report();
        assert_eq!(report.differing, BTreeMap::from([(Kind::WeDidNotHear, 1)]));
        assert_eq!((report.differences[0].ours, report.foreign_rows), (Ours::Unheard, 1));
        let mut later = Comparison::new(at(50));
        later.compare(&[row(7, "SENT", 4)], at(200));
        assert!(later.report().differences.is_empty(), "it was there before the start");
    }

    #[test]
    fn an_episode_is_judged_once_and_a_row_set_back_to_pending_again() {
        let mut comparison = Comparison::new(at(0));
        let first = row(7, "PENDING", 1);
        assert!(!comparison.knows(&first));
        comparison.decided(&first, Ours::Send, at(2));
        assert!(
            comparison.knows(&first)
                && comparison.knows(&row(7, "PROCESSING", 3))
                && comparison.knows(&row(7, "SENT", 4))
        );
        assert!(!comparison.knows(&row(7, "PENDING", 9)));
    }

    #[test]
    fn our_lead_is_what_they_took_longer() {
        let mut comparison = Comparison::new(at(0));
        for id in 1..=20 {
            comparison.decided(&row(id, "PENDING", 1), Ours::Send, at(2));
            comparison.compare(&[row(id, "SENT", 2 + id)], at(60));
        }
        assert_eq!(comparison.report().lead_ms, Some([1_000, 10_000]));
        assert_eq!(Comparison::new(at(0)).report().lead_ms, None);
    }

    #[test]
    fn a_slot_without_a_row_is_a_difference() {
        let slot =
            |rule: i64| RuleSlot::new("e".parse().unwrap(), xnovu_domain::RuleId::new(rule).unwrap(), at(0)).unwrap();
        let mut comparison = Comparison::new(at(0));
        comparison.came_due([slot(1), slot(2)]);
        let mut made = row(7, "SENT", 4);
        made.notification_rule_id = Some(slot(1).rule());
        comparison.compare_slots(&"e".parse().unwrap(), std::slice::from_ref(&made), at(100));
        assert_eq!(comparison.report().waiting, 2);
        comparison.compare_slots(&"e".parse().unwrap(), &[made], at(200));
        let report = comparison.report();
        assert_eq!((report.slots, report.agreed, report.waiting), (2, 1, 0));
        assert_eq!(report.differences[0].slot.as_deref(), Some("rule-2 @ 2026-01-01T00:00:00Z"));
    }
}
