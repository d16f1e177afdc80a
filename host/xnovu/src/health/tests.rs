use super::*;
use crate::gateway::Pause;

fn good() -> Look {
    Look { queue: Ok(QueueLook::default()), store: Ok(()), novu: None }
}

fn check(change: impl FnOnce(&mut Facts<'_>), want: Status, components: &[&str]) {
    let look = good();
    check_look(&look, change, want, components);
}

fn check_look(look: &Look, change: impl FnOnce(&mut Facts<'_>), want: Status, components: &[&str]) {
    let mut facts = Facts {
        ailing: Vec::new(),
        draining: false,
        look,
        look_age: Duration::from_secs(1),
        bindings: (2, 2),
        subscriptions: Subscriptions { total: 3, active: 3, ..Subscriptions::default() },
        sweeps_failing: 0,
        pressure: Pressure::Free,
        bad_rules: 0,
        unread_rules: 0,
    };
    change(&mut facts);
    let (status, troubles) = judge(&facts);
    let named: Vec<&str> = troubles.iter().map(|trouble| trouble.component).collect();
    assert_eq!((status, named.as_slice()), (want, components));
}

#[test]
fn nothing_wrong_is_healthy_also_with_nobody_to_serve() {
    check(|_| {}, Status::Healthy, &[]);
    check(|facts| facts.subscriptions = Subscriptions::default(), Status::Healthy, &[]);
    check(|facts| facts.bindings = (0, 0), Status::Healthy, &[]);
}

#[test]
fn what_makes_the_process_smaller_degrades_and_stays_ready() {
    check(|facts| facts.bindings = (0, 2), Status::Degraded, &["ruleEngine"]);
    check(|facts| facts.subscriptions.active = 0, Status::Degraded, &["subscriptions"]);
    check(|facts| facts.sweeps_failing = 1, Status::Degraded, &["sweep"]);
    check(|facts| facts.pressure = Pressure::High, Status::Degraded, &["queue"]);
    check(|facts| facts.bad_rules = 1, Status::Degraded, &["ruleEngine"]);
    check(|facts| facts.unread_rules = 1, Status::Degraded, &["ruleEngine"]);
    let paused = Look { novu: Some(Pause::Outage), ..good() };
    check_look(&paused, |_| {}, Status::Degraded, &["novu"]);
    assert!(Status::Degraded.is_ready());
}

#[test]
fn without_queue_or_database_it_is_not_ready_and_everything_wrong_is_named() {
    let lost = Look { queue: Err("gone".to_owned()), store: Err("gone".to_owned()), novu: None };
    check_look(&lost, |facts| facts.bindings = (1, 2), Status::Unhealthy, &["queue", "supabase", "ruleEngine"]);
    assert!(!Status::Unhealthy.is_ready());
}

#[test]
fn a_change_of_words_is_no_change_and_a_change_of_what_is_wrong_is() {
    let judged =
        |status, component, reason: &str| (status, vec![Trouble { component, status, reason: reason.to_owned() }]);
    let gone = judged(Status::Unhealthy, "queue", "connection refused");
    assert!(!differ(&gone, &judged(Status::Unhealthy, "queue", "broken pipe")));
    for other in [
        judged(Status::Unhealthy, "supabase", "gone"),
        judged(Status::Degraded, "queue", "gone"),
        (Status::Healthy, Vec::new()),
    ] {
        assert!(differ(&gone, &other), "{other:?}");
    }
}

#[test]
fn a_task_that_has_died_makes_the_process_unhealthy() {
    check(|facts| facts.ailing = vec!["sweep (panicked)".to_owned()], Status::Unhealthy, &["tasks"]);
}

#[test]
fn a_look_holds_for_ten_seconds_and_not_for_longer() {
    check(|facts| facts.look_age = LOOK_KEPT, Status::Healthy, &[]);
    check(|facts| facts.look_age = LOOK_KEPT + Duration::from_millis(1), Status::Unhealthy, &["monitor"]);
}

#[test]
fn a_process_that_stops_says_so_whatever_else_is_wrong() {
    check(
        |facts| {
            facts.draining = true;
            facts.bindings = (0, 1);
        },
        Status::Draining,
        &["ruleEngine"],
    );
    assert!(!Status::Draining.is_ready());
}
