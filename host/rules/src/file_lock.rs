//! Turns of processes that share a file.
//!
//! Owns how long one waits for the other: a process that was stopped in the middle must not hang the rest for ever.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Longest wait. What is done under such a lock takes milliseconds.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// How often it is looked whether the lock is free.
const PAUSE: Duration = Duration::from_millis(2);

/// A lock that is held until this is dropped, or the process ends.
#[must_use]
pub(crate) struct FileLock {
    _file: File,
}

impl FileLock {
    /// Takes the lock of a file that is there for nothing else, and creates the file with that mode where it is missing. Holds up the
    /// thread, 10 s at most.
    ///
    /// # Errors
    /// The file cannot be created, or somebody holds it for too long.
    pub(crate) fn take(path: &Path, mode: u32) -> io::Result<Self> {
        Self::take_within(path, mode, WAIT_MAX)
    }

    /// The same, waiting so long at most.
    ///
    /// # Errors
    /// As [`FileLock::take`].
    pub(crate) fn take_within(path: &Path, mode: u32, wait: Duration) -> io::Result<Self> {
        let file = match OpenOptions::new().create(true).append(true).mode(mode).open(path) {
            // Another user's, which is good enough to wait for each other.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => File::open(path)?,
            opened => opened?,
        };
        let began = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if began.elapsed() < wait => sleep(PAUSE),
                Err(TryLockError::WouldBlock) => {
                    let what = format!("another process has held {} for {wait:?}", path.display());
                    return Err(io::Error::new(io::ErrorKind::TimedOut, what));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn one_holds_it_and_the_next_waits_no_longer_than_it_may() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = FileLock::take(&path, 0o600).unwrap();
        let refused = FileLock::take_within(&path, 0o600, Duration::from_millis(20)).err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
        drop(held);
        drop(FileLock::take(&path, 0o600).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }
}
