//! One suite for both queues, and what only the one in Redis has to show.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails should say where")]
#![allow(missing_docs, unreachable_pub, reason = "a test binary has no readers of its API")]

mod failed;
mod ledger;
mod limits;
mod memory_only;
mod redis_only;
mod registry;
mod rules;
mod support;

use std::sync::Arc;
use std::time::Duration;

use failed::{failed_jobs_are_told_with_their_reason_and_tried_again, oldest_waiting_is_the_one_queued_first};
use limits::*;
use registry::*;
use rules::{
    rules_a_finished_slot_makes_room_for_a_new_offer, rules_a_slot_offered_twice_is_fired_once,
    rules_and_notifications_never_take_each_others_jobs,
};
use support::{Notes, RedisServer, Running, job, offer, quick, until};
use xnovu_queue::{
    JobOptions, JobQueue, JobState, MemoryQueue, Offer, Offered, Outcome, QueueName, RedisOptions, RedisQueue, RedisTls,
};

const QUEUE: QueueName = QueueName::NotificationProcessing;

pub async fn in_redis(server: &RedisServer) -> RedisQueue {
    in_redis_with(server, quick()).await
}

pub async fn in_redis_with(server: &RedisServer, jobs: JobOptions) -> RedisQueue {
    RedisQueue::connect(options_of(server, jobs)).await.unwrap()
}

pub fn options_of(server: &RedisServer, jobs: JobOptions) -> RedisOptions {
    RedisOptions { url: server.url(), prefix: "xnovu-test".to_owned(), tls: RedisTls::default(), jobs }
}

/// Makes two tests of one claim about a queue with limits.
macro_rules! both_limited {
    ($($claim:ident)*) => {
        mod limited_memory {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $claim() {
                let queue = MemoryQueue::new(quick()).with_limits(limits());
                super::$claim([Arc::new(queue.clone()) as Arc<dyn JobQueue>, Arc::new(queue)]).await;
            })*
        }
        mod limited_redis {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $claim() {
                let server = RedisServer::start().await;
                let (one, other) = (in_redis(&server).await, in_redis(&server).await);
                super::$claim([Arc::new(one.with_limits(limits())), Arc::new(other.with_limits(limits()))]).await;
            })*
        }
    };
}

both_limited! {
    no_more_jobs_of_an_enterprise_run_at_once_than_it_may_have_on_all_workers_together
    a_limited_enterprise_holds_nobody_else_up
    a_freed_slot_goes_to_the_most_urgent_that_waits
    no_more_jobs_of_an_enterprise_begin_a_second_than_it_may_on_all_workers_together
    a_backlog_of_a_limited_enterprise_is_worked_off_at_its_rate
    an_urgent_job_overtakes_those_that_wait_for_their_second
    a_job_that_waits_for_a_limit_spends_no_attempt_and_can_be_removed
}

/// Makes two tests of one claim about a registry.
macro_rules! both_registries {
    ($($claim:ident)*) => {
        mod registry_memory {
            use super::*;
            $(#[tokio::test]
            async fn $claim() {
                super::$claim(MemoryQueue::new(quick()).registry()).await;
            })*
        }
        mod registry_redis {
            use super::*;
            $(#[tokio::test]
            async fn $claim() {
                let server = RedisServer::start().await;
                super::$claim(Arc::new(in_redis(&server).await.registry())).await;
            })*
        }
    };
}

both_registries! {
    a_worker_is_listed_while_it_tells_of_itself_and_forgotten_when_it_leaves
    a_worker_hears_with_its_next_sign_of_life_that_it_was_asked_to_stop
}

/// Makes two tests of one claim: the queue in memory and the one in Redis.
macro_rules! both {
    ($($claim:ident)*) => {
        mod memory {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $claim() {
                super::$claim(Arc::new(MemoryQueue::new(quick()))).await;
            })*
        }
        mod redis {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $claim() {
                let server = RedisServer::start().await;
                super::$claim(Arc::new(in_redis(&server).await)).await;
            })*
        }
    };
}

both! {
    an_offer_made_twice_is_one_job
    a_finished_job_never_swallows_a_new_offer
    urgent_jobs_come_first_and_equal_ones_in_turn
    a_delayed_job_waits_its_time
    a_retry_spends_an_attempt_and_waits_longer_each_time
    an_offer_may_bring_its_own_number_of_attempts
    later_spends_no_attempt
    a_failure_for_good_is_tried_once
    a_panic_fails_the_attempt_and_the_worker_goes_on
    a_paused_queue_begins_nothing_until_it_is_resumed
    only_a_job_that_is_not_under_way_can_be_removed
    a_stop_waits_for_jobs_under_way_and_begins_no_other
    a_stop_that_runs_out_of_grace_says_what_still_runs
    no_more_jobs_run_at_once_than_allowed
    failed_jobs_are_told_with_their_reason_and_tried_again
    oldest_waiting_is_the_one_queued_first
    rules_a_slot_offered_twice_is_fired_once
    rules_a_finished_slot_makes_room_for_a_new_offer
    rules_and_notifications_never_take_each_others_jobs
}

async fn until_state(queue: &Arc<dyn JobQueue>, number: u32, want: JobState) {
    until(&format!("job {number} is {want:?}"), async || {
        (queue.state(&job(number)).await.unwrap() == want).then_some(())
    })
    .await;
}

async fn until_delayed(queue: &Arc<dyn JobQueue>, count: u64) {
    until(&format!("{count} jobs are delayed"), async || {
        (queue.counts(QUEUE).await.unwrap().delayed == count).then_some(())
    })
    .await;
}

async fn an_offer_made_twice_is_one_job(queue: Arc<dyn JobQueue>) {
    let both = queue.offer(&[offer(1, 10), offer(2, 10)]).await.unwrap();
    assert_eq!(both, [Offered::New, Offered::New]);
    assert_eq!(queue.offer(&[offer(1, 10), offer(3, 10)]).await.unwrap(), [Offered::Present, Offered::New]);
    assert_eq!(queue.counts(QUEUE).await.unwrap().waiting, 3);
    let notes = Notes::done();
    let running = Running::start(&queue, 1, &notes);
    notes.until_seen(3).await;
    running.ended().await;
    assert_eq!(notes.seen().len(), 3);
}

async fn a_finished_job_never_swallows_a_new_offer(queue: Arc<dyn JobQueue>) {
    let notes = Notes::new(|job| match job.id.notification().get() {
        1 => Outcome::Done("done".to_owned()),
        _ => Outcome::Fail { error: "no".to_owned() },
    });
    let running = Running::start(&queue, 2, &notes);
    queue.offer(&[offer(1, 10), offer(2, 10)]).await.unwrap();
    until_state(&queue, 1, JobState::Completed).await;
    until_state(&queue, 2, JobState::Failed).await;
    assert_eq!(queue.offer(&[offer(1, 10), offer(2, 10)]).await.unwrap(), [Offered::Replaced, Offered::Replaced]);
    notes.until_seen(4).await;
    running.ended().await;
}

async fn urgent_jobs_come_first_and_equal_ones_in_turn(queue: Arc<dyn JobQueue>) {
    let offers = [offer(1, 1), offer(2, 10), offer(3, 5), offer(4, 10), offer(5, 1000), offer(6, 0)];
    queue.offer(&offers).await.unwrap();
    let notes = Notes::done();
    let running = Running::start(&queue, 1, &notes);
    let order: Vec<i64> = notes.until_seen(6).await.iter().map(|job| job.id.notification().get()).collect();
    running.ended().await;
    assert_eq!(order, [5, 2, 4, 3, 1, 6]);
}

async fn a_delayed_job_waits_its_time(queue: Arc<dyn JobQueue>) {
    let notes = Notes::done();
    let running = Running::start(&queue, 1, &notes);
    let started = tokio::time::Instant::now();
    let mut delayed = offer(1, 10);
    delayed.delay = Some(Duration::from_millis(300));
    queue.offer(&[delayed]).await.unwrap();
    assert_eq!(queue.state(&job(1)).await.unwrap(), JobState::Delayed);
    notes.until_seen(1).await;
    let waited = notes.times()[0] - started;
    running.ended().await;
    assert!(waited >= Duration::from_millis(295), "{waited:?}");
}

async fn a_retry_spends_an_attempt_and_waits_longer_each_time(queue: Arc<dyn JobQueue>) {
    let notes = Notes::new(|_| Outcome::Retry { error: "again".to_owned() });
    let running = Running::start(&queue, 1, &notes);
    queue.offer(&[offer(1, 10)]).await.unwrap();
    until_state(&queue, 1, JobState::Failed).await;
    running.ended().await;
    let attempts: Vec<(u32, bool)> = notes.seen().iter().map(|job| (job.attempt, job.last)).collect();
    assert_eq!(attempts, [(1, false), (2, false), (3, true)]);
    let times = notes.times();
    let (first, second) = (times[1] - times[0], times[2] - times[1]);
    assert!(first >= Duration::from_millis(28) && second >= Duration::from_millis(58), "{first:?} {second:?}");
}

async fn an_offer_may_bring_its_own_number_of_attempts(queue: Arc<dyn JobQueue>) {
    let notes = Notes::new(|_| Outcome::Retry { error: "again".to_owned() });
    let running = Running::start(&queue, 1, &notes);
    queue.offer(&[Offer { attempts: Some(2), ..offer(1, 10) }, offer(2, 10)]).await.unwrap();
    until_state(&queue, 1, JobState::Failed).await;
    until_state(&queue, 2, JobState::Failed).await;
    running.ended().await;
    let tried = |number| notes.seen().iter().filter(|seen| seen.id == job(number)).count();
    assert_eq!((tried(1), tried(2)), (2, 3));
}

async fn later_spends_no_attempt(queue: Arc<dyn JobQueue>) {
    let notes = Notes::new(|_| Outcome::Later { after: Duration::from_millis(5), reason: "not yet".to_owned() });
    let running = Running::start(&queue, 1, &notes);
    queue.offer(&[offer(1, 10)]).await.unwrap();
    let seen = notes.until_seen(6).await;
    running.ended().await;
    assert!(seen.iter().all(|job| job.attempt == 1 && !job.last));
}

async fn a_failure_for_good_is_tried_once(queue: Arc<dyn JobQueue>) {
    let notes = Notes::new(|_| Outcome::Fail { error: "never".to_owned() });
    let running = Running::start(&queue, 1, &notes);
    queue.offer(&[offer(1, 10)]).await.unwrap();
    until_state(&queue, 1, JobState::Failed).await;
    running.ended().await;
    assert_eq!(notes.seen().len(), 1);
}

async fn a_panic_fails_the_attempt_and_the_worker_goes_on(queue: Arc<dyn JobQueue>) {
    let notes = Notes::new(|job| match (job.id.notification().get(), job.attempt) {
        (1, 1) => panic!("on purpose"),
        _ => Outcome::Done("done".to_owned()),
    });
    let running = Running::start(&queue, 1, &notes);
    queue.offer(&[offer(1, 10), offer(2, 10)]).await.unwrap();
    until_state(&queue, 1, JobState::Completed).await;
    until_state(&queue, 2, JobState::Completed).await;
    running.ended().await;
    assert_eq!(notes.seen().len(), 3);
}

async fn a_paused_queue_begins_nothing_until_it_is_resumed(queue: Arc<dyn JobQueue>) {
    queue.pause(QUEUE).await.unwrap();
    let notes = Notes::done();
    let running = Running::start(&queue, 1, &notes);
    queue.offer(&[offer(1, 10)]).await.unwrap();
    let counts = queue.counts(QUEUE).await.unwrap();
    assert!(counts.paused && counts.waiting == 1, "{counts:?}");
    assert_eq!(queue.state(&job(1)).await.unwrap(), JobState::Waiting);
    queue.resume(QUEUE).await.unwrap();
    notes.until_seen(1).await;
    running.ended().await;
}

async fn only_a_job_that_is_not_under_way_can_be_removed(queue: Arc<dyn JobQueue>) {
    let notes = Notes::held();
    let running = Running::start(&queue, 1, &notes);
    queue.offer(&[offer(1, 10)]).await.unwrap();
    notes.until_seen(1).await;
    queue.offer(&[offer(2, 10)]).await.unwrap();
    assert!(!queue.remove(&job(1)).await.unwrap());
    assert!(queue.remove(&job(2)).await.unwrap());
    assert!(!queue.remove(&job(3)).await.unwrap());
    assert_eq!(queue.state(&job(2)).await.unwrap(), JobState::Missing);
    notes.let_go();
    until_state(&queue, 1, JobState::Completed).await;
    running.ended().await;
}

async fn a_stop_waits_for_jobs_under_way_and_begins_no_other(queue: Arc<dyn JobQueue>) {
    let notes = Notes::held();
    let running = Running::start(&queue, 1, &notes);
    queue.offer(&[offer(1, 10), offer(2, 10)]).await.unwrap();
    notes.until_seen(1).await;
    running.ask_to_stop();
    notes.let_go();
    assert_eq!(running.ended().await.still_running, 0);
    assert_eq!(notes.seen().len(), 1);
    assert_eq!(queue.state(&job(1)).await.unwrap(), JobState::Completed);
    assert_eq!(queue.state(&job(2)).await.unwrap(), JobState::Waiting);
}

async fn a_stop_that_runs_out_of_grace_says_what_still_runs(queue: Arc<dyn JobQueue>) {
    let notes = Notes::held();
    let running = Running::with_grace(&queue, 2, &notes, Duration::from_millis(150));
    queue.offer(&[offer(1, 10), offer(2, 10)]).await.unwrap();
    notes.until_seen(2).await;
    assert_eq!(running.ended().await.still_running, 2);
}

async fn no_more_jobs_run_at_once_than_allowed(queue: Arc<dyn JobQueue>) {
    let notes = Notes::held();
    let running = Running::start(&queue, 3, &notes);
    let offers: Vec<_> = (1..=10).map(|number| offer(number, 10)).collect();
    queue.offer(&offers).await.unwrap();
    notes.until_seen(3).await;
    until("the counts agree", async || {
        let counts = queue.counts(QUEUE).await.unwrap();
        (counts.active == 3 && counts.waiting == 7).then_some(())
    })
    .await;
    assert_eq!(notes.seen().len(), 3);
    notes.let_go();
    notes.until_seen(10).await;
    running.ended().await;
}
