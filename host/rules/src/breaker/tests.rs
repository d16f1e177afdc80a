//! A breaker, call by call.

use super::*;
use crate::Digest;

const FIRST: Duration = Duration::from_secs(30);

struct Test {
    breakers: Breakers,
    enterprise: EnterpriseId,
    subject: Subject,
    pin: Pin,
    has_last_good: bool,
    now: Instant,
}

impl Test {
    fn new() -> Self {
        let enterprise: EnterpriseId = "e".parse().unwrap();
        let subject = Subject::Enterprise(enterprise.clone());
        let breakers = Breakers::new(RetryWaits::default());
        Self { breakers, enterprise, subject, pin: pin(b"one"), has_last_good: false, now: Instant::now() }
    }

    fn whose(&self) -> Whose<'_> {
        Whose { enterprise: &self.enterprise, subject: &self.subject, pin: self.pin, has_last_good: self.has_last_good }
    }

    fn route(&self) -> Route {
        self.breakers.route(self.whose(), self.now)
    }

    /// The turn of the version in force, whoever is to answer.
    fn turn(&self) -> Turn {
        match self.route() {
            Route::Current(turn) => turn,
            Route::LastGood(_) | Route::Suspended { .. } => Turn::Usual,
        }
    }

    fn answer(&self) -> Option<Change> {
        self.breakers.answered(self.whose(), self.turn())
    }

    fn failure(&self, kind: BrokenKind) -> Failure {
        Failure { kind, reason: "it trapped", now: self.now }
    }

    fn fail_with(&self, kind: BrokenKind) -> Option<Change> {
        self.breakers.failed(self.whose(), self.turn(), self.failure(kind))
    }

    fn fail(&self) -> Option<Change> {
        self.fail_with(BrokenKind::Trap)
    }

    fn open(&mut self, has_last_good: bool) {
        self.has_last_good = has_last_good;
        for _ in 0..FAILURES_MIN - 1 {
            assert_eq!(self.fail(), None);
        }
        let opened = self.fail();
        assert!(matches!(opened, Some(Change::Opened { failures: 5, .. })), "{opened:?}");
    }

    fn last_good(&self, failed: Option<BrokenKind>) -> Option<Change> {
        let turn = match self.route() {
            Route::LastGood(turn) => turn,
            Route::Current(_) | Route::Suspended { .. } => Turn::Usual,
        };
        match failed {
            Some(kind) => self.breakers.last_good_failed(self.whose(), turn, self.failure(kind)),
            None => self.breakers.last_good_answered(self.whose(), turn),
        }
    }
}

fn pin(component: &[u8]) -> Pin {
    Pin { digest: Digest::of(component), config_hash: Digest::of(b"{}") }
}

fn suspended(route: &Route) -> bool {
    matches!(route, Route::Suspended { .. })
}

#[test]
fn four_failures_open_nothing_and_five_do() {
    let mut test = Test::new();
    test.open(false);
    let route = test.route();
    assert_eq!(route, Route::Suspended { reason: "it trapped".to_owned(), timed_out: false });
}

#[test]
fn five_failures_open_nothing_while_they_are_less_than_half() {
    let test = Test::new();
    for _ in 0..10 {
        assert_eq!((test.fail(), test.answer(), test.answer()), (None, None, None), "a third fails");
    }
    assert_eq!(test.route(), Route::Current(Turn::Watched));
    let opened = (0..20).find_map(|_| test.fail().map(|change| (test.answer(), change)));
    let Some((None, Change::Opened { failures: 10, calls: 20, wait: FIRST })) = opened else {
        panic!("half of twenty did not open it: {opened:?}")
    };
}

#[test]
fn what_has_gone_well_for_twenty_calls_is_forgotten() {
    let test = Test::new();
    test.fail();
    for _ in 0..19 {
        assert_eq!(test.answer(), None);
    }
    assert_eq!(test.route(), Route::Current(Turn::Watched));
    test.answer();
    assert_eq!(test.route(), Route::Current(Turn::Usual));
}

#[test]
fn one_call_tries_the_version_again_after_waits_that_double() {
    let mut test = Test::new();
    test.open(false);
    let mut wait = FIRST;
    for _ in 0..8 {
        test.now += wait - Duration::from_millis(1);
        assert!(suspended(&test.route()), "too early");
        test.now += Duration::from_millis(1);
        assert_eq!(test.route(), Route::Current(Turn::Trial));
        assert!(suspended(&test.route()), "one call tries, no second");
        let failure = Failure { reason: "again", ..test.failure(BrokenKind::Trap) };
        assert_eq!(test.breakers.failed(test.whose(), Turn::Trial, failure), None);
        wait = (wait * 2).min(Duration::from_secs(600));
    }
    assert_eq!(wait, Duration::from_secs(600));
    assert!(matches!(test.route(), Route::Suspended { reason, .. } if reason == "again"));
}

#[test]
fn an_answer_closes_it_and_a_relapse_waits_longer() {
    let mut test = Test::new();
    test.open(false);
    test.now += FIRST;
    assert_eq!(test.answer(), Some(Change::Closed));
    assert!(test.breakers.open().is_empty());
    for _ in 0..4 {
        test.fail();
    }
    assert!(matches!(test.fail(), Some(Change::Opened { wait, .. }) if wait == FIRST * 2));
}

#[test]
fn a_trial_that_nobody_waited_for_is_followed_by_another() {
    let mut test = Test::new();
    test.open(false);
    test.now += FIRST;
    assert_eq!(test.route(), Route::Current(Turn::Trial));
    assert!(suspended(&test.route()));
    test.now += FIRST;
    assert_eq!(test.route(), Route::Current(Turn::Trial));
}

#[test]
fn the_last_good_version_decides_until_it_fails_as_often() {
    let mut test = Test::new();
    test.open(true);
    assert_eq!(test.route(), Route::LastGood(Turn::Usual));
    for _ in 0..20 {
        assert_eq!(test.last_good(None), None);
    }
    let opened: Vec<_> = (0..10).filter_map(|_| test.last_good(Some(BrokenKind::Trap))).collect();
    assert!(matches!(opened[..], [Change::Opened { failures: 10, .. }]), "{opened:?}");
    assert!(suspended(&test.route()));
    assert!(!test.breakers.open()[0].last_good);
    assert_eq!(test.last_good(Some(BrokenKind::Trap)), None, "it is told once");
}

#[test]
fn the_last_good_version_is_tried_again_by_itself_though_the_one_in_force_never_answers() {
    let mut test = Test::new();
    test.open(true);
    test.now += FIRST / 2;
    for _ in 0..5 {
        test.last_good(Some(BrokenKind::Trap));
    }
    test.now += FIRST / 2;
    assert_eq!(test.route(), Route::Current(Turn::Trial));
    assert_eq!(test.breakers.failed(test.whose(), Turn::Trial, test.failure(BrokenKind::Trap)), None);
    assert!(suspended(&test.breakers.stand_in(test.whose(), test.now)));
    test.now += FIRST / 2;
    assert_eq!(test.route(), Route::LastGood(Turn::Trial));
    assert!(suspended(&test.route()), "one call tries, no second");
    assert_eq!(test.breakers.last_good_answered(test.whose(), Turn::Trial), Some(Change::Closed));
    assert_eq!(test.route(), Route::LastGood(Turn::Usual));
}

#[test]
fn time_that_ran_out_in_the_last_good_version_or_at_a_trial_is_remembered_too() {
    let mut test = Test::new();
    test.open(true);
    test.last_good(Some(BrokenKind::TimedOut));
    for _ in 0..4 {
        test.last_good(Some(BrokenKind::Trap));
    }
    assert!(matches!(test.route(), Route::Suspended { timed_out: true, .. }));

    let mut test = Test::new();
    test.open(false);
    assert!(matches!(test.route(), Route::Suspended { timed_out: false, .. }));
    test.now += FIRST;
    test.fail_with(BrokenKind::TimedOut);
    assert!(matches!(test.route(), Route::Suspended { timed_out: true, .. }));
}

#[test]
fn another_version_begins_anew() {
    let mut test = Test::new();
    test.open(false);
    test.pin = pin(b"two");
    assert_eq!(test.route(), Route::Current(Turn::Usual));
    assert_eq!(test.fail(), None);
    assert_eq!(test.route(), Route::Current(Turn::Watched));
    assert!(test.breakers.open().is_empty());
}

#[test]
fn time_that_ran_out_is_remembered_until_the_breaker_closes() {
    let test = Test::new();
    test.fail_with(BrokenKind::TimedOut);
    for _ in 0..4 {
        test.fail();
    }
    assert!(matches!(test.route(), Route::Suspended { timed_out: true, .. }));
}

#[test]
fn a_late_failure_of_an_open_breaker_changes_nothing() {
    let mut test = Test::new();
    test.open(true);
    test.now += FIRST / 2;
    assert_eq!(test.fail(), None);
    test.now += FIRST / 2;
    assert_eq!(test.route(), Route::Current(Turn::Trial));
}
