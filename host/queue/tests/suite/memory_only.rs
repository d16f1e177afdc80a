//! What only a queue in memory has to show: nobody else takes over what one of its workers leaves behind.

use std::sync::Arc;
use std::time::Duration;

use xnovu_queue::{JobQueue, JobState, MemoryQueue};

use crate::support::{Notes, Running, job, offer, quick};
use crate::until_state;

fn in_memory() -> Arc<dyn JobQueue> {
    Arc::new(MemoryQueue::new(quick()))
}

#[tokio::test]
async fn a_delayed_job_is_taken_though_the_worker_that_waited_for_it_has_stopped() {
    let (queue, notes) = (in_memory(), Notes::done());
    let workers = [Running::start(&queue, 1, &notes), Running::start(&queue, 1, &notes)];
    // On this single thread both workers are idle once the test comes back from its turn.
    tokio::task::yield_now().await;
    let mut delayed = offer(1, 10);
    delayed.delay = Some(Duration::from_millis(100));
    queue.offer(&[delayed]).await.unwrap();
    tokio::task::yield_now().await;
    let [first, second] = workers;
    first.ended().await;
    notes.until_seen(1).await;
    second.ended().await;
}

#[tokio::test]
async fn a_job_that_outlives_the_grace_still_ends_and_makes_room_for_a_new_offer() {
    let (queue, notes) = (in_memory(), Notes::held());
    let running = Running::with_grace(&queue, 1, &notes, Duration::from_millis(20));
    queue.offer(&[offer(1, 10)]).await.unwrap();
    notes.until_seen(1).await;
    assert_eq!(running.ended().await.still_running, 1);
    assert_eq!(queue.state(&job(1)).await.unwrap(), JobState::Active);
    notes.let_go();
    until_state(&queue, 1, JobState::Completed).await;
}
