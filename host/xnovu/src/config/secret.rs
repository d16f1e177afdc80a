//! A value that must not be seen, and may change while we run.
//!
//! Owns keys and passwords while the program runs. Whoever needs one asks for it each time, so that a key that was rotated in its file is
//! used without a restart. Never shows one, not even in a debug print.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Time between two looks at the files of secrets.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Largest file taken for a secret, in bytes.
const FILE_BYTES_MAX: usize = 64 * 1024;

/// A secret. Clones are handles of the same one.
#[derive(Clone)]
pub struct Secret(Arc<Shared>);

struct Shared {
    value: RwLock<Arc<str>>,
    version: AtomicU64,
    file: Option<PathBuf>,
}

impl Secret {
    /// Keeps a value from being shown.
    #[must_use]
    pub fn new(value: &str) -> Self {
        Self::with(value, None)
    }

    /// The secret a file holds, without the white space around it.
    ///
    /// # Errors
    /// Why the file cannot serve, in words that do not hold what it holds.
    pub(super) fn of_file(path: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
        Ok(Self::with(&usable(&bytes)?, Some(path.to_owned())))
    }

    fn with(value: &str, file: Option<PathBuf>) -> Self {
        Self(Arc::new(Shared { value: RwLock::new(value.into()), version: AtomicU64::new(0), file }))
    }

    /// The value as it is now, for the one place that sends it. Ask again for each use.
    #[must_use]
    pub fn reveal(&self) -> Arc<str> {
        Arc::clone(&self.0.value.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts its changes. A refusal of a value that has been replaced meanwhile says nothing about the new one.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.0.version.load(Ordering::Acquire)
    }

    /// Replaces the value. Says whether it is another one.
    fn replace(&self, value: &str) -> bool {
        let mut held = self.0.value.write().unwrap_or_else(PoisonError::into_inner);
        if **held == *value {
            return false;
        }
        *held = value.into();
        self.0.version.fetch_add(1, Ordering::Release);
        true
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.reveal() == other.reveal()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a file holds, if it can be a secret: one line of printable ASCII, as every header and URL takes it.
fn usable(bytes: &[u8]) -> Result<String, String> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(format!("is larger than {FILE_BYTES_MAX} bytes"));
    }
    let text = std::str::from_utf8(bytes).map(str::trim).unwrap_or("\u{fffd}");
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Err("holds more than one line of printable ASCII".to_owned());
    }
    Ok(text.to_owned())
}

/// The secrets that stand in files and are asked for at each use.
#[derive(Debug, Clone, Default)]
pub struct SecretFiles(Vec<Watched>);

#[derive(Debug, Clone)]
struct Watched {
    /// The variable that names the file.
    name: String,
    secret: Secret,
    /// Fewest bytes it may have.
    bytes_min: usize,
}

impl SecretFiles {
    pub(super) fn add(&mut self, name: &str, secret: &Secret, bytes_min: usize) {
        self.0.push(Watched { name: name.to_owned(), secret: secret.clone(), bytes_min });
    }

    /// Reads the files again and again until `stop` is cancelled. A file that cannot serve leaves the secret as it was, and is named once.
    pub async fn watch(self, stop: CancellationToken) {
        let mut told: Vec<Option<String>> = vec![None; self.0.len()];
        while !self.0.is_empty() && stop.run_until_cancelled(tokio::time::sleep(LOOK_INTERVAL)).await.is_some() {
            for (watched, told) in self.0.iter().zip(&mut told) {
                let wrong = look(watched).await.err();
                if let Some(wrong) = wrong.as_ref().filter(|wrong| told.as_ref() != Some(*wrong)) {
                    tracing::warn!(
                        setting = watched.name,
                        "the file of a secret {wrong}; what was read before is still used"
                    );
                }
                *told = wrong;
            }
        }
    }
}

async fn look(Watched { name, secret, bytes_min }: &Watched) -> Result<(), String> {
    let Some(path) = &secret.0.file else { return Ok(()) };
    let bytes = tokio::fs::read(path).await.map_err(|error| format!("cannot be read: {error}"))?;
    let value = usable(&bytes)?;
    if value.len() < *bytes_min {
        return Err(format!("holds fewer than {bytes_min} characters"));
    }
    if secret.replace(&value) {
        tracing::info!(setting = name, "a secret was replaced");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_secret_follows_its_file_and_keeps_its_value_while_the_file_cannot_serve() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let write = |text: &str| std::fs::write(file.path(), text).unwrap();
        write("one\n");
        let secret = Secret::of_file(file.path()).unwrap();
        let handle = secret.clone();
        let mut files = SecretFiles::default();
        files.add("XNOVU_ADMIN_TOKEN_FILE", &secret, 3);
        for (text, want, version) in [
            ("two\n", "two", 1),
            ("", "two", 1),
            ("a\nb", "two", 1),
            ("ab", "two", 1),
            ("two", "two", 1),
            ("three", "three", 2),
        ] {
            write(text);
            let watching = files.clone().watch(CancellationToken::new());
            // One look, and the wait after it.
            let _ = tokio::time::timeout(LOOK_INTERVAL * 3 / 2, watching).await;
            assert_eq!((&*handle.reveal(), handle.version()), (want, version), "{text:?}");
        }
        assert!(!format!("{secret:?}{files:?}").contains("three"));
    }

    #[test]
    fn a_file_serves_up_to_its_limit_and_not_beyond() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let of = |size: usize| {
            std::fs::write(file.path(), "x".repeat(size)).unwrap();
            Secret::of_file(file.path())
        };
        assert_eq!(of(FILE_BYTES_MAX).unwrap().reveal().len(), FILE_BYTES_MAX);
        assert!(of(FILE_BYTES_MAX + 1).unwrap_err().contains("larger than"));
    }
}
