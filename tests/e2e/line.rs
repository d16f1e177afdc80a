//! A thousand notifications of every kind, with daemon and workers as processes of their own and in one.

use xnovu_standin::{Effect, ErrorBody, Face, HttpFault, Options};

use crate::run::Run;
use crate::support::process::search;
use crate::support::{ENTERPRISES, House, RedisServer, until};

fn position(bytes: &[u8], text: &str) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text.as_bytes())
}

/// Services that fail now and then, short of what counts as being down; each kind of trouble is written about in a log.
fn trouble(house: &House) {
    let answer =
        |status| Effect::Status { status, body: ErrorBody::Json, retry_after_s: None, behind_idempotency: false };
    let rest =
        |method: &str, effect| HttpFault { method: Some(method.to_owned()), ..HttpFault::new(Face::Rest, effect) };
    house.fault(HttpFault { skip: 20, count: Some(2), ..rest("PATCH", Effect::Cut) });
    // A settle that is refused would wait for the end of its lease, two minutes.
    let claim = HttpFault { body_contains: Some("PROCESSING".to_owned()), ..rest("PATCH", answer(500)) };
    house.fault(HttpFault { skip: 10, count: Some(2), ..claim });
    house.fault(HttpFault { skip: 20, count: Some(3), ..rest("GET", answer(503)) });
    house.fault(HttpFault { skip: 30, count: Some(2), ..HttpFault::new(Face::Novu, Effect::Cut) });
    house.fault(HttpFault { skip: 50, count: Some(2), ..HttpFault::new(Face::Novu, answer(500)) });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_notifications_of_every_kind_each_come_to_their_one_end_and_tell_nobody_else_what_they_say() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let mut run = Run::new(&house);
    run.insert(0..400);
    let daemon = house.daemon();
    daemon.until_subscribed().await;
    run.insert(400..500);
    // The search finds what is there, so that what it does not find is not.
    let work_list = until("jobs of the last enterprise are in Redis", async || {
        let contents = redis.contents().await;
        if position(&contents, ENTERPRISES[4]).is_some() {
            Ok(contents)
        } else {
            Err(format!("{} bytes", contents.len()))
        }
    })
    .await;
    search("Redis before the work", &work_list);
    trouble(&house);
    let workers = [house.worker(), house.worker()];
    run.insert(500..1_000);
    run.ended().await;
    daemon.until_queue(&[("waiting", 0), ("active", 0)]).await;
    run.judge();
    assert!(house.state().faults().http.is_empty(), "some of the trouble met nobody");
    search("Redis after the work", &redis.contents().await);
    // What they said is searched when they end, as that of every process is.
    daemon.stop().await;
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_one_process_brings_every_kind_of_notification_to_the_same_ends() {
    let house = House::with(None, Options::default()).await;
    let mut run = Run::new(&house);
    run.insert(0..150);
    let daemon = house.daemon();
    daemon.until_subscribed().await;
    run.insert(150..300);
    run.ended().await;
    daemon.until_queue(&[("waiting", 0), ("active", 0)]).await;
    run.judge();
    daemon.stop().await;
}
