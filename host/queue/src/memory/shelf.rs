//! Where the jobs of one queue in memory stand.
//!
//! Owns every change of a job's state. Knows neither tasks nor wake-ups: time is passed in.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, VecDeque};

use tokio::time::Instant;
use xnovu_domain::{Micros, Priority};

use crate::options::JobOptions;
use crate::{Counts, Identity, Job, JobState, Offer, Offered, Outcome};

/// Higher priority first, then older first.
type WaitingKey<I> = (Reverse<Priority>, u64, I);
type DelayedKey<I> = (Instant, u64, I);

#[derive(Debug)]
enum Place<I> {
    Waiting(WaitingKey<I>),
    Delayed(DelayedKey<I>),
    Active,
    Completed,
    Failed,
}

#[derive(Debug)]
struct Entry<I> {
    offer: Offer<I>,
    place: Place<I>,
    spent: u32,
    created: Micros,
}

pub(super) struct Shelf<I> {
    options: JobOptions,
    entries: HashMap<I, Entry<I>>,
    waiting: BTreeSet<WaitingKey<I>>,
    delayed: BTreeSet<DelayedKey<I>>,
    completed: VecDeque<I>,
    failed: VecDeque<I>,
    active: usize,
    sequence: u64,
    paused: bool,
}

impl<I: Identity> Shelf<I> {
    pub(super) fn new(options: JobOptions) -> Self {
        Self {
            options,
            entries: HashMap::new(),
            waiting: BTreeSet::new(),
            delayed: BTreeSet::new(),
            completed: VecDeque::new(),
            failed: VecDeque::new(),
            active: 0,
            sequence: 0,
            paused: false,
        }
    }

    pub(super) fn unfinished(&self) -> usize {
        self.waiting.len() + self.delayed.len() + self.active
    }

    pub(super) fn put(&mut self, offer: &Offer<I>, now: Instant) -> Offered {
        let outcome = match self.state(&offer.job) {
            JobState::Missing => Offered::New,
            JobState::Completed | JobState::Failed => {
                self.remove(&offer.job);
                Offered::Replaced
            }
            JobState::Waiting | JobState::Delayed | JobState::Active => return Offered::Present,
        };
        let place = match offer.delay {
            Some(delay) if !delay.is_zero() => self.delay(&offer.job, now + delay),
            _ => self.wait(&offer.job, offer.priority),
        };
        let created = crate::clock::now();
        self.entries.insert(offer.job.clone(), Entry { offer: offer.clone(), place, spent: 0, created });
        outcome
    }

    fn wait(&mut self, job: &I, priority: Priority) -> Place<I> {
        self.sequence += 1;
        let key = (Reverse(priority), self.sequence, job.clone());
        self.waiting.insert(key.clone());
        Place::Waiting(key)
    }

    fn delay(&mut self, job: &I, until: Instant) -> Place<I> {
        self.sequence += 1;
        let key = (until, self.sequence, job.clone());
        self.delayed.insert(key.clone());
        Place::Delayed(key)
    }

    /// Takes the most urgent job whose time has come.
    pub(super) fn take(&mut self, now: Instant) -> Option<Job<I>> {
        while self.delayed.first().is_some_and(|(until, ..)| *until <= now) {
            let (_, _, job) = self.delayed.pop_first()?;
            let priority = self.entries.get(&job)?.offer.priority;
            let place = self.wait(&job, priority);
            self.entries.get_mut(&job)?.place = place;
        }
        if self.paused {
            return None;
        }
        let (_, _, id) = self.waiting.pop_first()?;
        let attempts_max = self.options.attempts;
        let entry = self.entries.get_mut(&id)?;
        entry.place = Place::Active;
        self.active += 1;
        let attempt = entry.spent + 1;
        let (data, created) = (I::data(&entry.offer), entry.created);
        Some(Job { id, data, attempt, attempts_max, created, last: attempt >= attempts_max })
    }

    /// When the next delayed job's time comes.
    pub(super) fn next_delayed(&self) -> Option<Instant> {
        self.delayed.first().map(|(until, ..)| *until)
    }

    pub(super) fn finish(&mut self, id: &I, outcome: Outcome, now: Instant, random: f64) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        self.active -= 1;
        let place = match outcome {
            Outcome::Done(_) => Place::Completed,
            Outcome::Fail { .. } => Place::Failed,
            Outcome::Later { after, .. } => self.delay(id, now + after),
            Outcome::Retry { .. } => {
                entry.spent += 1;
                let spent = entry.spent;
                if spent >= self.options.attempts {
                    Place::Failed
                } else {
                    let wait = self.options.wait(spent, random);
                    self.delay(id, now + wait)
                }
            }
        };
        self.keep(id, &place);
        if let Some(entry) = self.entries.get_mut(id) {
            entry.place = place;
        }
    }

    /// Forgets the oldest finished jobs beyond what is kept.
    fn keep(&mut self, id: &I, place: &Place<I>) {
        let (finished, kept) = match place {
            Place::Completed => (&mut self.completed, self.options.keep_completed),
            Place::Failed => (&mut self.failed, self.options.keep_failed),
            _ => return,
        };
        finished.push_back(id.clone());
        while finished.len() > kept {
            if let Some(oldest) = finished.pop_front() {
                self.entries.remove(&oldest);
            }
        }
    }

    pub(super) fn state(&self, job: &I) -> JobState {
        match self.entries.get(job).map(|entry| &entry.place) {
            None => JobState::Missing,
            Some(Place::Waiting(_)) => JobState::Waiting,
            Some(Place::Delayed(_)) => JobState::Delayed,
            Some(Place::Active) => JobState::Active,
            Some(Place::Completed) => JobState::Completed,
            Some(Place::Failed) => JobState::Failed,
        }
    }

    pub(super) fn remove(&mut self, job: &I) -> bool {
        match self.entries.get(job).map(|entry| &entry.place) {
            None | Some(Place::Active) => return false,
            Some(Place::Waiting(key)) => {
                self.waiting.remove(key);
            }
            Some(Place::Delayed(key)) => {
                self.delayed.remove(key);
            }
            Some(Place::Completed) => self.completed.retain(|finished| finished != job),
            Some(Place::Failed) => self.failed.retain(|finished| finished != job),
        }
        self.entries.remove(job).is_some()
    }

    pub(super) fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
    }

    pub(super) fn counts(&self) -> Counts {
        let count = |number: usize| number as u64;
        Counts {
            waiting: count(self.waiting.len()),
            active: count(self.active),
            delayed: count(self.delayed.len()),
            completed: count(self.completed.len()),
            failed: count(self.failed.len()),
            paused: self.paused,
        }
    }
}
