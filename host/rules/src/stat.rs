//! What the file system says of a file without opening it.
//!
//! Owns the question "may this file have changed?". Promises that a file which was replaced, overwritten, touched or swapped behind a
//! symbolic link has another stamp, as far as the file system keeps time. Never reads a file.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How long after its last change a file may change again without another stamp: the coarsest clock of a file system in use.
const GRAIN: Duration = Duration::from_secs(2);

/// What is known of a file, links followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileStamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileStamp {
    /// The stamp of what lies there; None where nothing does, or nothing that may be looked at.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        Some(Self {
            device: meta.dev(),
            inode: meta.ino(),
            bytes: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }

    /// Which file it is, whatever it holds.
    pub(crate) fn identity(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// How long ago it changed last, by the clock of its file system; zero where that is ahead of ours.
    pub(crate) fn age(&self, now: SystemTime) -> Duration {
        let (s, nanos) = self.changed.max(self.modified);
        let at = |s: u64| SystemTime::UNIX_EPOCH + Duration::new(s, u32::try_from(nanos).unwrap_or(0));
        u64::try_from(s).map_or(Duration::MAX, |s| now.duration_since(at(s)).unwrap_or_default())
    }

    /// Whether the same stamp later means the same content: not if the last change is so recent that another one would not show.
    pub(crate) fn is_telling(&self, now: SystemTime) -> bool {
        let now_s = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let changed_s = u64::try_from(self.changed.0.max(self.modified.0)).unwrap_or(0);
        now_s > changed_s.saturating_add(GRAIN.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn whatever_happens_to_a_file_shows() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        assert_eq!(FileStamp::of(&at("a")), None);
        fs::write(at("a"), "one").unwrap();
        let first = FileStamp::of(&at("a")).unwrap();
        assert_eq!(FileStamp::of(&at("a")), Some(first));
        fs::write(at("a"), "longer").unwrap();
        let second = FileStamp::of(&at("a")).unwrap();
        assert_ne!(second, first, "overwritten in place");
        fs::write(at("b"), "longer").unwrap();
        fs::rename(at("b"), at("a")).unwrap();
        let third = FileStamp::of(&at("a")).unwrap();
        assert_ne!(third, second, "replaced by rename");
        std::os::unix::fs::symlink(at("a"), at("link")).unwrap();
        assert_eq!(FileStamp::of(&at("link")), Some(third), "links are followed");
    }

    #[test]
    fn a_file_is_as_old_as_its_last_change_whatever_its_times_say() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_modified(clock::now() - 100 * GRAIN).unwrap();
        let stamp = FileStamp::of(file.path()).unwrap();
        assert!(stamp.age(clock::now()) < 50 * GRAIN, "it was written just now under another time");
        assert!(stamp.age(clock::now() + 50 * GRAIN) >= 50 * GRAIN - Duration::from_secs(1));
        assert_eq!(stamp.age(SystemTime::UNIX_EPOCH), Duration::ZERO, "a clock that is behind");
    }

    #[test]
    fn a_stamp_of_a_moment_ago_does_not_tell() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let stamp = FileStamp::of(file.path()).unwrap();
        assert!(!stamp.is_telling(clock::now()));
        assert!(stamp.is_telling(clock::now() + 2 * GRAIN));
    }
}
