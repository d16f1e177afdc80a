//! One look at what a process depends on.
//!
//! Owns how long an answer may take, how often is looked, and what one failure is worth. A part that is silent has had its time: it shows
//! after at most the interval and the patience together, 3.5 s. One answer that is an error may be a chance: a second one in a row shows,
//! half a second later.

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};
use xnovu_queue::{Counts, JobQueue, Memory, QueueName};

use crate::gateway::{NotificationGateway, Pause};
use crate::store::NotificationStore;
use crate::telemetry::Chain;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Time until the next look after an error that is not believed yet.
pub(super) const DOUBT: Duration = Duration::from_millis(500);

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_millis(2_500);

/// Why a part did not answer as it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Miss {
    /// Why, in words for operators.
    pub(super) reason: String,
    /// Whether it said nothing for long: for as long as anybody may wait, or until an error that took longer than a second look would.
    pub(super) silent: bool,
}

/// One error in a row that is not believed yet, for each part.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Doubts {
    queue: bool,
    store: bool,
}

impl Doubts {
    /// Whether there is one.
    pub(super) fn any(self) -> bool {
        self.queue || self.store
    }

    /// What is believed after a look, of which this was believed before.
    pub(super) fn weigh(&mut self, before: &Look, seen: Seen) -> Look {
        let Seen { queue, store, novu } = seen;
        let queue = weigh(&mut self.queue, &before.queue, queue);
        Look { queue, store: weigh(&mut self.store, &before.store, store), novu }
    }
}

fn weigh<T: Clone>(doubted: &mut bool, before: &Result<T, String>, seen: Result<T, Miss>) -> Result<T, String> {
    let doubts = matches!(&seen, Err(miss) if !miss.silent) && before.is_ok() && !*doubted;
    *doubted = doubts;
    if doubts { before.clone() } else { seen.map_err(|miss| miss.reason) }
}

/// What one look saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) queue: Result<QueueLook, Miss>,
    pub(super) store: Result<(), Miss>,
    pub(super) novu: Option<Pause>,
}

impl Seen {
    /// The first look, of which everything is believed: a start has nothing to lose.
    pub(super) fn believed(self) -> Look {
        let Self { queue, store, novu } = self;
        Look { queue: queue.map_err(|miss| miss.reason), store: store.map_err(|miss| miss.reason), novu }
    }
}

/// What is believed of the parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The queue's counts, or why there are none.
    pub queue: Result<QueueLook, String>,
    /// Whether the database answers, or why not.
    pub store: Result<(), String>,
    /// Why Novu is not called, if it is not.
    pub novu: Option<Pause>,
}

/// How many jobs stand where in both queues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueLook {
    /// `notification-processing`.
    pub notification: Counts,
    /// `rule-execution`.
    pub rule_execution: Counts,
    /// What Redis uses; None where the queue is elsewhere, or Redis does not tell this user.
    pub memory: Option<Memory>,
}

/// When to look.
pub(super) fn beat() -> Interval {
    let mut beat = interval(INTERVAL);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat
}

pub(super) async fn look(
    queue_seam: &dyn JobQueue,
    store: &dyn NotificationStore,
    gateway: &dyn NotificationGateway,
) -> Seen {
    let (queue, store) = tokio::join!(queue(queue_seam), reach(store));
    Seen { queue, store, novu: gateway.pause() }
}

pub(super) async fn queue(queue: &dyn JobQueue) -> Result<QueueLook, Miss> {
    let counts = |name| queue.counts(name);
    let memory = async { Ok(queue.memory().await.ok().flatten()) };
    let all =
        async { tokio::try_join!(counts(QueueName::NotificationProcessing), counts(QueueName::RuleExecution), memory) };
    let asked = Instant::now();
    match timeout(PATIENCE, all).await {
        Ok(Ok((notification, rule_execution, memory))) => Ok(QueueLook { notification, rule_execution, memory }),
        Ok(Err(error)) => Err(Miss { reason: Chain(&error).to_string(), silent: asked.elapsed() > DOUBT }),
        Err(_) => Err(Miss { reason: format!("no answer within {PATIENCE:?}"), silent: true }),
    }
}

async fn reach(store: &dyn NotificationStore) -> Result<(), Miss> {
    let asked = Instant::now();
    match timeout(PATIENCE, store.reach()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Miss { reason: Chain(&error).to_string(), silent: asked.elapsed() > DOUBT }),
        Err(_) => Err(Miss { reason: format!("no answer within {PATIENCE:?}"), silent: true }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GONE: &str = "gone";

    fn seen(silent: Option<bool>) -> Seen {
        let miss = |silent| Miss { reason: GONE.to_owned(), silent };
        Seen { queue: silent.map_or(Ok(QueueLook::default()), |silent| Err(miss(silent))), store: Ok(()), novu: None }
    }

    /// Which of these looks are believed to have found the queue, after a good one.
    fn believed<const N: usize>(looks: [Option<bool>; N]) -> [bool; N] {
        let (mut doubts, mut look) = (Doubts::default(), seen(None).believed());
        looks.map(|silent| {
            look = doubts.weigh(&look, seen(silent));
            look.queue.is_ok()
        })
    }

    #[test]
    fn one_error_is_not_believed_and_two_in_a_row_are() {
        let error = Some(false);
        assert_eq!(believed([error, None, error, None]), [true, true, true, true]);
        assert_eq!(believed([error, error, error, None, error]), [true, false, false, true, true]);
    }

    #[test]
    fn silence_is_believed_at_once() {
        assert_eq!(believed([Some(true), Some(true), None]), [false, false, true]);
        assert_eq!(believed([Some(false), Some(true)]), [true, false]);
    }

    #[test]
    fn the_doubt_about_one_part_says_nothing_of_another() {
        let (mut doubts, good) = (Doubts::default(), seen(None).believed());
        let lost = Miss { reason: GONE.to_owned(), silent: false };
        let queue_lost = doubts.weigh(&good, seen(Some(false)));
        let both = Seen { store: Err(lost), ..seen(None) };
        assert!(queue_lost.queue.is_ok() && doubts.weigh(&queue_lost, both).store.is_ok());
    }

    #[test]
    fn what_is_gone_at_the_start_is_believed_to_be() {
        assert!(seen(Some(false)).believed().queue.is_err());
    }
}
