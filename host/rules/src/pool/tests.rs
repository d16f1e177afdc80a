//! The schedule by itself, and the threads that follow it.

use std::sync::mpsc;
use std::time::Duration;

use super::*;

/// Longest a test waits for another thread.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a quick evaluation takes, and a slow one.
const QUICK: Option<Duration> = Some(Duration::ZERO);
const LONG: Option<Duration> = Some(Duration::from_millis(11));

fn id(name: &str) -> EnterpriseId {
    name.parse().unwrap()
}

fn add(schedule: &mut Schedule, name: &str) -> Result<(), PoolError> {
    schedule.add(&id(name), Box::new(|| true))
}

fn turn(schedule: &mut Schedule) -> Option<String> {
    schedule.take().map(|turn| turn.enterprise.to_string())
}

#[test]
fn lanes_take_turns_whatever_waits_in_them() {
    let mut schedule = Schedule::new(2);
    for name in ["a", "a", "a", "b", "c"] {
        add(&mut schedule, name).unwrap();
    }
    let mut order = Vec::new();
    while let Some(name) = turn(&mut schedule) {
        schedule.finish(id(&name), false, QUICK);
        order.push(name);
    }
    assert_eq!(order, ["a", "b", "c", "a", "a"]);
    assert!(schedule.lanes.is_empty() && schedule.waiting == 0, "nothing is left of lanes without work");
}

#[test]
fn a_lane_holds_one_thread_at_most() {
    let mut schedule = Schedule::new(2);
    for name in ["a", "a", "b"] {
        add(&mut schedule, name).unwrap();
    }
    assert_eq!(turn(&mut schedule).as_deref(), Some("a"));
    assert_eq!(turn(&mut schedule).as_deref(), Some("b"));
    assert_eq!(turn(&mut schedule), None, "a's second job waits for its first");
    add(&mut schedule, "a").unwrap();
    assert_eq!(turn(&mut schedule), None, "and one more makes no difference");
    schedule.finish(id("a"), false, QUICK);
    assert_eq!(turn(&mut schedule).as_deref(), Some("a"));
}

/// A schedule for two threads in which a and b have been slow.
fn with_two_slow_lanes() -> Schedule {
    let mut schedule = Schedule::new(2);
    for name in ["a", "b"] {
        add(&mut schedule, name).unwrap();
        let turn = schedule.take().unwrap();
        assert!(!turn.slow, "nobody knows yet");
        schedule.finish(turn.enterprise, turn.slow, LONG);
    }
    schedule
}

#[test]
fn slow_lanes_never_hold_all_threads_together() {
    let mut schedule = with_two_slow_lanes();
    for name in ["a", "a", "b", "b"] {
        add(&mut schedule, name).unwrap();
    }
    let first = schedule.take().unwrap();
    assert!(first.slow);
    assert!(schedule.take().is_none(), "the second thread stays free for whoever is quick");
    add(&mut schedule, "c").unwrap();
    assert_eq!(turn(&mut schedule).as_deref(), Some("c"));
    schedule.finish(id("c"), false, QUICK);
    schedule.finish(first.enterprise, first.slow, LONG);
    assert_eq!(turn(&mut schedule).as_deref(), Some("b"), "and they take turns");
}

#[test]
fn slow_lanes_and_quick_ones_take_turns_and_whoever_is_quick_again_counts_as_quick() {
    let mut schedule = with_two_slow_lanes();
    for name in ["a", "a", "b", "c", "c", "d"] {
        add(&mut schedule, name).unwrap();
    }
    let mut order = Vec::new();
    while let Some(turn) = schedule.take() {
        order.push(format!("{}{}", turn.enterprise, u8::from(turn.slow)));
        schedule.finish(turn.enterprise, turn.slow, QUICK);
    }
    assert_eq!(order, ["a1", "c0", "b1", "d0", "a0", "c0"]);
    assert!(schedule.slow.is_empty() && schedule.slow_running == 0);
}

#[test]
fn a_single_thread_serves_slow_lanes_too() {
    let mut schedule = Schedule::new(1);
    schedule.slow.insert(id("a"));
    add(&mut schedule, "a").unwrap();
    assert!(schedule.take().is_some_and(|turn| turn.slow));
}

#[test]
fn a_lane_has_a_limit_and_all_lanes_together_have_one() {
    let mut schedule = Schedule::new(2);
    for _ in 0..LANE_JOBS_MAX {
        add(&mut schedule, "0").unwrap();
    }
    assert_eq!(add(&mut schedule, "0"), Err(PoolError::Full));
    for lane in 1..JOBS_MAX / LANE_JOBS_MAX {
        for _ in 0..LANE_JOBS_MAX {
            add(&mut schedule, &lane.to_string()).unwrap();
        }
    }
    assert_eq!(add(&mut schedule, "another"), Err(PoolError::Full));
    turn(&mut schedule).unwrap();
    assert_eq!(add(&mut schedule, "another"), Ok(()));
}

#[tokio::test]
async fn work_is_done_on_a_named_thread() {
    let pool = Pool::start(1).unwrap();
    let name = pool.run(&id("a"), || std::thread::current().name().map(str::to_owned)).await.unwrap();
    assert_eq!(name.as_deref(), Some("rules-0"));
}

#[tokio::test]
async fn a_panic_costs_one_answer_and_no_thread() {
    let pool = Pool::start(1).unwrap();
    let lost: Result<(), _> = pool.run(&id("a"), || panic!("on purpose")).await;
    assert_eq!(lost, Err(PoolError::Lost));
    assert_eq!(pool.run(&id("a"), || 7).await, Ok(7));
}

#[tokio::test]
async fn an_enterprise_that_holds_its_thread_leaves_the_other_to_the_others() {
    let pool = Pool::start(2).unwrap();
    let (release, held) = mpsc::channel::<()>();
    let slow = id("slow");
    let first = pool.run(&slow, move || held.recv_timeout(PATIENCE).is_ok());
    let second = pool.run(&slow, || true);
    let others = async {
        for name in ["b", "c", "d"] {
            assert_eq!(pool.run(&id(name), move || name).await, Ok(name));
        }
        release.send(()).unwrap();
    };
    assert_eq!(tokio::join!(first, second, others), (Ok(true), Ok(true), ()));
}

#[tokio::test]
async fn work_nobody_waits_for_is_skipped() {
    let pool = Pool::start(1).unwrap();
    let (release, held) = mpsc::channel::<()>();
    let (seen, done) = mpsc::channel();
    let a = id("a");
    let held_work = pool.run(&a, move || held.recv_timeout(PATIENCE).is_ok());
    let abandoned = async {
        let never = pool.run(&a, move || seen.send(()).unwrap());
        // Polled once, so that it is queued, and then left.
        tokio::select! { biased; _ = never => unreachable!("the thread is held"), () = async {} => {} }
        release.send(()).unwrap();
    };
    assert_eq!(tokio::join!(held_work, abandoned), (Ok(true), ()));
    assert_eq!(pool.run(&a, || 1).await, Ok(1));
    assert!(done.try_recv().is_err(), "the abandoned work was done all the same");
}

#[tokio::test]
async fn what_waits_when_the_pool_ends_is_lost_and_says_so() {
    let pool = Pool::start(1).unwrap();
    let (release, held) = mpsc::channel::<()>();
    let (started, begun) = mpsc::channel();
    let shared = pool.shared.clone();
    let first = move || {
        started.send(()).unwrap();
        held.recv_timeout(PATIENCE).is_ok()
    };
    shared.submit(&id("a"), Box::new(first)).unwrap();
    begun.recv_timeout(PATIENCE).unwrap();
    let (answer, wait) = oneshot::channel();
    shared.submit(&id("a"), Box::new(move || answer.send("late").is_ok())).unwrap();
    drop(pool);
    release.send(()).unwrap();
    assert!(wait.await.is_err());
}
