//! The rules that are known, and which slots are due.
//!
//! Owns from which instant on each rule's slots are still to be seen to. Promises that no slot before the last change of a rule or its
//! workflow is due, that a bad rule stops no other, and that a database whose `updated_at` nobody maintains makes no slot due that lies before
//! the change was seen. Pure but for its lock: time is passed in.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Notify;
use xnovu_domain::{EnterpriseId, Micros, NotificationRule, RuleId, RuleSlot};

use super::plan::{Defaults, Plan};
use crate::store::ReadRules;
use crate::telemetry::Chain;

/// Bad rules shown to those who look.
const BAD_SHOWN_MAX: usize = 100;

type Key = (EnterpriseId, RuleId);

/// The rules that are known.
pub struct Book {
    defaults: Defaults,
    pages: Mutex<Pages>,
    changed: Notify,
}

#[derive(Default)]
struct Pages {
    entries: BTreeMap<Key, Entry>,
    /// Enterprises whose rules could not be read, and why.
    unread: BTreeMap<EnterpriseId, String>,
}

#[derive(Debug)]
struct Entry {
    changed_at: Micros,
    plan: Result<Plan, String>,
    /// What is wrong with what it sends.
    payload: Option<String>,
    /// Whether what it sends was looked at since it was new or changed.
    checked: bool,
    /// When it was last read like this.
    confirmed: Micros,
    /// Slots up to here have been seen to.
    seen: Micros,
    next: Option<Micros>,
}

/// What is due.
#[derive(Debug, Default)]
pub struct DueSlots {
    /// To be fired.
    pub slots: Vec<RuleSlot>,
    /// How many missed slots of each enterprise were passed over.
    pub skipped: BTreeMap<EnterpriseId, usize>,
}

/// A rule that does not fire because something is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadRule {
    /// Whose it is.
    pub enterprise_id: EnterpriseId,
    /// Which it is.
    pub rule_id: RuleId,
    /// What is wrong with it.
    pub reason: String,
}

/// How the rules stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct BookReport {
    /// Rules that fire.
    pub firing: usize,
    /// Rules that are published and do not fire: not enabled, or their workflow is not in use.
    pub asleep: usize,
    /// Rules that have no slot left: a time that has passed.
    pub over: usize,
    /// Rules with a mistake.
    pub bad: usize,
    /// The first of them, with the mistake.
    pub mistakes: Vec<BadRule>,
    /// The next slot of all.
    pub next_slot: Option<Micros>,
    /// Enterprises whose rules could not be read at the last look, and why. Those read before still fire.
    pub unread: BTreeMap<EnterpriseId, String>,
}

impl Entry {
    fn unreadable(reason: String, read_at: Micros) -> Self {
        Self {
            changed_at: read_at,
            plan: Err(reason),
            payload: None,
            checked: false,
            confirmed: read_at,
            seen: read_at,
            next: None,
        }
    }

    fn state(&self) -> State<'_> {
        match (&self.plan, &self.payload) {
            (Err(reason), _) | (Ok(_), Some(reason)) => State::Bad(reason),
            (Ok(Plan { asleep: Some(_), .. }), None) => State::Asleep,
            (Ok(plan), None) if self.next.is_none() => State::Over(plan),
            (Ok(plan), None) => State::Firing(plan),
        }
    }

    fn see_to(&mut self, seen: Micros) {
        self.seen = seen;
        self.next = match self.state() {
            State::Firing(plan) | State::Over(plan) => plan.timetable.after(seen),
            State::Asleep | State::Bad(_) => None,
        };
    }
}

enum State<'a> {
    Firing(&'a Plan),
    Asleep,
    /// No slot is left.
    Over(&'a Plan),
    Bad(&'a str),
}

impl Book {
    /// No rules yet.
    #[must_use]
    pub fn new(defaults: Defaults) -> Self {
        Self { defaults, pages: Mutex::default(), changed: Notify::new() }
    }

    /// What a rule does not say itself.
    #[must_use]
    pub fn defaults(&self) -> &Defaults {
        &self.defaults
    }

    /// Puts an enterprise's rules in the place of those known before, as they were read at `read_at`. Answers of which it is to be seen what
    /// they send: the new, the changed, those nobody has looked at since and those with a mistake in it.
    pub fn replace(&self, enterprise: &EnterpriseId, read: &ReadRules, read_at: Micros) -> Vec<RuleId> {
        let mut pages = self.lock();
        pages.unread.remove(enterprise);
        let mut old: BTreeMap<Key, Entry> = pages.entries.extract_if(.., |(owner, _), _| owner == enterprise).collect();
        let mut to_check = Vec::new();
        for rule in read.rules.iter().filter(|rule| rule.enterprise_id == *enterprise) {
            let key = (enterprise.clone(), rule.id);
            let (entry, check) = self.entry(rule, old.remove(&key), read_at);
            if check {
                to_check.push(rule.id);
            }
            pages.entries.insert(key, entry);
        }
        for bad in read.bad.iter().filter(|bad| bad.enterprise.as_ref() == Some(enterprise)) {
            let Some(id) = bad.id.as_deref().and_then(|id| id.parse().ok()) else { continue };
            let key = (enterprise.clone(), id);
            let entry = Entry::unreadable(Chain(bad).to_string(), read_at);
            let known = old.remove(&key).is_some_and(|old| old.plan == entry.plan);
            if !known {
                tracing::warn!(enterprise_id = %enterprise, rule_id = %id, error = %Chain(bad), "a rule cannot be read and does not fire");
            }
            pages.entries.insert(key, entry);
        }
        drop(pages);
        self.changed.notify_one();
        to_check
    }

    fn entry(&self, rule: &NotificationRule, old: Option<Entry>, read_at: Micros) -> (Entry, bool) {
        let plan = Plan::of(rule, &self.defaults).map_err(|error| error.to_string());
        let changed_at = rule.changed_at();
        let old = match old {
            Some(mut old) if old.plan == plan && old.changed_at == changed_at => {
                old.confirmed = read_at;
                let check = old.plan.is_ok() && (old.payload.is_some() || !old.checked);
                return (old, check);
            }
            old => old,
        };
        if let Err(reason) = &plan {
            tracing::warn!(enterprise_id = %rule.enterprise_id, rule_id = %rule.id, reason, "a rule has a mistake and does not fire");
        }
        let window = plan.as_ref().map_or(Duration::ZERO, |plan| plan.misfire.window.max(super::misfire::ON_TIME));
        // A change that moved no `updated_at` happened after the rule was last read as it was.
        let silent = old.filter(|old| old.changed_at == changed_at).map_or(Micros::new(i64::MIN), |old| old.confirmed);
        let before_change = Micros::new(changed_at.get().saturating_sub(1));
        let seen = before_change.max(silent).max(read_at.minus(window));
        let mut entry = Entry { changed_at, plan, payload: None, checked: false, confirmed: read_at, seen, next: None };
        entry.see_to(seen);
        if matches!(entry.state(), State::Over(_)) {
            tracing::info!(enterprise_id = %rule.enterprise_id, rule_id = %rule.id, "a rule has no slot left and does not fire");
        }
        let check = entry.plan.is_ok();
        (entry, check)
    }

    /// Notes what is wrong with what a rule sends, or that nothing is any more.
    pub fn note_payload(&self, enterprise: &EnterpriseId, rule: RuleId, mistake: Option<String>, now: Micros) {
        let mut pages = self.lock();
        let Some(entry) = pages.entries.get_mut(&(enterprise.clone(), rule)) else { return };
        entry.checked = true;
        if entry.payload == mistake {
            return;
        }
        if let Some(reason) = &mistake {
            tracing::warn!(enterprise_id = %enterprise, rule_id = %rule, reason, "a rule has a mistake and does not fire");
        }
        let was_bad = entry.payload.is_some();
        entry.payload = mistake;
        let seen = if was_bad { entry.seen.max(now) } else { entry.seen };
        entry.see_to(seen);
        drop(pages);
        self.changed.notify_one();
    }

    /// Notes that an enterprise's rules could not be read. Says whether that is new.
    pub fn note_unread(&self, enterprise: &EnterpriseId, why: String) -> bool {
        let mut pages = self.lock();
        let is_new = pages.unread.get(enterprise) != Some(&why);
        pages.unread.insert(enterprise.clone(), why);
        is_new
    }

    /// The slots that are due at `now`. They count as seen to from here on.
    pub fn due(&self, now: Micros) -> DueSlots {
        let mut due = DueSlots::default();
        for ((enterprise, rule), entry) in &mut self.lock().entries {
            if entry.seen > now {
                // The clock was put back. Slots are instants: those that come again are known by their names.
                entry.see_to(now);
            }
            let State::Firing(plan) = entry.state() else { continue };
            if entry.next.is_none_or(|next| next > now) {
                continue;
            }
            let selection = plan.misfire.select(&plan.timetable, entry.seen, now);
            entry.see_to(now);
            due.slots.extend(selection.slots.into_iter().filter_map(|at| RuleSlot::new(enterprise.clone(), *rule, at)));
            if selection.skipped > 0 {
                tracing::warn!(enterprise_id = %enterprise, rule_id = %rule, "slots were missed and do not fire");
                *due.skipped.entry(enterprise.clone()).or_default() += selection.skipped;
            }
        }
        due
    }

    /// The next slot of all.
    #[must_use]
    pub fn next(&self) -> Option<Micros> {
        self.lock().entries.values().filter_map(|entry| entry.next).min()
    }

    /// Waits for a change of the rules.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// How the rules stand.
    #[must_use]
    pub fn report(&self) -> BookReport {
        let pages = self.lock();
        let mut report = BookReport { unread: pages.unread.clone(), ..BookReport::default() };
        for ((enterprise, rule), entry) in &pages.entries {
            match entry.state() {
                State::Firing(_) => report.firing += 1,
                State::Asleep => report.asleep += 1,
                State::Over(_) => report.over += 1,
                State::Bad(reason) => {
                    report.bad += 1;
                    if report.mistakes.len() < BAD_SHOWN_MAX {
                        let (enterprise_id, rule_id) = (enterprise.clone(), *rule);
                        report.mistakes.push(BadRule { enterprise_id, rule_id, reason: reason.to_owned() });
                    }
                }
            }
        }
        report.next_slot = pages.entries.values().filter_map(|entry| entry.next).min();
        report
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
