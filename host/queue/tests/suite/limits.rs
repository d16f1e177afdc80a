//! The limits of single enterprises, in both queues, with two workers that know nothing of each other.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use xnovu_domain::{EnterpriseId, JobId};
use xnovu_queue::{Job, JobQueue, JobState, Limit, Limits, Offer, Outcome, Work};

use crate::QUEUE;
use crate::support::{Notes, Running, offer, until};

/// Three jobs at once.
const NARROW: &str = "a1111111-1111-4111-8111-111111111111";

/// Twenty jobs a second.
const SLOW: &str = "b1111111-1111-4111-8111-111111111111";

/// As many jobs a second as [`STEADY_RATE`] says.
const STEADY: &str = "d1111111-1111-4111-8111-111111111111";
const STEADY_RATE: u32 = 30;

/// One job at once.
const SINGLE: &str = "c1111111-1111-4111-8111-111111111111";

/// Jobs a second of [`SLOW`].
const RATE: u32 = 20;

pub fn limits() -> Limits {
    let set = |id: &str, limit: Limit| (id.parse::<EnterpriseId>().unwrap(), limit);
    Limits::from_iter([
        set(NARROW, Limit { concurrency: NonZeroU32::new(3), ..Limit::default() }),
        set(SLOW, Limit { per_second: NonZeroU32::new(RATE), ..Limit::default() }),
        set(STEADY, Limit { per_second: NonZeroU32::new(STEADY_RATE), ..Limit::default() }),
        set(SINGLE, Limit { concurrency: NonZeroU32::new(1), ..Limit::default() }),
    ])
}

fn id_of(enterprise: &str, number: u32) -> JobId {
    format!("xn-{enterprise}-{number}-1767323045123456").parse().unwrap()
}

fn of(enterprise: &str, number: u32, priority: u32) -> Offer {
    Offer { job: id_of(enterprise, number), ..offer(number, priority) }
}

fn numbers(jobs: &[Job]) -> Vec<i64> {
    jobs.iter().map(|job| job.id.notification().get()).collect()
}

/// Work that takes a while and notes how many of it ran at once.
#[derive(Default)]
struct Meter {
    now: AtomicUsize,
    most: AtomicUsize,
    done: AtomicUsize,
}

#[async_trait]
impl Work for Meter {
    async fn perform(&self, _: Job) -> Outcome {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(10)).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        self.done.fetch_add(1, Ordering::SeqCst);
        Outcome::Done("done".to_owned())
    }
}

pub async fn no_more_jobs_of_an_enterprise_run_at_once_than_it_may_have_on_all_workers_together(
    queues: [Arc<dyn JobQueue>; 2],
) {
    let offers: Vec<_> = (1..=60).map(|number| of(NARROW, number, 10)).collect();
    queues[0].offer(&offers).await.unwrap();
    let meter = Arc::new(Meter::default());
    let workers = queues.map(|queue| Running::work(&queue, 10, Arc::clone(&meter) as Arc<dyn Work>));
    until("all of them are done", async || (meter.done.load(Ordering::SeqCst) == 60).then_some(())).await;
    for worker in workers {
        worker.ended().await;
    }
    assert_eq!(meter.most.load(Ordering::SeqCst), 3);
}

pub async fn a_limited_enterprise_holds_nobody_else_up(queues: [Arc<dyn JobQueue>; 2]) {
    let mut offers: Vec<_> = (1..=20).map(|number| of(SINGLE, number, 1000)).collect();
    offers.extend((101..=105).map(|number| offer(number, 1)));
    queues[0].offer(&offers).await.unwrap();
    let notes = Notes::held();
    let running = Running::start(&queues[1], 7, &notes);
    let seen = numbers(&notes.until_seen(6).await);
    let others = seen.iter().filter(|number| **number > 100).count();
    assert_eq!((others, seen.len()), (5, 6), "{seen:?}");
    notes.let_go();
    notes.until_seen(25).await;
    running.ended().await;
}

pub async fn a_freed_slot_goes_to_the_most_urgent_that_waits(queues: [Arc<dyn JobQueue>; 2]) {
    let notes = Notes::held();
    let running = queues.each_ref().map(|queue| Running::start(queue, 4, &notes));
    queues[0].offer(&[of(SINGLE, 1, 1)]).await.unwrap();
    notes.until_seen(1).await;
    for (number, priority) in [(2, 1), (3, 10), (4, 5), (5, 10)] {
        queues[0].offer(&[of(SINGLE, number, priority)]).await.unwrap();
        crate::until_delayed(&queues[1], (number - 1) as u64).await;
    }
    notes.let_go();
    let order = numbers(&notes.until_seen(5).await);
    for running in running {
        running.ended().await;
    }
    assert_eq!(order, [1, 3, 5, 4, 2]);
}

pub async fn no_more_jobs_of_an_enterprise_begin_a_second_than_it_may_on_all_workers_together(
    queues: [Arc<dyn JobQueue>; 2],
) {
    const JOBS: u32 = RATE * 2;
    let offers: Vec<_> = (1..=JOBS).map(|number| of(SLOW, number, 10)).collect();
    queues[0].offer(&offers).await.unwrap();
    let notes = Notes::done();
    let started = tokio::time::Instant::now();
    let running = queues.each_ref().map(|queue| Running::start(queue, 20, &notes));
    notes.until_seen(JOBS as usize).await;
    for running in running {
        running.ended().await;
    }
    let mut times = notes.times();
    times.sort();
    assert_eq!(times.len(), JOBS as usize);
    // A tenth of a second's worth may have been saved up before. A job may be noted later than it took its token, never sooner.
    for (number, at) in (1..).zip(times) {
        let soonest = Duration::from_millis(1_000) * u32::saturating_sub(number, RATE / 10) / RATE;
        assert!(at - started + Duration::from_millis(5) >= soonest, "number {number} after {:?}", at - started);
    }
}

pub async fn a_backlog_of_a_limited_enterprise_is_worked_off_at_its_rate(queues: [Arc<dyn JobQueue>; 2]) {
    const JOBS: u32 = 150;
    const TOGETHER: usize = 10;
    let offers: Vec<_> = (1..=JOBS).map(|number| of(STEADY, number, 10)).collect();
    for together in offers.chunks(TOGETHER) {
        queues[0].offer(together).await.unwrap();
        // Those of one millisecond are equally old.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let notes = Notes::done();
    let started = tokio::time::Instant::now();
    let running = queues.each_ref().map(|queue| Running::start(queue, 5, &notes));
    notes.until_seen(JOBS as usize).await;
    let took = started.elapsed();
    for running in running {
        running.ended().await;
    }
    // Where each job waits for a time of its own that it then misses, it would be minutes.
    let wanted = Duration::from_secs(u64::from(JOBS / STEADY_RATE));
    assert!(took >= wanted.mul_f64(0.8) && took < wanted * 4, "it took {took:?}, {wanted:?} wanted");
    // Ten are taken at a time and tell of themselves in any order, and while all of them are parked for the first time one in hand may begin
    // before one that was called in.
    let seen = numbers(&notes.seen());
    let out_of_turn = (1..).zip(&seen).filter(|(turn, number)| number.abs_diff(*turn) > 25).count();
    assert!(out_of_turn <= 30, "{out_of_turn} are out of turn: {seen:?}");
}

pub async fn an_urgent_job_overtakes_those_that_wait_for_their_second(queues: [Arc<dyn JobQueue>; 2]) {
    let offers: Vec<_> = (1..=RATE * 3).map(|number| of(SLOW, number, 1)).collect();
    queues[0].offer(&offers).await.unwrap();
    let notes = Notes::done();
    let running = Running::start(&queues[1], 10, &notes);
    notes.until_seen(5).await;
    queues[0].offer(&[of(SLOW, 1_000, 10)]).await.unwrap();
    let overtook = until("the urgent one began", async || {
        let seen = numbers(&notes.seen());
        seen.contains(&1_000).then_some(seen)
    })
    .await;
    running.ended().await;
    assert!(overtook.len() < (RATE * 2) as usize, "it was number {}", overtook.len());
}

pub async fn a_job_that_waits_for_a_limit_spends_no_attempt_and_can_be_removed(queues: [Arc<dyn JobQueue>; 2]) {
    let notes = Notes::held();
    let running = Running::start(&queues[0], 4, &notes);
    queues[0].offer(&[of(SINGLE, 1, 10)]).await.unwrap();
    notes.until_seen(1).await;
    queues[0].offer(&[of(SINGLE, 2, 10), of(SINGLE, 3, 10)]).await.unwrap();
    crate::until_delayed(&queues[1], 2).await;
    assert_eq!(queues[0].state(&id_of(SINGLE, 2)).await.unwrap(), JobState::Delayed);
    assert!(queues[1].remove(&id_of(SINGLE, 2)).await.unwrap());
    notes.let_go();
    let seen = notes.until_seen(2).await;
    until("all are done", async || (queues[0].counts(QUEUE).await.unwrap().completed == 2).then_some(())).await;
    running.ended().await;
    assert_eq!(numbers(&seen), [1, 3]);
    assert_eq!((seen[1].attempt, seen[1].last), (1, false));
}
