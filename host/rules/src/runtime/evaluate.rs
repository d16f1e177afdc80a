//! From an event to a ruling: who answers, on a rule thread, and what becomes of a failure.
//!
//! Owns the fallback: what a version fails to answer before it has proved good (see [`crate::merit`]), and what a version that fails too
//! often (see [`crate::breaker`]) would be asked, the last good one answers, and where that fails as well, the failure policy decides. Who
//! answers is decided when the rule thread takes the call, not when the call is made: however many wait, none is left to a version that is
//! known to be bad by then. Promises that an answer is one version's from its start to its end.

use std::sync::Arc;
use std::time::Instant;

use xnovu_domain::{EnterpriseId, Event};

use super::{Inner, Runtime};
use crate::breaker::{Change, Failure, Route, Turn, Whose};
use crate::instance::{Conditions, Outcome};
use crate::keeper::Note;
use crate::pool::PoolError;
use crate::sandbox::Sandbox;
use crate::set::{Bound, Running};
use crate::{BindingState, Broken, BrokenKind, Cost, FailurePolicy, Ruled, Ruling};

/// What is asked of an instance.
pub(super) struct Ask<T> {
    pub(super) call: fn(Conditions<'_>, Event) -> Outcome<T>,
    /// Whether that is all a version is there for. One that filters well and maps badly has not proved good.
    pub(super) whole: bool,
}

impl<T> Clone for Ask<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Ask<T> {}

impl Runtime {
    /// Asks whoever is to answer for an enterprise by the time a rule thread is free.
    pub(super) async fn ask<T: Send + 'static>(&self, bound: &Arc<Bound>, event: Event, ask: Ask<T>) -> Ruling<T> {
        let inner = self.inner.clone();
        self.on_a_rule_thread(bound, event, move |event| {
            let enterprise = event.notification.enterprise_id.clone();
            match inner.set.load().bound(&enterprise) {
                Some(bound) => inner.answer(bound, &enterprise, event, ask),
                None => Ruling::Unbound,
            }
        })
        .await
    }

    /// Asks exactly what is bound, whatever its breaker says.
    pub(super) async fn ask_pinned<T: Send + 'static>(
        &self,
        bound: Arc<Bound>,
        event: Event,
        ask: Ask<T>,
    ) -> Ruling<T> {
        let (inner, pinned) = (self.inner.clone(), bound.clone());
        let ask = move |event| match &pinned.running {
            Some(running) => evaluate(&inner.sandbox, pinned.binding.policy, running, event, ask),
            None => Ruling::Broken(not_loaded(&pinned.binding.state)),
        };
        self.on_a_rule_thread(&bound, event, ask).await
    }

    async fn on_a_rule_thread<T: Send + 'static>(
        &self,
        bound: &Bound,
        event: Event,
        answer: impl FnOnce(Event) -> Ruling<T> + Send + 'static,
    ) -> Ruling<T> {
        let enterprise = event.notification.enterprise_id.clone();
        match self.pool.run(&enterprise, move || answer(event)).await {
            Ok(ruling) => ruling,
            Err(error @ (PoolError::Full | PoolError::Lost)) => Ruling::Broken(Broken {
                kind: BrokenKind::Overloaded,
                reason: error.to_string(),
                policy: bound.binding.policy,
                stamp: bound.binding.stamp.clone(),
                cost: None,
            }),
        }
    }
}

impl Inner {
    fn answer<T>(&self, bound: &Bound, enterprise: &EnterpriseId, event: Event, ask: Ask<T>) -> Ruling<T> {
        let Some(running) = &bound.running else { return Ruling::Broken(not_loaded(&bound.binding.state)) };
        let whose = bound.whose(enterprise, running);
        match self.breakers.route(whose, Instant::now()) {
            Route::Suspended { reason, timed_out } => Ruling::Broken(suspended(bound, running, &reason, timed_out)),
            Route::LastGood(turn) => match &bound.last_good {
                Some(last_good) => self.ask_last_good(bound, whose, last_good, turn, event, ask),
                None => Ruling::Broken(suspended(bound, running, "it has failed too often", false)),
            },
            Route::Current(turn) => self.ask_current(bound, whose, running, turn, event, ask),
        }
    }

    fn ask_current<T>(
        &self,
        bound: &Bound,
        whose: Whose<'_>,
        running: &Running,
        turn: Turn,
        event: Event,
        ask: Ask<T>,
    ) -> Ruling<T> {
        // What is good and has not failed lately is not to give way, so its event need not be kept.
        let may_fall = turn != Turn::Usual || !running.merit.is_good();
        let spare = bound.last_good.as_ref().filter(|_| may_fall).map(|last_good| (last_good, event.clone()));
        let on_probation = !running.merit.is_good();
        let ruling = evaluate(&self.sandbox, bound.binding.policy, running, event, ask);
        let Some(failure) = failure(&ruling) else {
            if matches!(ruling, Ruling::Ruled(_)) {
                self.note_answer(bound, whose, running, turn, ask.whole);
            }
            return ruling;
        };
        let opened = self.note_failure(bound, whose, running, turn, failure);
        let Some((last_good, event)) = spare.filter(|_| on_probation || opened || turn == Turn::Trial) else {
            return ruling;
        };
        let timed_out = failure.kind == BrokenKind::TimedOut;
        let (instead, may_be_our_load) = match self.breakers.stand_in(whose, failure.now) {
            Route::LastGood(turn) => (self.ask_last_good(bound, whose, last_good, turn, event, ask), timed_out),
            Route::Suspended { timed_out: last_good_timed_out, .. } => (ruling, timed_out || last_good_timed_out),
            Route::Current(_) => (ruling, timed_out),
        };
        if may_be_our_load { holding(instead) } else { instead }
    }

    fn ask_last_good<T>(
        &self,
        bound: &Bound,
        whose: Whose<'_>,
        last_good: &Running,
        turn: Turn,
        event: Event,
        ask: Ask<T>,
    ) -> Ruling<T> {
        let ruling = evaluate(&self.sandbox, bound.binding.policy, last_good, event, ask);
        let change = match (failure(&ruling), &ruling) {
            (Some(failure), _) => self.breakers.last_good_failed(whose, turn, failure),
            (None, Ruling::Ruled(_)) => self.breakers.last_good_answered(whose, turn),
            (None, _) => None,
        };
        let (enterprise, plugin) = (whose.enterprise, last_good.stamp());
        match change {
            Some(Change::Opened { wait, .. }) => {
                tracing::error!(enterprise.id = %enterprise, %plugin, retry_s = wait.as_secs(), policy = ?bound.binding.policy, "the last good rules fail as well: the failure policy decides");
            }
            Some(Change::Closed) => {
                tracing::warn!(enterprise.id = %enterprise, %plugin, "the last good rules answer again and decide meanwhile");
            }
            None => {}
        }
        ruling
    }

    fn note_answer(&self, bound: &Bound, whose: Whose<'_>, running: &Running, turn: Turn, whole: bool) {
        if self.breakers.answered(whose, turn) == Some(Change::Closed) {
            tracing::info!(enterprise.id = %whose.enterprise, plugin = %running.stamp(), "the rules answer again and decide again");
        }
        if running.merit.answered(whole) {
            tracing::debug!(enterprise.id = %bound.subject, plugin = %running.stamp(), "the rules have proved good");
            if !self.keeper.tell(Note::Good(bound.subject.clone(), running.stamp().clone())) {
                running.merit.not_told();
            }
        }
    }

    /// Tells the breaker of a failure. True: it opened.
    fn note_failure(&self, bound: &Bound, whose: Whose<'_>, running: &Running, turn: Turn, failure: Failure) -> bool {
        running.merit.failed();
        let Some(Change::Opened { failures, calls, wait }) = self.breakers.failed(whose, turn, failure) else {
            return false;
        };
        let until_then =
            if whose.has_last_good { "the last good version decides" } else { "the failure policy decides" };
        tracing::error!(enterprise.id = %whose.enterprise, plugin = %running.stamp(), failures, calls, reason = failure.reason, retry_s = wait.as_secs(), until_then, "the rules fail too often");
        if bound.is_of_one_enterprise() {
            running.merit.lost();
            self.keeper.tell(Note::Bad(bound.subject.clone(), running.pin()));
        }
        true
    }
}

impl Bound {
    fn whose<'a>(&'a self, enterprise: &'a EnterpriseId, running: &Running) -> Whose<'a> {
        Whose { enterprise, subject: &self.subject, pin: running.pin(), has_last_good: self.last_good.is_some() }
    }
}

/// Asks one version, on this thread.
fn evaluate<T>(sandbox: &Sandbox, policy: FailurePolicy, running: &Running, event: Event, ask: Ask<T>) -> Ruling<T> {
    let Running { plugin, entry, tally, .. } = running;
    let outcome =
        (ask.call)(sandbox.conditions(&plugin.image, entry.config.json(), &entry.limits, entry.log_guest), event);
    let Outcome { result, fuel, duration, log, memory_bytes: _ } = outcome;
    tally.count(result.is_ok(), duration, fuel);
    let stamp = running.stamp().clone();
    match result {
        Ok(answer) => Ruling::Ruled(Ruled { answer, stamp, fuel, duration, log, grants: entry.grants.clone() }),
        Err(fault) => {
            let cost = Some(Cost { fuel, duration });
            Ruling::Broken(Broken { kind: fault.kind, reason: fault.reason, policy, stamp: Some(stamp), cost })
        }
    }
}

/// A failure that is the component's.
fn failure<T>(ruling: &Ruling<T>) -> Option<Failure> {
    match ruling {
        Ruling::Broken(broken) if broken.kind.is_the_components() => {
            Some(Failure { kind: broken.kind, reason: broken.kind.told(), now: Instant::now() })
        }
        Ruling::Broken(_) | Ruling::Ruled(_) | Ruling::Unbound => None,
    }
}

/// A failure that our own load may have caused must not destroy a notification, so it holds whatever the policy.
fn holding<T>(ruling: Ruling<T>) -> Ruling<T> {
    match ruling {
        Ruling::Broken(broken) => Ruling::Broken(Broken { policy: FailurePolicy::Hold, ..broken }),
        Ruling::Ruled(_) | Ruling::Unbound => ruling,
    }
}

fn suspended(bound: &Bound, running: &Running, reason: &str, timed_out: bool) -> Broken {
    let reason = format!("its rules are suspended, because they failed too often; the last failure: {reason}");
    let policy = if timed_out { FailurePolicy::Hold } else { bound.binding.policy };
    Broken { kind: BrokenKind::Suspended, reason, policy, stamp: Some(running.stamp().clone()), cost: None }
}

/// Rules that are missing hold, whatever the policy: a forgotten build must not drop or deliver what they were to decide.
fn not_loaded(state: &BindingState) -> Broken {
    let reason = match state {
        BindingState::NotLoaded { reason } => reason.clone(),
        BindingState::Ready | BindingState::RolledBack { .. } | BindingState::LastGood { .. } => {
            "it does not run".to_owned()
        }
    };
    Broken { kind: BrokenKind::NotLoaded, reason, policy: FailurePolicy::Hold, stamp: None, cost: None }
}
