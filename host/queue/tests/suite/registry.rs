//! Who works, in both registries.

use std::sync::Arc;

use xnovu_domain::Micros;
use xnovu_queue::{JobsOfWorker, Registry, WorkerInfo};

pub fn worker(id: &str, since: i64) -> WorkerInfo {
    WorkerInfo {
        id: id.to_owned(),
        host: "machine".to_owned(),
        pid: 7,
        in_daemon: false,
        since: Micros::new(since),
        version: "1.2.3".to_owned(),
        concurrency: 5,
        draining: false,
        jobs: JobsOfWorker { active: 1, done: 2, failed: 3 },
    }
}

pub async fn a_worker_is_listed_while_it_tells_of_itself_and_forgotten_when_it_leaves(registry: Arc<Registry>) {
    assert_eq!(registry.list().await.unwrap(), []);
    let (young, old) = (worker("young", 2_000_000), worker("old", 1_000_000));
    assert!(!registry.beat(&young).await.unwrap());
    assert!(!registry.beat(&old).await.unwrap());
    assert_eq!(registry.list().await.unwrap(), [old.clone(), young.clone()]);
    let busier = WorkerInfo { jobs: JobsOfWorker { active: 4, done: 5, failed: 6 }, ..young };
    registry.beat(&busier).await.unwrap();
    assert_eq!(registry.list().await.unwrap(), [old.clone(), busier]);
    registry.leave("young").await.unwrap();
    assert_eq!(registry.list().await.unwrap(), [old]);
}

pub async fn a_worker_hears_with_its_next_sign_of_life_that_it_was_asked_to_stop(registry: Arc<Registry>) {
    let (one, other) = (worker("one", 1), worker("other", 2));
    registry.beat(&one).await.unwrap();
    registry.beat(&other).await.unwrap();
    assert!(registry.ask_to_stop("one").await.unwrap());
    assert!(!registry.ask_to_stop("nobody").await.unwrap());
    assert!(registry.beat(&one).await.unwrap());
    assert!(!registry.beat(&other).await.unwrap());
    registry.leave("one").await.unwrap();
    // A worker of that name that comes later was not asked.
    assert!(!registry.beat(&one).await.unwrap());
}
