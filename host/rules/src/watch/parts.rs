//! The parts of a plugins' directory, each of which becomes whole by itself.
//!
//! Owns which file belongs to which part: a plugin's directory is one, and each of the operator's files. Promises that a part which is being
//! written, however slowly, puts off no other. Never looks at the file system.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::settling::{Heard, Settling};
use crate::stat::FileStamp;

/// The files of one part, as a look saw them.
type Seen = BTreeMap<PathBuf, Option<FileStamp>>;

/// What was seen of a directory, part by part.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// By the name of the plugin or the file.
    parts: BTreeMap<String, Settling<Seen>>,
    looked: bool,
}

/// The part a path belongs to, by the name of what lies in the directory itself. None: it is the directory itself, or lies elsewhere.
fn part(dir: &Path, path: &Path) -> Option<String> {
    let first = path.strip_prefix(dir).ok()?.components().next()?;
    first.as_os_str().to_str().map(str::to_owned)
}

impl Parts {
    /// Takes note of an event. What concerns the directory as a whole concerns each part.
    pub(super) fn hear(&mut self, heard: Heard, dir: &Path, path: &Path, now: Instant) {
        match part(dir, path) {
            Some(name) => {
                let part = self.parts.entry(name).or_insert_with(|| Settling::from(Seen::new()));
                part.hear(heard, path, now);
            }
            None => self.parts.values_mut().for_each(|part| part.hear(heard, path, now)),
        }
    }

    /// When to look again, if nothing else happens before.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.parts.values().filter_map(Settling::next_look).min()
    }

    /// Takes note of what a look saw. True: a part is whole and differs from what it was, or this is the first look.
    pub(super) fn look(&mut self, dir: &Path, seen: Vec<(PathBuf, Option<FileStamp>)>, now: Instant) -> bool {
        let mut by_part: BTreeMap<String, Seen> = BTreeMap::new();
        for (path, stamp) in seen {
            by_part.entry(part(dir, &path).unwrap_or_default()).or_default().insert(path, stamp);
        }
        let first = !std::mem::replace(&mut self.looked, true);
        for name in by_part.keys() {
            let new = || if first { Settling::new() } else { Settling::from(Seen::new()) };
            self.parts.entry(name.clone()).or_insert_with(new);
        }
        let mut whole = first;
        for (name, part) in &mut self.parts {
            whole |= part.look(by_part.remove(name).unwrap_or_default(), now);
        }
        // What is gone, and was told to be, is forgotten.
        self.parts.retain(|_, part| part.is_pending() || part.settled().is_none_or(|seen| !seen.is_empty()));
        whole
    }

    /// Names of the parts that are not whole.
    pub(super) fn unsettled(&self) -> BTreeSet<String> {
        self.parts.iter().filter(|(_, part)| part.is_pending()).map(|(name, _)| name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Longer than anything has to be calm.
    const LONG: Duration = Duration::from_secs(100);

    struct Bench {
        dir: tempfile::TempDir,
        parts: Parts,
        now: Instant,
    }

    impl Bench {
        /// A directory with two plugins and the operator's file, seen once.
        fn new() -> Self {
            let mut bench = Self { dir: tempfile::tempdir().unwrap(), parts: Parts::default(), now: Instant::now() };
            for name in ["p", "q"] {
                std::fs::create_dir(bench.dir.path().join(name)).unwrap();
            }
            bench.write("p/p.wasm", "1");
            bench.write("q/q.wasm", "1");
            bench.write("bindings.toml", "1");
            assert!(bench.look(), "the first look tells what is there");
            bench
        }

        fn write(&self, file: &str, text: &str) {
            std::fs::write(self.dir.path().join(file), text).unwrap();
        }

        fn hear(&mut self, heard: Heard, file: &str) {
            let path = self.dir.path().join(file);
            self.parts.hear(heard, self.dir.path(), &path, self.now);
        }

        fn look(&mut self) -> bool {
            let files = ["p/p.wasm", "q/q.wasm", "bindings.toml"].map(|file| self.dir.path().join(file));
            let seen = files.into_iter().filter(|path| path.parent().is_some_and(Path::exists));
            let seen = seen.map(|path| (path.clone(), FileStamp::of(&path))).collect();
            self.parts.look(self.dir.path(), seen, self.now)
        }

        fn unsettled(&self) -> Vec<String> {
            self.parts.unsettled().into_iter().collect()
        }
    }

    #[test]
    fn a_slow_upload_puts_off_itself_alone() {
        let mut bench = Bench::new();
        bench.hear(Heard::Writing, "q/q.wasm");
        for round in 0..5 {
            bench.write("q/q.wasm", &"x".repeat(round + 2));
            bench.write("p/p.wasm", &"y".repeat(round + 2));
            bench.hear(Heard::Whole, "p/p.wasm");
            assert!(bench.look(), "p is whole in round {round}");
            assert_eq!(bench.unsettled(), ["q"]);
            bench.now += Duration::from_secs(1);
        }
        bench.write("bindings.toml", "longer");
        bench.hear(Heard::Whole, "bindings.toml");
        assert!(bench.look());
        bench.hear(Heard::Whole, "q/q.wasm");
        assert!(bench.look());
        assert_eq!(bench.unsettled(), [""; 0]);
    }

    #[test]
    fn what_appears_after_the_first_look_counts_when_it_is_calm_and_what_goes_is_forgotten() {
        let mut bench = Bench::new();
        std::fs::remove_dir_all(bench.dir.path().join("q")).unwrap();
        bench.hear(Heard::Whole, "q");
        assert!(bench.look());
        assert!(!bench.parts.parts.contains_key("q"));
        std::fs::create_dir(bench.dir.path().join("q")).unwrap();
        bench.write("q/q.wasm", "1");
        bench.hear(Heard::Appeared, "q");
        assert!(!bench.look());
        assert_eq!(bench.unsettled(), ["q"]);
        bench.now += LONG;
        assert!(bench.look());
    }

    #[test]
    fn lost_events_concern_every_part() {
        let mut bench = Bench::new();
        bench.parts.hear(Heard::Lost, bench.dir.path(), bench.dir.path(), bench.now);
        bench.write("p/p.wasm", "longer");
        bench.hear(Heard::Whole, "p/p.wasm");
        assert!(!bench.look(), "nobody knows who else works on it");
        bench.now += LONG;
        assert!(bench.look());
    }
}
