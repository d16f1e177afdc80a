//! A breaker, call by call.

use super::*;
use crate::Digest;

const FIRST: Duration = Duration::from_secs(30);

struct Test {
    breakers: Breakers,
    enterprise: EnterpriseId,
    subject: Subject,
    pin: Pin,
    now: Instant,
}

impl Test {
    fn new() -> Self {
        let enterprise: EnterpriseId = "e".parse().unwrap();
        let subject = Subject::Enterprise(enterprise.clone());
        let breakers = Breakers::new(RetryWaits::default());
        Self { breakers, enterprise, subject, pin: pin(b"one"), now: Instant::now() }
    }

    fn route(&self) -> Route {
        self.breakers.route(&self.enterprise, self.pin, self.now)
    }

    fn answer(&self) -> Option<Change> {
        self.breakers.answered(&self.enterprise, self.pin, &self.route())
    }

    fn fail_with(&self, kind: BrokenKind, has_last_good: bool) -> Option<Change> {
        let route = self.route();
        let failure =
            Failure { subject: &self.subject, route: &route, kind, reason: "it trapped", has_last_good, now: self.now };
        self.breakers.failed(&self.enterprise, self.pin, &failure)
    }

    fn fail(&self) -> Option<Change> {
        self.fail_with(BrokenKind::Trap, false)
    }

    fn open(&self, has_last_good: bool) {
        for _ in 0..FAILURES_MIN - 1 {
            assert_eq!(self.fail_with(BrokenKind::Trap, has_last_good), None);
        }
        let opened = self.fail_with(BrokenKind::Trap, has_last_good);
        assert!(matches!(opened, Some(Change::Opened { failures: 5, .. })), "{opened:?}");
    }

    fn last_good(&self, failed: bool) -> Option<Change> {
        self.breakers.last_good_ended(&self.enterprise, self.pin, failed)
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
    let test = Test::new();
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
    assert_eq!(test.route(), Route::Current { watched: true });
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
    assert_eq!(test.route(), Route::Current { watched: true });
    test.answer();
    assert_eq!(test.route(), Route::Current { watched: false });
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
        let route = test.route();
        assert_eq!(route, Route::Trial);
        assert!(suspended(&test.route()), "one call tries, no second");
        let failure = Failure {
            subject: &test.subject,
            route: &route,
            kind: BrokenKind::Trap,
            reason: "again",
            has_last_good: false,
            now: test.now,
        };
        assert_eq!(test.breakers.failed(&test.enterprise, test.pin, &failure), None);
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
    assert_eq!(test.route(), Route::Trial);
    assert!(suspended(&test.route()));
    test.now += FIRST;
    assert_eq!(test.route(), Route::Trial);
}

#[test]
fn the_last_good_version_decides_until_it_fails_as_often() {
    let test = Test::new();
    test.open(true);
    assert_eq!(test.route(), Route::LastGood);
    for _ in 0..20 {
        assert_eq!(test.last_good(false), None);
    }
    let exhausted: Vec<_> = (0..10).filter_map(|_| test.last_good(true)).collect();
    assert_eq!(exhausted, [Change::Exhausted]);
    assert!(suspended(&test.route()));
    assert_eq!(test.last_good(true), None, "it is told once");
}

#[test]
fn another_version_begins_anew() {
    let mut test = Test::new();
    test.open(false);
    test.pin = pin(b"two");
    assert_eq!(test.route(), Route::Current { watched: false });
    assert_eq!(test.fail(), None);
    assert_eq!(test.route(), Route::Current { watched: true });
    assert!(test.breakers.open().is_empty());
}

#[test]
fn time_that_ran_out_is_remembered_until_the_breaker_closes() {
    let test = Test::new();
    test.fail_with(BrokenKind::TimedOut, false);
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
    assert_eq!(test.route(), Route::Trial);
}
