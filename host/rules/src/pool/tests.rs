//! The schedule by itself, and the threads that follow it.

use std::sync::mpsc;
use std::time::Duration;

use super::*;

/// Longest a test waits for another thread.
const PATIENCE: Duration = Duration::from_secs(10);

fn id(name: &str) -> EnterpriseId {
    name.parse().unwrap()
}

fn add(schedule: &mut Schedule, name: &str) -> Result<(), PoolError> {
    schedule.add(&id(name), Box::new(|| {}))
}

fn turn(schedule: &mut Schedule) -> Option<String> {
    schedule.take().map(|(enterprise, _)| enterprise.to_string())
}

#[test]
fn lanes_take_turns_whatever_waits_in_them() {
    let mut schedule = Schedule::default();
    for name in ["a", "a", "a", "b", "c"] {
        add(&mut schedule, name).unwrap();
    }
    let mut order = Vec::new();
    while let Some(name) = turn(&mut schedule) {
        schedule.finish(id(&name));
        order.push(name);
    }
    assert_eq!(order, ["a", "b", "c", "a", "a"]);
    assert!(schedule.lanes.is_empty() && schedule.waiting == 0, "nothing is left of lanes without work");
}

#[test]
fn a_lane_holds_one_thread_at_most() {
    let mut schedule = Schedule::default();
    for name in ["a", "a", "b"] {
        add(&mut schedule, name).unwrap();
    }
    assert_eq!(turn(&mut schedule).as_deref(), Some("a"));
    assert_eq!(turn(&mut schedule).as_deref(), Some("b"));
    assert_eq!(turn(&mut schedule), None, "a's second job waits for its first");
    add(&mut schedule, "a").unwrap();
    assert_eq!(turn(&mut schedule), None, "and one more makes no difference");
    schedule.finish(id("a"));
    assert_eq!(turn(&mut schedule).as_deref(), Some("a"));
}

#[test]
fn a_lane_has_a_limit_and_all_lanes_together_have_one() {
    let mut schedule = Schedule::default();
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
        held.recv_timeout(PATIENCE).unwrap();
    };
    shared.submit(&id("a"), Box::new(first)).unwrap();
    begun.recv_timeout(PATIENCE).unwrap();
    let (answer, wait) = oneshot::channel();
    shared.submit(&id("a"), Box::new(move || answer.send("late").unwrap())).unwrap();
    drop(pool);
    release.send(()).unwrap();
    assert!(wait.await.is_err());
}
