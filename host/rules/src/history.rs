//! What ran for a subject, over all processes and starts.
//!
//! Owns which of a subject's states are remembered: the one that ran last, those that have proved good, and while there is none of those,
//! what ran before. Pure; [`crate::archive`] keeps it on disk.

use serde::{Deserialize, Serialize};

use crate::{Pin, Stamp};

/// States remembered beside the last one.
const OTHERS_MAX: usize = 4;

/// The states of a subject, the one that ran last in front.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct History(Vec<Past>);

/// A state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Past {
    stamp: Stamp,
    /// Whether it has proved good.
    good: bool,
}

impl History {
    /// What ran last.
    pub(crate) fn last(&self) -> Option<&Stamp> {
        self.0.first().map(|past| &past.stamp)
    }

    /// Whether a state ran before.
    pub(crate) fn knows(&self, pin: Pin) -> bool {
        self.0.iter().any(|past| past.stamp.pin() == pin)
    }

    /// Whether a state has proved good.
    pub(crate) fn is_good(&self, pin: Pin) -> bool {
        self.0.iter().any(|past| past.good && past.stamp.pin() == pin)
    }

    /// Every state, the last one first.
    pub(crate) fn states(&self) -> impl Iterator<Item = &Stamp> {
        self.0.iter().map(|past| &past.stamp)
    }

    /// What that state may fall back to, the best first: what has proved good, then what merely ran.
    pub(crate) fn others(&self, pin: Pin) -> impl Iterator<Item = &Stamp> {
        let of = move |good| self.0.iter().filter(move |past| past.good == good && past.stamp.pin() != pin);
        of(true).chain(of(false)).map(|past| &past.stamp)
    }

    /// A state runs now.
    pub(crate) fn begin(&mut self, stamp: &Stamp) {
        let good = self.is_good(stamp.pin());
        self.0.retain(|past| past.stamp.pin() != stamp.pin());
        self.0.insert(0, Past { stamp: stamp.clone(), good });
        self.shorten();
    }

    /// A state has proved good. It may be that another one runs by now.
    pub(crate) fn praise(&mut self, stamp: &Stamp) {
        let at = self.0.iter().position(|past| past.stamp.pin() == stamp.pin());
        let good = Past { stamp: stamp.clone(), good: true };
        match at {
            Some(at) => self.0[at] = good,
            None => self.0.insert(self.0.len().min(1), good),
        }
        self.shorten();
    }

    /// A state has failed too often to be called good.
    pub(crate) fn blame(&mut self, pin: Pin) {
        self.0.iter_mut().filter(|past| past.stamp.pin() == pin).for_each(|past| past.good = false);
        self.shorten();
    }

    /// A state must not run again by itself.
    pub(crate) fn forget(&mut self, pin: Pin) {
        self.0.retain(|past| past.stamp.pin() != pin);
    }

    fn shorten(&mut self) {
        let others = self.0.split_off(self.0.len().min(1));
        let (good, untried): (Vec<Past>, Vec<Past>) = others.into_iter().partition(|past| past.good);
        let kept = if good.is_empty() { untried.into_iter().take(1).collect() } else { good };
        self.0.extend(kept.into_iter().take(OTHERS_MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Digest;

    fn stamp(version: &str) -> Stamp {
        Stamp {
            plugin: "p".to_owned(),
            version: version.to_owned(),
            digest: Digest::of(version.as_bytes()),
            config_hash: Digest::of(b"{}"),
        }
    }

    /// What each word does to a history: `1` runs, `1+` proves good, `1-` fails, `1x` is rolled back from.
    fn history(words: &str) -> History {
        let mut history = History::default();
        for word in words.split(' ') {
            let named = stamp(word.trim_end_matches(['+', '-', 'x']));
            match word.chars().last() {
                Some('+') => history.praise(&named),
                Some('-') => history.blame(named.pin()),
                Some('x') => history.forget(named.pin()),
                _ => history.begin(&named),
            }
        }
        history
    }

    fn versions<'a>(stamps: impl Iterator<Item = &'a Stamp>) -> String {
        stamps.map(|stamp| stamp.version.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_ran_last_and_what_proved_good_is_remembered() {
        for (happened, remembered, falls_back_to) in [
            ("1", "1", ""),
            ("1 2", "2 1", "1"),
            ("1 2 3", "3 2", "2"),
            ("1 1+ 2 3", "3 1", "1"),
            ("1 1+ 2 2+ 3", "3 2 1", "2 1"),
            ("1 1+ 2 2+ 1", "1 2", "2"),
            ("1 1+ 2 1+ 1-", "2 1", "1"),
            ("1 1+ 2 2+ 2- 3", "3 1", "1"),
            ("1 1+ 2 1 2x", "1", ""),
            ("1 2 3 1+", "3 1", "1"),
            ("1 1+ 2 2+ 3 3+ 4 4+ 5 5+ 6", "6 5 4 3 2", "5 4 3 2"),
        ] {
            let history = history(happened);
            let last = history.last().unwrap().clone();
            assert_eq!(versions(history.states()), remembered, "{happened}");
            assert_eq!(versions(history.others(last.pin())), falls_back_to, "{happened}");
        }
    }

    #[test]
    fn what_was_good_and_runs_again_is_good() {
        let history = history("1 1+ 2 1");
        assert!(history.is_good(stamp("1").pin()) && !history.is_good(stamp("2").pin()));
        assert!(history.knows(stamp("2").pin()) && !history.knows(stamp("3").pin()));
    }
}
