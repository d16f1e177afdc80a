//! The last components and configs that were in use, by digest.
//!
//! Owns what makes a retry or a roll-back possible after a reload or a restart: the bytes a [`Pin`] names, and the states each
//! subject was in. Bounded: of each plugin and of each subject the four used last are kept. Promises that what comes out is what went in, by its digest; whatever is not, is
//! not there. Components are kept as WebAssembly, never as machine code.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::bindings_file::{Config, Subject};
use crate::{Digest, Pin, Stamp, clock, private_file};

/// Components kept of each plugin, and configs kept of each subject.
const KEPT_MAX: usize = 4;

/// Name of the directory for the configs of `*`, which no enterprise can have.
const REST_DIR: &str = "+rest";

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

    /// Keeps a component, as the one of its plugin used last. Its bytes are asked for where they are not there yet.
    ///
    /// # Errors
    /// The disk is full or was made read-only.
    pub(crate) fn keep_component(
        &self,
        plugin: &str,
        version: &str,
        digest: Digest,
        wasm: impl FnOnce() -> io::Result<Vec<u8>>,
    ) -> io::Result<()> {
        keep(&self.components.join(plugin), &format!("{digest}_{version}.wasm"), wasm)
    }

    /// Keeps a config, as the one of its subject used last.
    ///
    /// # Errors
    /// As [`Archive::keep_component`].
    pub(crate) fn keep_config(&self, subject: &Subject, config: &Config) -> io::Result<()> {
        keep(&self.config_dir(subject), &format!("{}.json", config.hash()), || Ok(config.json().into()))
    }

    /// The component of that digest, of whichever plugin.
    pub(crate) fn component(&self, digest: Digest) -> Option<KeptComponent> {
        let prefix = format!("{digest}_");
        for plugin in fs::read_dir(&self.components).ok()?.flatten() {
            for file in fs::read_dir(plugin.path()).into_iter().flatten().flatten() {
                let name = file.file_name();
                let version = name.to_str().and_then(|name| name.strip_prefix(&prefix)?.strip_suffix(".wasm"));
                if let (Some(version), Some(plugin)) = (version, plugin.file_name().to_str()) {
                    let wasm = fs::read(file.path()).ok().filter(|wasm| Digest::of(wasm) == digest)?;
                    return Some(KeptComponent { plugin: plugin.to_owned(), version: version.to_owned(), wasm });
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

    /// The states a subject was in and that were good, the last one first.
    pub(crate) fn states(&self, subject: &Subject) -> Vec<Stamp> {
        let text = fs::read(self.states_path(subject)).ok();
        text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// Remembers a state, as the subject's last one.
    ///
    /// # Errors
    /// As [`Archive::keep_component`].
    pub(crate) fn keep_state(&self, subject: &Subject, stamp: &Stamp) -> io::Result<()> {
        let states = self.states(subject);
        if states.first() == Some(stamp) {
            return Ok(());
        }
        let others = states.into_iter().filter(|other| other.pin() != stamp.pin());
        self.write_states(subject, &[stamp.clone()].into_iter().chain(others).take(KEPT_MAX).collect::<Vec<_>>())
    }

    /// Forgets a state that turned out not to be good.
    ///
    /// # Errors
    /// As [`Archive::keep_component`].
    pub(crate) fn forget_state(&self, subject: &Subject, pin: Pin) -> io::Result<()> {
        let states = self.states(subject).into_iter().filter(|state| state.pin() != pin);
        self.write_states(subject, &states.collect::<Vec<_>>())
    }

    fn write_states(&self, subject: &Subject, states: &[Stamp]) -> io::Result<()> {
        private_file::replace(&self.states_path(subject), &[&serde_json::to_vec(states)?])
    }

    fn states_path(&self, subject: &Subject) -> PathBuf {
        self.states.join(format!("{}.json", dir_name(subject)))
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

fn keep(dir: &Path, name: &str, bytes: impl FnOnce() -> io::Result<Vec<u8>>) -> io::Result<()> {
    let path = dir.join(name);
    if let Ok(file) = File::options().write(true).open(&path) {
        return file.set_modified(clock::now());
    }
    private_file::create_dir(dir)?;
    private_file::replace(&path, &[&bytes()?])?;
    remove_least_recent(dir)
}

fn remove_least_recent(dir: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        files.push((entry.metadata()?.modified().unwrap_or(SystemTime::UNIX_EPOCH), entry.path()));
    }
    files.sort_by(|a, b| b.cmp(a));
    files.into_iter().skip(KEPT_MAX).try_for_each(|(_, path)| fs::remove_file(path))
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

    fn keep_aged(archive: &Archive, wasm: &[u8], age_s: u64) -> Digest {
        let digest = Digest::of(wasm);
        archive.keep_component("p", "1.0.0", digest, || Ok(wasm.to_vec())).unwrap();
        let path = archive.components.join("p").join(format!("{digest}_1.0.0.wasm"));
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(clock::now() - Duration::from_secs(age_s)).unwrap();
        digest
    }

    #[test]
    fn what_was_kept_is_found_by_digest() {
        let (_dir, archive) = archive();
        let digest = Digest::of(b"wasm");
        archive.keep_component("p", "1.2.3-rc.1+b_2", digest, || Ok(b"wasm".to_vec())).unwrap();
        let want =
            KeptComponent { plugin: "p".to_owned(), version: "1.2.3-rc.1+b_2".to_owned(), wasm: b"wasm".to_vec() };
        assert_eq!(archive.component(digest), Some(want));
        assert_eq!(archive.digests(), [digest]);
        assert_eq!(archive.component(Digest::of(b"other")), None);
    }

    #[test]
    fn the_least_recent_of_five_is_removed() {
        let (_dir, archive) = archive();
        let old: Vec<_> = (0_u8..4).map(|n| keep_aged(&archive, &[n], 100 - u64::from(n))).collect();
        archive.keep_component("p", "1.0.0", old[0], || unreachable!("it is there")).unwrap();
        let new = keep_aged(&archive, b"new", 0);
        for (digest, kept) in [(old[0], true), (old[1], false), (old[2], true), (old[3], true), (new, true)] {
            assert_eq!(archive.component(digest).is_some(), kept, "{digest}");
        }
    }

    #[test]
    fn what_was_changed_on_disk_is_not_there() {
        let (_dir, archive) = archive();
        let digest = keep_aged(&archive, b"good", 0);
        fs::write(archive.components.join("p").join(format!("{digest}_1.0.0.wasm")), b"evil").unwrap();
        assert_eq!(archive.component(digest), None);
    }

    #[test]
    fn the_last_states_of_a_subject_are_remembered_in_order_and_forgotten_where_they_were_no_good() {
        let (_dir, archive) = archive();
        let stamp = |version: &str| Stamp {
            plugin: "p".to_owned(),
            version: version.to_owned(),
            digest: Digest::of(version.as_bytes()),
            config_hash: Digest::of(b"{}"),
        };
        let versions = || archive.states(&Subject::Rest).into_iter().map(|stamp| stamp.version).collect::<Vec<_>>();
        for version in ["1", "2", "3", "2", "4", "5", "5"] {
            archive.keep_state(&Subject::Rest, &stamp(version)).unwrap();
        }
        assert_eq!(versions(), ["5", "4", "2", "3"]);
        archive.forget_state(&Subject::Rest, stamp("4").pin()).unwrap();
        assert_eq!(versions(), ["5", "2", "3"]);
        assert_eq!(archive.states(&Subject::Enterprise("e".parse().unwrap())), []);
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
