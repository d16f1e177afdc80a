//! Who had rules when this machine last ran them.
//!
//! Owns one small file beside the compiled components. It makes the difference between an enterprise that never had rules, whose
//! notifications pass as they are, and one whose `bindings.toml` is missing, not mounted or half written as a process starts: that one is
//! held. Never says what the rules were; that is the archive's.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::bindings_file::Subject;
use crate::private_file;

/// Name of the file in the cache directory.
const FILE: &str = "bound.json";

/// The file.
#[derive(Debug)]
pub(crate) struct Known {
    path: PathBuf,
}

impl Known {
    /// The file of a cache directory.
    pub(crate) fn at(cache_dir: &Path) -> Self {
        Self { path: cache_dir.join(FILE) }
    }

    /// Who had rules; nobody where no process has ever run any.
    ///
    /// # Errors
    /// The file is there and cannot be read, so nobody knows who must be held.
    pub(crate) fn subjects(&self) -> io::Result<BTreeSet<Subject>> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            Err(error) => return Err(self.named(&error)),
        };
        let names: Vec<String> = serde_json::from_slice(&text).map_err(|error| self.named(&error.into()))?;
        let subject = |name: String| name.parse().map_err(|error| self.named(&io::Error::other(error)));
        names.into_iter().map(subject).collect()
    }

    /// Remembers who has rules now.
    ///
    /// # Errors
    /// The disk is full or was made read-only.
    pub(crate) fn keep<'a>(&self, subjects: impl Iterator<Item = &'a Subject>) -> io::Result<()> {
        let names: Vec<_> = subjects.map(ToString::to_string).collect();
        private_file::replace(&self.path, &[&serde_json::to_vec(&names)?])
    }

    fn named(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}; remove it if nobody is bound", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_bound_is_remembered_and_a_file_that_cannot_be_read_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let known = Known::at(dir.path());
        assert_eq!(known.subjects().unwrap(), BTreeSet::new());
        let subjects = BTreeSet::from([Subject::Rest, Subject::Enterprise("e-1".parse().unwrap())]);
        known.keep(subjects.iter()).unwrap();
        assert_eq!(known.subjects().unwrap(), subjects);
        fs::write(dir.path().join(FILE), "[\"e-1").unwrap();
        let error = known.subjects().unwrap_err().to_string();
        assert!(error.contains(FILE) && error.contains("remove it"), "{error}");
    }
}
