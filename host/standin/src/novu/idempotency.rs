//! `Idempotency-Key`: what was answered to a key, for 24 hours, errors included.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::timestamp::Timestamp;

use super::answer::Answer;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// A request that has not been answered for this long counts as gone.
const IN_PROGRESS_MS: u64 = 5 * 60 * 1_000;
/// Keys kept; beyond, the oldest are forgotten early.
const KEYS_MAX: usize = 500_000;

/// What is known of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// Nothing; the caller is to do the work and `finish`.
    New,
    /// The answer of 24 hours ago or less.
    Replay(Answer),
    /// Another request with the key is being worked on.
    InProgress,
    /// The key belongs to another body.
    OtherBody,
}

/// The keys of one organization.
#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: HashMap<String, Entry>,
    /// Keys by age, for forgetting.
    ages: VecDeque<(Timestamp, String)>,
}

#[derive(Debug)]
struct Entry {
    body_hash: u64,
    since: Timestamp,
    /// None while in progress.
    answer: Option<Answer>,
}

impl Cache {
    pub(super) fn begin(&mut self, key: &str, body: &[u8], now: Timestamp) -> Lookup {
        self.forget(now);
        let body_hash = hash(body);
        if let Some(entry) = self.entries.get(key) {
            let gone = entry.answer.is_none() && entry.since <= now.minus_millis(IN_PROGRESS_MS);
            match &entry.answer {
                _ if entry.body_hash != body_hash => return Lookup::OtherBody,
                Some(answer) => return Lookup::Replay(answer.clone()),
                None if !gone => return Lookup::InProgress,
                None => {}
            }
        }
        self.entries.insert(key.to_owned(), Entry { body_hash, since: now, answer: None });
        self.ages.push_back((now, key.to_owned()));
        Lookup::New
    }

    pub(super) fn finish(&mut self, key: &str, answer: Answer) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.answer = Some(answer);
        }
    }

    pub(super) fn flush(&mut self) {
        *self = Self::default();
    }

    fn forget(&mut self, now: Timestamp) {
        let horizon = now.minus_millis(DAY_MS);
        while self.ages.front().is_some_and(|(since, _)| *since <= horizon || self.ages.len() >= KEYS_MAX) {
            if let Some((since, key)) = self.ages.pop_front()
                && self.entries.get(&key).is_some_and(|entry| entry.since == since)
            {
                self.entries.remove(&key);
            }
        }
    }
}

fn hash(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_767_322_800_000_000);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(NOW.micros() + i64::try_from(millis * 1_000).expect("a small number"))
    }

    fn answer() -> Answer {
        Answer::error(503, NOW, "/", "down")
    }

    #[test]
    fn a_key_is_in_progress_until_finished_and_replayed_for_24_hours() {
        let mut cache = Cache::default();
        assert_eq!(cache.begin("k", b"body", NOW), Lookup::New);
        assert_eq!(cache.begin("k", b"body", at(1)), Lookup::InProgress);
        assert_eq!(cache.begin("k", b"other", at(1)), Lookup::OtherBody);
        cache.finish("k", answer());
        assert_eq!(cache.begin("k", b"body", at(DAY_MS - 1)), Lookup::Replay(answer()));
        assert_eq!(cache.begin("k", b"other", at(DAY_MS - 1)), Lookup::OtherBody);
        assert_eq!(cache.begin("k", b"body", at(DAY_MS)), Lookup::New);
    }

    #[test]
    fn a_request_that_never_ends_gives_its_key_back_after_five_minutes() {
        let mut cache = Cache::default();
        assert_eq!(cache.begin("k", b"body", NOW), Lookup::New);
        assert_eq!(cache.begin("k", b"body", at(IN_PROGRESS_MS - 1)), Lookup::InProgress);
        assert_eq!(cache.begin("k", b"body", at(IN_PROGRESS_MS)), Lookup::New);
    }
}
