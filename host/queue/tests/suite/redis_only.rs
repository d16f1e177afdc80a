//! What only a queue in Redis has to show: others use the same keys, and connections break.

use std::sync::Arc;
use std::time::Duration;

use xnovu_queue::{JobOptions, JobQueue, JobState, Limit, Limits, Offer, Offered, Outcome, SILENCE_MAX};

use crate::support::{Notes, PATIENCE, RedisServer, Running, job, offer, quick, until};
use crate::{QUEUE, in_redis, in_redis_with, options_of};

/// What the keys of the queue begin with.
const KEYS: &str = "xnovu-test:notification-processing";

/// An interval between looks for stalled jobs that no test waits for.
const RARELY: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demonstration_is_erased_and_nothing_beside_it() {
    let server = RedisServer::start().await;
    let queue = in_redis(&server).await;
    queue.born().await.unwrap();
    for n in 1..=1_200 {
        queue.offer(&[offer(n, 5)]).await.unwrap();
    }
    let neighbour = "xnovu-test2:born";
    server.command::<()>(&["SET", neighbour, "x"]).await;
    let options = options_of(&server, quick());
    assert!(xnovu_queue::erase(&options).await.unwrap() > 1_200);
    assert_eq!(server.command::<Vec<String>>(&["KEYS", "*"]).await, [neighbour]);
    assert_eq!(xnovu_queue::erase(&options).await.unwrap(), 0);
}

#[tokio::test]
async fn a_job_in_redis_holds_ids_only_under_a_prefix_of_our_own() {
    let server = RedisServer::start().await;
    let queue = in_redis(&server).await;
    queue.offer(&[offer(1, 10)]).await.unwrap();
    let key = format!("xnovu-test:notification-processing:{}", job(1));
    let data: String = server.command(&["HGET", &key, "data"]).await;
    let want =
        r#"{"enterpriseId":"11111111-1111-4111-8111-111111111111","notificationId":"1","origin":"realtime","v":1}"#;
    let (data, want): (serde_json::Value, serde_json::Value) =
        (serde_json::from_str(&data).unwrap(), serde_json::from_str(want).unwrap());
    assert_eq!(data, want);
    let priority: u32 = server.command(&["HGET", &key, "priority"]).await;
    assert_eq!(priority, 991);
    let keys: Vec<String> = server.command(&["KEYS", "*"]).await;
    assert!(keys.iter().all(|key| key.starts_with("xnovu-test:")), "{keys:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_cannot_be_read_fails_with_the_reason() {
    let server = RedisServer::start().await;
    let queue = in_redis(&server).await;
    queue.offer(&[offer(1, 10), offer(2, 10)]).await.unwrap();
    let key = format!("xnovu-test:notification-processing:{}", job(1));
    let _: i64 = server.command(&["HSET", &key, "data", "{not json"]).await;
    let queue: Arc<dyn JobQueue> = Arc::new(queue);
    let notes = Notes::done();
    let running = Running::start(&queue, 1, &notes);
    crate::until_state(&queue, 1, JobState::Failed).await;
    crate::until_state(&queue, 2, JobState::Completed).await;
    running.ended().await;
    let reason: String = server.command(&["HGET", &key, "failedReason"]).await;
    assert!(reason.contains("cannot be performed"), "{reason}");
    assert_eq!(notes.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_hears_again_soon_after_its_connections_were_cut() {
    let server = RedisServer::start().await;
    let queue: Arc<dyn JobQueue> = Arc::new(in_redis(&server).await);
    let notes = Notes::done();
    let running = Running::start(&queue, 1, &notes);
    queue.offer(&[offer(1, 10)]).await.unwrap();
    notes.until_seen(1).await;
    let _: i64 = server.command(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    let cut = tokio::time::Instant::now();
    until("an offer is taken", async || queue.offer(&[offer(2, 10)]).await.ok()).await;
    notes.until_seen(2).await;
    assert!(cut.elapsed() < Duration::from_secs(5), "{:?}", cut.elapsed());
    running.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_redis_is_another_birth_and_the_worker_goes_on() {
    let mut server = RedisServer::start().await;
    let queue: Arc<dyn JobQueue> = Arc::new(in_redis(&server).await);
    let born = queue.born().await.unwrap();
    assert_eq!(queue.born().await.unwrap(), born);
    let _: String = server.command(&["FLUSHALL"]).await;
    let again = queue.born().await.unwrap();
    assert_ne!(again, born);
    let notes = Notes::done();
    let running = Running::start(&queue, 1, &notes);
    server.restart().await;
    until("the queue answers after the restart", async || queue.born().await.ok().filter(|newborn| *newborn != again))
        .await;
    until("an offer is taken", async || queue.offer(&[offer(1, 10)]).await.ok()).await;
    notes.until_seen(1).await;
    running.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_a_worker_that_went_silent_is_taken_over_at_the_first_look() {
    let server = RedisServer::start().await;
    let jobs = JobOptions { stalled_interval: RARELY, ..quick() };
    let queue: Arc<dyn JobQueue> = Arc::new(in_redis_with(&server, jobs).await);
    queue.offer(&[offer(1, 10)]).await.unwrap();
    // A worker of the same library takes the job by hand and never renews its lock, as one that was killed would.
    let options = bullmq::WorkerOptions::new()
        .connection(bullmq::options::RedisConnectionOptions::new().url(server.url()))
        .prefix("xnovu-test")
        .lock_duration(Duration::from_millis(300))
        .manual_start();
    let never = |_: bullmq::Job, _| async { Ok(serde_json::Value::Null) };
    let silent = bullmq::Worker::with_options(QUEUE.as_str(), never, options).await.unwrap();
    let taken = silent.get_next_job_nonblocking("token-of-a-dead-worker").await.unwrap();
    assert_eq!(taken.unwrap().id(), job(1).as_str());
    until("its lock has run out", async || {
        let key = format!("{KEYS}:{}:lock", job(1));
        let locks: i64 = server.command(&["EXISTS", &key]).await;
        (locks == 0).then_some(())
    })
    .await;
    let notes = Notes::new(|_| Outcome::Done("done".to_owned()));
    let started = tokio::time::Instant::now();
    let running = Running::start(&queue, 1, &notes);
    notes.until_seen(1).await;
    let waited = started.elapsed();
    crate::until_state(&queue, 1, JobState::Completed).await;
    running.ended().await;
    assert!(waited < RARELY, "{waited:?}: not at the first look");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_taken_over_too_often_fails_with_that_reason_and_an_offer_replaces_it() {
    let server = RedisServer::start().await;
    let queue: Arc<dyn JobQueue> = Arc::new(in_redis(&server).await);
    queue.offer(&[offer(1, 10)]).await.unwrap();
    let key = format!("{KEYS}:{}", job(1));
    // As a worker leaves it that died while it had the job, after others had before.
    let _: i64 = server.command(&["ZREM", &format!("{KEYS}:prioritized"), job(1).as_str()]).await;
    let _: i64 = server.command(&["LPUSH", &format!("{KEYS}:active"), job(1).as_str()]).await;
    let _: i64 = server.command(&["HSET", &key, "stc", "1"]).await;
    let notes = Notes::done();
    let running = Running::start(&queue, 1, &notes);
    crate::until_state(&queue, 1, JobState::Failed).await;
    let reason: String = server.command(&["HGET", &key, "failedReason"]).await;
    assert!(reason.contains("stalled"), "{reason}");
    assert_eq!(notes.seen().len(), 0);
    assert_eq!(queue.offer(&[offer(1, 10)]).await.unwrap(), [Offered::Replaced]);
    notes.until_seen(1).await;
    running.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_of_a_lost_job_makes_room_for_a_new_offer() {
    let server = RedisServer::start().await;
    let queue: Arc<dyn JobQueue> = Arc::new(in_redis(&server).await);
    queue.offer(&[offer(1, 10), offer(2, 10)]).await.unwrap();
    let _: i64 = server.command(&["ZREM", &format!("{KEYS}:prioritized"), job(1).as_str()]).await;
    assert_eq!(queue.state(&job(1)).await.unwrap(), JobState::Missing);
    let again = queue.offer(&[offer(1, 10), offer(2, 10)]).await.unwrap();
    assert_eq!(again, [Offered::Replaced, Offered::Present]);
    let notes = Notes::done();
    let running = Running::start(&queue, 1, &notes);
    notes.until_seen(2).await;
    running.ended().await;
    assert_eq!(notes.seen().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wait_between_attempts_is_longer_than_the_longest() {
    let server = RedisServer::start().await;
    let jobs = JobOptions { attempts: 100, backoff_max: Duration::from_secs(7), ..quick() };
    let queue: Arc<dyn JobQueue> = Arc::new(in_redis_with(&server, jobs).await);
    queue.offer(&[offer(1, 10)]).await.unwrap();
    // An attempt so late that doubling overflows 64 bits.
    let _: i64 = server.command(&["HSET", &format!("{KEYS}:{}", job(1)), "atm", "90"]).await;
    let running = Running::start(&queue, 1, &Notes::new(|_| Outcome::Retry { error: "again".to_owned() }));
    crate::until_state(&queue, 1, JobState::Delayed).await;
    running.ended().await;
    let key = format!("{KEYS}:{}", job(1));
    let (wait_ms, spent, reason): (u64, u32, String) =
        server.command(&["HMGET", &key, "delay", "atm", "failedReason"]).await;
    assert!((3_500..=7_000).contains(&wait_ms), "{wait_ms} ms");
    assert_eq!((spent, reason.as_str()), (91, "again"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_offers_is_one_call() {
    let server = RedisServer::start().await;
    let queue = in_redis(&server).await;
    queue.offer(&[offer(1, 10)]).await.unwrap();
    let _: String = server.command(&["CONFIG", "RESETSTAT"]).await;
    let offers: Vec<_> = (1..=200).map(|number| offer(number, 10)).collect();
    let outcomes = queue.offer(&offers).await.unwrap();
    assert_eq!((outcomes[0], outcomes[199]), (Offered::Present, Offered::New));
    let stats: String = server.command(&["INFO", "commandstats"]).await;
    let calls = stats.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap_or_default();
    assert!(calls.starts_with("cmdstat_evalsha:calls=1,"), "{stats}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_worker_stops_at_once_also_while_a_delayed_job_waits() {
    let server = RedisServer::start().await;
    let queue: Arc<dyn JobQueue> = Arc::new(in_redis(&server).await);
    for delay in [None, Some(Duration::from_secs(3_600))] {
        if delay.is_some() {
            queue.offer(&[Offer { delay, ..offer(1, 10) }]).await.unwrap();
        }
        let running = Running::start(&queue, 1, &Notes::done());
        until("the worker blocks", async || {
            let clients: String = server.command(&["CLIENT", "LIST"]).await;
            clients.contains("cmd=bzpopmin").then_some(())
        })
        .await;
        let asked = tokio::time::Instant::now();
        running.ended().await;
        assert!(asked.elapsed() < Duration::from_millis(400), "{delay:?}: {:?}", asked.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_worker_stops_soon_though_redis_is_gone() {
    let server = RedisServer::start().await;
    let queue: Arc<dyn JobQueue> = Arc::new(in_redis(&server).await);
    let running = Running::with_grace(&queue, 1, &Notes::done(), PATIENCE * 10);
    until("the worker blocks", async || {
        let clients: String = server.command(&["CLIENT", "LIST"]).await;
        clients.contains("cmd=bzpopmin").then_some(())
    })
    .await;
    drop(server);
    // Its grace is for jobs, and there is none: it does not wait for that long.
    assert_eq!(running.ended().await.still_running, 0);
}

#[tokio::test]
async fn a_worker_that_falls_silent_is_forgotten() {
    let server = RedisServer::start().await;
    let registry = in_redis(&server).await.registry();
    registry.beat(&crate::registry::worker("silent", 1)).await.unwrap();
    let left_ms: u64 = server.command(&["PTTL", "xnovu-test:worker:silent"]).await;
    assert!(left_ms > 0 && left_ms <= u64::try_from(SILENCE_MAX.as_millis()).unwrap(), "{left_ms} ms");
    // As its end of life leaves things.
    let _: i64 = server.command(&["DEL", "xnovu-test:worker:silent"]).await;
    let _: i64 = server.command(&["ZADD", "xnovu-test:workers", "1", "silent"]).await;
    assert_eq!(registry.list().await.unwrap(), []);
    assert!(!registry.ask_to_stop("silent").await.unwrap());
    registry.beat(&crate::registry::worker("other", 1)).await.unwrap();
    let names: Vec<String> = server.command(&["ZRANGE", "xnovu-test:workers", "0", "-1"]).await;
    assert_eq!(names, ["other"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_of_a_worker_that_died_is_free_when_its_lock_has_run_out() {
    let server = RedisServer::start().await;
    let limit = Limit { concurrency: std::num::NonZeroU32::new(1), ..Limit::default() };
    let limits = Limits::from_iter([(job(1).enterprise().clone(), limit)]);
    let queue: Arc<dyn JobQueue> = Arc::new(in_redis(&server).await.with_limits(limits));
    let slots = format!("{KEYS}:limit:{}:slots", job(1).enterprise());
    let lock = format!("{KEYS}:{}:lock", job(9));
    let _: i64 = server.command(&["HSET", &slots, job(9).as_str(), "its attempt"]).await;
    let _: String = server.command(&["SET", &lock, "its worker"]).await;
    let notes = Notes::done();
    let running = Running::start(&queue, 2, &notes);
    queue.offer(&[offer(1, 10)]).await.unwrap();
    crate::until_state(&queue, 1, JobState::Delayed).await;
    let _: i64 = server.command(&["DEL", &lock]).await;
    queue.offer(&[offer(2, 10)]).await.unwrap();
    notes.until_seen(2).await;
    running.ended().await;
    let left: Vec<String> = server.command(&["HKEYS", &slots]).await;
    assert_eq!(left, Vec::<String>::new());
}
