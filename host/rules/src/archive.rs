//! The last components and configs that were in use, by digest.
//!
//! Owns what makes a retry or a roll-back possible after a reload or a restart: the bytes a [`Pin`] names, and the states each
//! subject was in. Bounded: beside what a subject's history names, of each plugin and of each subject the four used last are kept.
//! Promises that what comes out is what went in, by its digest; whatever is not, is not there. Components are kept as WebAssembly, never
//! as machine code.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::bindings_file::{Config, Subject};
use crate::file_lock::FileLock;
use crate::history::History;
use crate::{Digest, Stamp, clock, private_file};

/// Components kept of each plugin, and configs kept of each subject, whether a history names them or not.
const KEPT_MAX: usize = 4;

/// Name of the directory for the configs of `*`, which no enterprise can have.
const REST_DIR: &str = "+rest";

/// Files, among the histories, whose locks are the turns to change one: so many that subjects seldom wait for each other.
const LOCK_FILES: u32 = 16;

/// The directory.
pub(crate) struct Archive {
    components: PathBuf,
    configs: PathBuf,
    states: PathBuf,
}

/// A component that was in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptComponent {
    pub(crate) plugin: String,
    pub(crate) version: String,
    pub(crate) wasm: Vec<u8>,
}

impl Archive {
    /// Opens or creates the archive under the cache directory.
    ///
    /// # Errors
    /// It cannot be created.
    pub(crate) fn open(cache_dir: &Path) -> io::Result<Self> {
        let [components, configs, states] = ["components", "configs", "states"].map(|name| cache_dir.join(name));
        let archive = Self { components, configs, states };
        for dir in [&archive.components, &archive.configs, &archive.states] {
            private_file::create_dir(dir)?;
        }
        Ok(archive)
    }

    /// Keeps the component of a state, as the one of its plugin used last. What is there already is only read if its size is not that
    /// many bytes.
    ///
    /// # Errors
    /// The component cannot be read, the disk is full or was made read-only.
    pub(crate) fn keep_component(
        &self,
        stamp: &Stamp,
        bytes: u64,
        read: impl FnOnce() -> io::Result<Vec<u8>>,
    ) -> io::Result<()> {
        keep(&self.component_path(stamp), bytes, read)
    }

    /// Keeps a config, as the one of its subject used last.
    ///
    /// # Errors
    /// The disk is full or was made read-only.
    pub(crate) fn keep_config(&self, subject: &Subject, config: &Config) -> io::Result<()> {
        let json = config.json().as_bytes();
        let path = self.config_dir(subject).join(format!("{}.json", config.hash()));
        keep(&path, u64::try_from(json.len()).unwrap_or(u64::MAX), || Ok(json.to_vec()))
    }

    /// The component of a state.
    pub(crate) fn component_of(&self, stamp: &Stamp) -> Option<Vec<u8>> {
        intact(&self.component_path(stamp), stamp.digest)
    }

    /// The component of that digest, of whichever plugin.
    pub(crate) fn component(&self, digest: Digest) -> Option<KeptComponent> {
        let prefix = format!("{digest}_");
        for plugin in fs::read_dir(&self.components).ok()?.flatten() {
            for file in fs::read_dir(plugin.path()).into_iter().flatten().flatten() {
                let name = file.file_name();
                let version = name.to_str().and_then(|name| name.strip_prefix(&prefix)?.strip_suffix(".wasm"));
                let (Some(version), Some(plugin)) = (version, plugin.file_name().to_str().map(str::to_owned)) else {
                    continue;
                };
                if let Some(wasm) = intact(&file.path(), digest) {
                    return Some(KeptComponent { plugin, version: version.to_owned(), wasm });
                }
            }
        }
        None
    }

    /// The config of that digest, if it was this subject's.
    pub(crate) fn config(&self, subject: &Subject, hash: Digest) -> Option<Config> {
        let json = fs::read_to_string(self.config_dir(subject).join(format!("{hash}.json"))).ok()?;
        Some(Config::from_text(&json)).filter(|config| config.hash() == hash)
    }

    /// Digests of every component kept.
    pub(crate) fn digests(&self) -> Vec<Digest> {
        let plugins = fs::read_dir(&self.components).into_iter().flatten().flatten();
        let files = plugins.flat_map(|plugin| fs::read_dir(plugin.path()).into_iter().flatten().flatten());
        files.filter_map(|file| file.file_name().to_str()?.split_once('_')?.0.parse().ok()).collect()
    }

    /// What ran for a subject.
    pub(crate) fn history(&self, subject: &Subject) -> History {
        let text = fs::read(self.states_path(subject)).ok();
        text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// Changes what is remembered of a subject; what other processes change meanwhile is not lost.
    ///
    /// # Errors
    /// The disk is full or was made read-only, or another process is stuck in the middle of this.
    pub(crate) fn change_history(&self, subject: &Subject, change: impl FnOnce(&mut History)) -> io::Result<()> {
        let _turn = FileLock::take(&self.lock_path(subject), 0o600)?;
        let before = self.history(subject);
        let mut after = before.clone();
        change(&mut after);
        if after == before {
            return Ok(());
        }
        private_file::replace(&self.states_path(subject), &[&serde_json::to_vec(&after)?])
    }

    /// Removes what nobody needs: of each plugin and each subject all but the four used last, and but what is wanted. `wanted` is only
    /// asked for where there are more than four.
    ///
    /// # Errors
    /// A directory cannot be read or written.
    pub(crate) fn tidy(&self, wanted: impl FnOnce() -> HashSet<Digest>) -> io::Result<()> {
        let mut old = Vec::new();
        for kind in [&self.components, &self.configs] {
            for dir in fs::read_dir(kind)? {
                old.extend(all_but_the_latest(&dir?.path())?);
            }
        }
        if old.is_empty() {
            return Ok(());
        }
        let wanted = wanted();
        old.retain(|path| !digest_in(path).is_some_and(|digest| wanted.contains(&digest)));
        old.into_iter().try_for_each(fs::remove_file)
    }

    fn component_path(&self, stamp: &Stamp) -> PathBuf {
        self.components.join(&stamp.plugin).join(format!("{}_{}.wasm", stamp.digest, stamp.version))
    }

    fn states_path(&self, subject: &Subject) -> PathBuf {
        self.states.join(format!("{}.json", dir_name(subject)))
    }

    fn lock_path(&self, subject: &Subject) -> PathBuf {
        let sum: u32 = dir_name(subject).bytes().map(u32::from).sum();
        self.states.join(format!(".{}.lock", sum % LOCK_FILES))
    }

    fn config_dir(&self, subject: &Subject) -> PathBuf {
        self.configs.join(dir_name(subject))
    }
}

fn dir_name(subject: &Subject) -> &str {
    match subject {
        Subject::Enterprise(id) => id.as_str(),
        Subject::Rest => REST_DIR,
    }
}

fn keep(path: &Path, bytes: u64, read: impl FnOnce() -> io::Result<Vec<u8>>) -> io::Result<()> {
    if let Ok(file) = File::options().write(true).open(path)
        && file.metadata()?.len() == bytes
    {
        return file.set_modified(clock::now());
    }
    if let Some(dir) = path.parent() {
        private_file::create_dir(dir)?;
    }
    private_file::replace(path, &[&read()?])
}

/// A file whose name tells its digest, if it is whole. One that is damaged is removed, so that it is kept anew the next time it is used.
fn intact(path: &Path, digest: Digest) -> Option<Vec<u8>> {
    let bytes = fs::read(path).ok()?;
    if Digest::of(&bytes) == digest {
        return Some(bytes);
    }
    tracing::warn!(path = %path.display(), "a component that was kept is damaged; it is removed");
    // Where it cannot be removed it is as good as not there.
    drop(fs::remove_file(path));
    None
}

fn all_but_the_latest(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        // Another process may be tidying as well.
        let Ok(modified) = entry.metadata().and_then(|it| it.modified()) else { continue };
        files.push((modified, entry.path()));
    }
    files.sort_by(|a, b| b.cmp(a));
    Ok(files.into_iter().skip(KEPT_MAX).map(|(_, path)| path).collect())
}

/// The digest in the name of a component or a config.
fn digest_in(path: &Path) -> Option<Digest> {
    let name = path.file_name()?.to_str()?;
    name.split(['_', '.']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn archive() -> (tempfile::TempDir, Archive) {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::open(dir.path()).unwrap();
        (dir, archive)
    }

    fn stamp(wasm: &[u8], version: &str) -> Stamp {
        let (plugin, version) = ("p".to_owned(), version.to_owned());
        Stamp { plugin, version, digest: Digest::of(wasm), config_hash: Digest::of(b"{}") }
    }

    fn keep(archive: &Archive, wasm: &[u8], version: &str) -> Digest {
        let stamp = stamp(wasm, version);
        archive.keep_component(&stamp, wasm.len() as u64, || Ok(wasm.to_vec())).unwrap();
        stamp.digest
    }

    fn keep_aged(archive: &Archive, wasm: &[u8], age_s: u64) -> Digest {
        let digest = keep(archive, wasm, "1.0.0");
        let file = File::options().write(true).open(archive.component_path(&stamp(wasm, "1.0.0"))).unwrap();
        file.set_modified(clock::now() - Duration::from_secs(age_s)).unwrap();
        digest
    }

    #[test]
    fn what_was_kept_is_found_by_digest() {
        let (_dir, archive) = archive();
        let digest = keep(&archive, b"wasm", "1.2.3-rc.1+b_2");
        let want =
            KeptComponent { plugin: "p".to_owned(), version: "1.2.3-rc.1+b_2".to_owned(), wasm: b"wasm".to_vec() };
        assert_eq!(archive.component(digest), Some(want));
        assert_eq!(archive.digests(), [digest]);
        assert_eq!(archive.component(Digest::of(b"other")), None);
    }

    #[test]
    fn the_least_recent_of_five_is_removed_unless_it_is_wanted() {
        let (_dir, archive) = archive();
        let old: Vec<_> = (0_u8..4).map(|n| keep_aged(&archive, &[n], 100 - u64::from(n))).collect();
        keep(&archive, &[0], "1.0.0");
        archive.tidy(|| panic!("there are only four")).unwrap();
        let new = keep_aged(&archive, b"new", 0);
        archive.tidy(|| HashSet::from([old[1]])).unwrap();
        assert!([old[0], old[1], old[2], old[3], new].into_iter().all(|it| archive.component(it).is_some()));
        archive.tidy(HashSet::new).unwrap();
        for (digest, kept) in [(old[0], true), (old[1], false), (old[2], true), (old[3], true), (new, true)] {
            assert_eq!(archive.component(digest).is_some(), kept, "{digest}");
        }
    }

    #[test]
    fn what_was_changed_on_disk_is_not_there_and_is_kept_anew_when_it_is_used() {
        let (_dir, archive) = archive();
        for damaged in [&b"evil"[..], b"longer than it was"] {
            let digest = keep(&archive, b"good", "1.0.0");
            fs::write(archive.component_path(&stamp(b"good", "1.0.0")), damaged).unwrap();
            assert_eq!(archive.component(digest), None);
            assert_eq!(archive.component_of(&stamp(b"good", "1.0.0")), None);
            keep(&archive, b"good", "1.0.0");
            assert_eq!(archive.component_of(&stamp(b"good", "1.0.0")).as_deref(), Some(&b"good"[..]));
        }
    }

    #[test]
    fn a_damaged_copy_does_not_hide_a_good_one() {
        let (_dir, archive) = archive();
        let digest = keep(&archive, b"good", "1.0.0");
        keep(&archive, b"good", "2.0.0");
        for version in ["1.0.0", "2.0.0"] {
            let path = archive.component_path(&stamp(b"good", version));
            fs::write(&path, b"evil").unwrap();
            assert!(archive.component(digest).is_some(), "the other one is whole");
            keep(&archive, b"good", version);
        }
    }

    #[test]
    fn the_history_of_a_subject_is_kept_and_many_who_change_it_at_once_lose_nothing() {
        let (_dir, archive) = archive();
        let stamps: Vec<Stamp> = (0_u8..4).map(|n| stamp(&[n], &format!("{n}.0.0"))).collect();
        std::thread::scope(|scope| {
            for stamp in &stamps {
                let archive = &archive;
                scope.spawn(move || archive.change_history(&Subject::Rest, |history| history.praise(stamp)).unwrap());
            }
        });
        let history = archive.history(&Subject::Rest);
        assert!(stamps.iter().all(|stamp| history.is_good(stamp.pin())), "{history:?}");
        assert_eq!(archive.history(&Subject::Enterprise("e".parse().unwrap())), History::default());
    }

    #[test]
    fn a_config_is_found_by_its_own_subject_only() {
        let (_dir, archive) = archive();
        let (one, config) = (Subject::Enterprise("e".parse().unwrap()), Config::from_text(r#"{"a":1}"#));
        archive.keep_config(&one, &config).unwrap();
        assert_eq!(archive.config(&one, config.hash()), Some(config.clone()));
        assert_eq!(archive.config(&Subject::Rest, config.hash()), None);
    }
}
