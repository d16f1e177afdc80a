//! The ledger, in memory and in Redis.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use xnovu_queue::{Call, CallState, Ledger, LedgerError, RECORD_KEPT, SendRecord};

use crate::support::{RedisServer, job};

fn record(hash: &str) -> SendRecord {
    let call = |number| Call {
        hash: format!("{hash}{number}"),
        transaction_id: format!("t{number}"),
        generation: 0,
        state: CallState::Fresh,
    };
    SendRecord { plugin_digest: None, config_hash: None, now_ms: 1, since_ms: 1, calls: vec![call(0), call(1)] }
}

async fn check(ledger: Ledger) {
    let ledger = Arc::new(ledger);
    assert!(ledger.get(&job(1)).await.unwrap().is_none());
    assert!(matches!(ledger.mark(&job(1), 0, CallState::Sending, 0).await, Err(LedgerError::Gone)));

    // A hundred attempts to fix what is sent: one wins and all see the same.
    let records: Vec<SendRecord> = (0..100).map(|number| record(&number.to_string())).collect();
    let first = job(1);
    let opened = join_all(records.iter().map(|record| ledger.open(&first, record))).await;
    let stands = ledger.get(&first).await.unwrap().unwrap();
    assert!(opened.into_iter().all(|opened| opened.unwrap() == stands));

    // Untouched, it can be replaced by who has read it.
    let fresh = record("fresh");
    assert_eq!(ledger.replace(&first, &record("never read"), &fresh).await.unwrap(), stands);
    assert_eq!(ledger.replace(&first, &stands, &fresh).await.unwrap(), fresh);

    // A call that was made and judged leaves the way free for other bodies.
    ledger.mark(&first, 0, CallState::Sending, 0).await.unwrap();
    ledger.mark(&first, 0, CallState::Fresh, 1).await.unwrap();
    let judged = ledger.get(&first).await.unwrap().unwrap();
    assert_eq!(judged.calls[0].generation, 1);
    let edited = record("edited");
    assert_eq!(ledger.replace(&first, &judged, &edited).await.unwrap(), edited);
    assert_eq!(ledger.replace(&first, &edited, &fresh).await.unwrap(), fresh);

    // Once a call was accepted it stands.
    ledger.mark(&first, 1, CallState::Accepted, 2).await.unwrap();
    let marked = ledger.get(&first).await.unwrap().unwrap();
    assert_eq!((marked.calls[1].state, marked.calls[1].generation), (CallState::Accepted, 2));
    assert_eq!(marked.calls[0].state, CallState::Fresh);
    assert!(marked.is_touched() && marked.same_bodies(&fresh));
    assert_eq!(ledger.replace(&first, &marked, &record("late")).await.unwrap(), marked);
    assert_eq!(ledger.open(&first, &record("later")).await.unwrap(), marked);

    ledger.remove(&first).await.unwrap();
    assert!(ledger.get(&first).await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_sent_is_fixed_once_in_memory() {
    check(Ledger::memory()).await;
}

#[tokio::test]
async fn what_is_sent_is_fixed_once_in_redis() {
    let server = RedisServer::start().await;
    check(crate::in_redis(&server).await.ledger(RECORD_KEPT)).await;
}

#[tokio::test]
async fn a_record_expires_later_than_the_longest_retry() {
    let server = RedisServer::start().await;
    let ledger = crate::in_redis(&server).await.ledger(Duration::from_secs(100));
    ledger.open(&job(1), &record("a")).await.unwrap();
    ledger.mark(&job(1), 0, CallState::Sending, 0).await.unwrap();
    let left: i64 = server.command(&["PTTL", &format!("xnovu-test:ledger:{}", job(1))]).await;
    assert!((90_000..=100_000).contains(&left), "{left}");
}

#[tokio::test]
async fn a_redis_that_is_full_fixes_nothing_so_that_nothing_is_sent() {
    let server = RedisServer::start().await;
    let ledger = crate::in_redis(&server).await.ledger(RECORD_KEPT);
    let _: String = server.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    assert!(matches!(ledger.open(&job(1), &record("a")).await, Err(LedgerError::Redis { .. })));
}
