//! From an event to a ruling: who answers, on a rule thread, and what becomes of a failure.
//!
//! Owns the fallback: a version that fails too often gives way to the last good one, and that to the failure policy (see
//! [`crate::breaker`]). Promises that an answer is one version's from its start to its end.

use std::sync::Arc;
use std::time::Instant;

use xnovu_domain::{EnterpriseId, Event};

use super::Runtime;
use crate::breaker::{Change, Failure, Route};
use crate::instance::{Conditions, Outcome};
use crate::pool::PoolError;
use crate::set::{Bound, Running};
use crate::{BindingState, Broken, BrokenKind, FailurePolicy, Pin, Ruled, Ruling, Stamp};

/// What is asked of an instance.
pub(super) type Ask<T> = fn(Conditions<'_>, Event) -> Outcome<T>;

/// Which of a subject's versions is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// The one in force.
    InForce,
    /// The one before.
    Previous,
}

impl Runtime {
    /// Asks whoever is to answer.
    pub(super) async fn ask<T: Send + 'static>(&self, bound: &Arc<Bound>, event: Event, ask: Ask<T>) -> Ruling<T> {
        let Some(stamp) = &bound.binding.stamp else { return Ruling::Broken(not_loaded(&bound.binding.state)) };
        let (enterprise, pin) = (event.notification.enterprise_id.clone(), stamp.pin());
        let route = self.inner.breakers.route(&enterprise, pin, Instant::now());
        match &route {
            Route::Suspended { reason, timed_out } => return Ruling::Broken(suspended(bound, reason, *timed_out)),
            Route::LastGood => return self.ask_last_good(bound, &enterprise, pin, event, ask).await,
            Route::Current { .. } | Route::Trial => {}
        }
        let may_fall = bound.previous.is_some() && route != Route::Current { watched: false };
        let spare = may_fall.then(|| event.clone());
        let ruling = self.evaluate(bound, Which::InForce, event, ask).await;
        let falls = self.take_note(bound, &enterprise, stamp, &route, &ruling);
        match spare {
            Some(event) if falls => self.ask_last_good(bound, &enterprise, pin, event, ask).await,
            _ => ruling,
        }
    }

    async fn ask_last_good<T: Send + 'static>(
        &self,
        bound: &Arc<Bound>,
        enterprise: &EnterpriseId,
        pin: Pin,
        event: Event,
        ask: Ask<T>,
    ) -> Ruling<T> {
        let ruling = self.evaluate(bound, Which::Previous, event, ask).await;
        let failed = match &ruling {
            Ruling::Ruled(_) => Some(false),
            Ruling::Broken(broken) if broken.kind.is_the_components() => Some(true),
            Ruling::Broken(_) | Ruling::Unbound => None,
        };
        let change = failed.and_then(|failed| self.inner.breakers.last_good_ended(enterprise, pin, failed));
        if change.is_some() {
            tracing::error!(enterprise.id = %enterprise, policy = ?bound.binding.policy, "the last good rules fail as well: the failure policy decides");
        }
        ruling
    }

    /// Tells the breaker how a call ended. True: it failed, and the last good version should answer in its place.
    fn take_note<T>(
        &self,
        bound: &Bound,
        enterprise: &EnterpriseId,
        stamp: &Stamp,
        route: &Route,
        ruling: &Ruling<T>,
    ) -> bool {
        let breakers = &self.inner.breakers;
        let broken = match ruling {
            Ruling::Broken(broken) if broken.kind.is_the_components() => broken,
            Ruling::Ruled(_) => {
                if breakers.answered(enterprise, stamp.pin(), route) == Some(Change::Closed) {
                    tracing::info!(enterprise.id = %enterprise, plugin = %stamp, "the rules answer again and decide again");
                }
                return false;
            }
            Ruling::Broken(_) | Ruling::Unbound => return false,
        };
        let has_last_good = bound.previous.is_some();
        let failure = Failure {
            subject: &bound.subject,
            route,
            kind: broken.kind,
            reason: &broken.reason,
            has_last_good,
            now: Instant::now(),
        };
        let change = breakers.failed(enterprise, stamp.pin(), &failure);
        if let Some(Change::Opened { failures, calls, wait }) = &change {
            let until_then = if has_last_good { "the last good version decides" } else { "the failure policy decides" };
            tracing::error!(enterprise.id = %enterprise, plugin = %stamp, failures, calls, reason = broken.reason, retry_s = wait.as_secs(), until_then, "the rules fail too often");
        }
        change.is_some() || *route == Route::Trial
    }

    /// Asks one version of a subject, on a rule thread.
    pub(super) async fn evaluate<T: Send + 'static>(
        &self,
        bound: &Arc<Bound>,
        which: Which,
        event: Event,
        ask: Ask<T>,
    ) -> Ruling<T> {
        if bound.version(which).is_none() {
            return Ruling::Broken(not_loaded(&bound.binding.state));
        }
        let enterprise = event.notification.enterprise_id.clone();
        let (sandbox, theirs) = (self.inner.sandbox.clone(), bound.clone());
        let work = move || {
            let running = theirs.version(which)?;
            let entry = &running.entry;
            let image = &running.plugin.image;
            let outcome = ask(sandbox.conditions(image, entry.config.json(), &entry.limits, entry.log_guest), event);
            running.tally.count(outcome.result.is_ok(), outcome.duration, outcome.fuel);
            Some(outcome)
        };
        match self.pool.run(&enterprise, work).await {
            Ok(Some(outcome)) => bound.ruling(which, outcome),
            Ok(None) => Ruling::Broken(not_loaded(&bound.binding.state)),
            Err(error @ (PoolError::Full | PoolError::Lost)) => {
                Ruling::Broken(bound.broken_by(which, BrokenKind::Overloaded, error.to_string()))
            }
        }
    }
}

impl Bound {
    fn version(&self, which: Which) -> Option<&Running> {
        match which {
            Which::InForce => self.running.as_ref(),
            Which::Previous => self.previous.as_ref(),
        }
    }

    fn stamp(&self, which: Which) -> Option<Stamp> {
        match which {
            Which::InForce => self.binding.stamp.clone(),
            Which::Previous => self.previous.as_ref().map(Running::stamp),
        }
    }

    fn ruling<T>(&self, which: Which, outcome: Outcome<T>) -> Ruling<T> {
        let Outcome { result, fuel, duration, log, memory_bytes: _ } = outcome;
        match (result, self.stamp(which)) {
            (Ok(answer), Some(stamp)) => {
                Ruling::Ruled(Ruled { answer, stamp, fuel, duration, log, grants: self.binding.grants.clone() })
            }
            (Err(fault), _) => Ruling::Broken(self.broken_by(which, fault.kind, fault.reason)),
            (Ok(_), None) => Ruling::Broken(not_loaded(&self.binding.state)),
        }
    }

    fn broken_by(&self, which: Which, kind: BrokenKind, reason: String) -> Broken {
        Broken { kind, reason, policy: self.binding.policy, stamp: self.stamp(which) }
    }
}

/// A failure that our own load may have caused must not destroy a notification, so it holds whatever the policy.
fn suspended(bound: &Bound, reason: &str, timed_out: bool) -> Broken {
    let reason = format!("its rules are suspended, because they failed too often: {reason}");
    let policy = if timed_out { FailurePolicy::Hold } else { bound.binding.policy };
    Broken { policy, ..bound.broken_by(Which::InForce, BrokenKind::Suspended, reason) }
}

/// Rules that are missing hold, whatever the policy: a forgotten build must not drop or deliver what they were to decide.
fn not_loaded(state: &BindingState) -> Broken {
    let reason = match state {
        BindingState::NotLoaded { reason } => reason.clone(),
        BindingState::Ready | BindingState::RolledBack { .. } | BindingState::LastGood { .. } => {
            "it does not run".to_owned()
        }
    };
    Broken { kind: BrokenKind::NotLoaded, reason, policy: FailurePolicy::Hold, stamp: None }
}
