//! Jobs that were given up, and the oldest of those that wait, in both queues.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use xnovu_queue::{JobQueue, JobState, Outcome, QueueName};

use crate::support::{Notes, Running, job, offer, until};
use crate::{QUEUE, until_state};

pub async fn failed_jobs_are_told_with_their_reason_and_tried_again(queue: Arc<dyn JobQueue>) {
    let mended = Arc::new(AtomicBool::new(false));
    let sound = Arc::clone(&mended);
    let notes = Notes::new(move |job| match job.id.notification().get() {
        _ if sound.load(Ordering::SeqCst) => Outcome::Done("done".to_owned()),
        1 => Outcome::Fail { error: "no such workflow".to_owned() },
        _ => Outcome::Retry { error: "no answer".to_owned() },
    });
    let running = Running::start(&queue, 1, &notes);
    queue.offer(&[offer(1, 10)]).await.unwrap();
    until_state(&queue, 1, JobState::Failed).await;
    queue.offer(&[offer(2, 10)]).await.unwrap();
    until_state(&queue, 2, JobState::Failed).await;
    let failed = queue.failed(QUEUE, 0).await.unwrap();
    let told: Vec<_> =
        failed.iter().map(|one| (one.id.as_str(), one.reason.as_str(), one.attempts, one.attempts_max)).collect();
    assert_eq!(told, [(job(2).as_str(), "no answer", 3, 3), (job(1).as_str(), "no such workflow", 1, 3)]);
    assert!(failed.iter().all(|one| one.enterprise.as_ref() == Some(job(1).enterprise()) && one.at.get() > 0));
    assert_eq!(queue.failed(QUEUE, 1).await.unwrap(), failed[1..]);
    assert_eq!(queue.failed(QUEUE, 2).await.unwrap(), []);
    assert_eq!(queue.failed(QueueName::RuleExecution, 0).await.unwrap(), []);

    mended.store(true, Ordering::SeqCst);
    let wanted = [job(2).to_string(), job(3).to_string()];
    assert_eq!(queue.retry(QUEUE, &wanted).await.unwrap(), wanted[..1]);
    until_state(&queue, 2, JobState::Completed).await;
    assert_eq!(queue.retry(QUEUE, &wanted).await.unwrap(), Vec::<String>::new());
    assert_eq!(queue.state(&job(1)).await.unwrap(), JobState::Failed);
    running.ended().await;
    let last = notes.seen().pop().unwrap();
    assert_eq!((last.id, last.attempt, last.attempts_max), (job(2), 1, 3));
}

pub async fn oldest_waiting_is_the_one_queued_first(queue: Arc<dyn JobQueue>) {
    assert_eq!(queue.oldest_waiting(QUEUE).await.unwrap(), None);
    queue.offer(&[offer(1, 1)]).await.unwrap();
    let first = queue.oldest_waiting(QUEUE).await.unwrap().expect("one waits");
    // The next one is queued in a later millisecond.
    until("the clock went on", async || {
        queue.offer(&[offer(2, 1000)]).await.unwrap();
        queue.remove(&job(1)).await.unwrap();
        queue.offer(&[offer(1, 1)]).await.unwrap();
        let oldest = queue.oldest_waiting(QUEUE).await.unwrap().expect("one waits");
        if oldest > first { Some(()) } else { queue.remove(&job(2)).await.unwrap().then_some(()).filter(|()| false) }
    })
    .await;
    let of_the_urgent = queue.oldest_waiting(QUEUE).await.unwrap().expect("one waits");
    queue.remove(&job(2)).await.unwrap();
    let left = queue.oldest_waiting(QUEUE).await.unwrap().expect("one waits");
    assert!(first < of_the_urgent && of_the_urgent <= left, "{first} {of_the_urgent} {left}");
}
