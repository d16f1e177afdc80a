//! Where the jobs of one queue in memory stand.
//!
//! Owns every change of a job's state. Knows neither tasks nor wake-ups: time is passed in.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, VecDeque};

use tokio::time::Instant;
use xnovu_domain::{Micros, Priority};

use super::gate::{Gates, WaitingKey};
use crate::options::JobOptions;
use crate::{Counts, FailedJob, Identity, Job, JobState, Limits, Offer, Offered, Outcome};

type DelayedKey<I> = (Instant, u64, I);

#[derive(Debug)]
enum Place<I> {
    Waiting(WaitingKey<I>),
    Delayed(DelayedKey<I>),
    /// Its enterprise is at a limit; it keeps its place in the order.
    Parked(WaitingKey<I>),
    /// Whether it holds a slot of its enterprise.
    Active {
        limited: bool,
    },
    Completed,
    Failed,
}

#[derive(Debug)]
struct Entry<I> {
    offer: Offer<I>,
    place: Place<I>,
    spent: u32,
    attempts_max: u32,
    created: Micros,
    /// Why and when its last attempt failed.
    failed: Option<(String, Micros)>,
}

pub(super) struct Shelf<I> {
    options: JobOptions,
    entries: HashMap<I, Entry<I>>,
    waiting: BTreeSet<WaitingKey<I>>,
    delayed: BTreeSet<DelayedKey<I>>,
    gates: Gates<I>,
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
            gates: Gates::default(),
            completed: VecDeque::new(),
            failed: VecDeque::new(),
            active: 0,
            sequence: 0,
            paused: false,
        }
    }

    pub(super) fn unfinished(&self) -> usize {
        self.waiting.len() + self.delayed.len() + self.gates.parked() + self.active
    }

    pub(super) fn set_limits(&mut self, limits: Limits) {
        self.gates = Gates::new(limits);
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
        let attempts_max = offer.attempts.unwrap_or(self.options.attempts).max(1);
        let created = crate::clock::now();
        let entry = Entry { offer: offer.clone(), place, spent: 0, attempts_max, created, failed: None };
        self.entries.insert(offer.job.clone(), entry);
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

    /// Takes the most urgent job whose time has come and whose enterprise may begin one.
    pub(super) fn take(&mut self, now: Instant) -> Option<Job<I>> {
        while self.delayed.first().is_some_and(|(until, ..)| *until <= now) {
            let (_, _, job) = self.delayed.pop_first()?;
            let priority = self.entries.get(&job)?.offer.priority;
            let place = self.wait(&job, priority);
            self.entries.get_mut(&job)?.place = place;
        }
        for key in self.gates.call_in(now) {
            self.entries.get_mut(&key.2)?.place = Place::Waiting(key.clone());
            self.waiting.insert(key);
        }
        if self.paused {
            return None;
        }
        while let Some(key) = self.waiting.pop_first() {
            let Some(gate) = self.gates.of(key.2.enterprise()) else { return self.begin(key.2, false) };
            if gate.begin(now) {
                return self.begin(key.2, true);
            }
            gate.park(key.clone());
            self.entries.get_mut(&key.2)?.place = Place::Parked(key.clone());
        }
        None
    }

    fn begin(&mut self, id: I, limited: bool) -> Option<Job<I>> {
        let entry = self.entries.get_mut(&id)?;
        entry.place = Place::Active { limited };
        self.active += 1;
        let (attempt, attempts_max) = (entry.spent + 1, entry.attempts_max);
        let (data, created) = (I::data(&entry.offer), entry.created);
        Some(Job { id, data, attempt, attempts_max, created, last: attempt >= attempts_max })
    }

    /// When a job may be taken that only waits for its time.
    pub(super) fn next_due(&self, now: Instant) -> Option<Instant> {
        let delayed = self.delayed.first().map(|(until, ..)| *until);
        delayed.into_iter().chain(self.gates.next(now)).min()
    }

    pub(super) fn finish(&mut self, id: &I, outcome: Outcome, now: Instant, random: f64) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        self.active -= 1;
        if matches!(entry.place, Place::Active { limited: true })
            && let Some(gate) = self.gates.of(id.enterprise())
        {
            gate.end();
        }
        if let Outcome::Fail { error } | Outcome::Retry { error } = &outcome {
            entry.failed = Some((error.clone(), crate::clock::now()));
        }
        let place = match outcome {
            Outcome::Done(_) => Place::Completed,
            Outcome::Fail { .. } => Place::Failed,
            Outcome::Later { after, .. } => self.delay(id, now + after),
            Outcome::Retry { .. } => {
                entry.spent += 1;
                let spent = entry.spent;
                if spent >= entry.attempts_max {
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
            Some(Place::Delayed(_) | Place::Parked(_)) => JobState::Delayed,
            Some(Place::Active { .. }) => JobState::Active,
            Some(Place::Completed) => JobState::Completed,
            Some(Place::Failed) => JobState::Failed,
        }
    }

    pub(super) fn remove(&mut self, job: &I) -> bool {
        match self.entries.get(job).map(|entry| &entry.place) {
            None | Some(Place::Active { .. }) => return false,
            Some(Place::Waiting(key)) => {
                self.waiting.remove(key);
            }
            Some(Place::Delayed(key)) => {
                self.delayed.remove(key);
            }
            Some(Place::Parked(key)) => {
                if let Some(gate) = self.gates.of(job.enterprise()) {
                    gate.unpark(key);
                }
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
            delayed: count(self.delayed.len() + self.gates.parked()),
            completed: count(self.completed.len()),
            failed: count(self.failed.len()),
            paused: self.paused,
        }
    }

    /// The jobs that were given up, the latest first.
    pub(super) fn failed_jobs(&self) -> Vec<FailedJob> {
        let told = |id: &I| {
            let entry = self.entries.get(id)?;
            let (reason, at) = entry.failed.clone()?;
            // A failure for good spends the attempt it was found in.
            let (attempts, attempts_max) = ((entry.spent + 1).min(entry.attempts_max), entry.attempts_max);
            let enterprise = Some(id.enterprise().clone());
            Some(FailedJob { id: id.to_string(), enterprise, reason, at, attempts, attempts_max })
        };
        self.failed.iter().rev().filter_map(told).collect()
    }

    /// Queues a job again that was given up, with all its attempts.
    pub(super) fn retry(&mut self, job: &str) -> bool {
        let Some(at) = self.failed.iter().position(|failed| failed.as_str() == job) else { return false };
        let Some(job) = self.failed.remove(at) else { return false };
        let Some(priority) = self.entries.get(&job).map(|entry| entry.offer.priority) else { return false };
        let place = self.wait(&job, priority);
        if let Some(entry) = self.entries.get_mut(&job) {
            (entry.place, entry.spent, entry.failed) = (place, 0, None);
        }
        true
    }

    /// When the job was queued that has waited longest.
    pub(super) fn oldest_waiting(&self) -> Option<Micros> {
        self.waiting.iter().filter_map(|(_, _, job)| Some(self.entries.get(job)?.created)).min()
    }
}
