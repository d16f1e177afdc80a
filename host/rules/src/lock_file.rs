//! `bindings.lock.toml`: which versions an operator has rolled back from, and to what.
//!
//! Owns the file's form and when an entry holds. Written beside `bindings.toml` by rename, read by every process that shares the
//! directory, so that a choice holds everywhere and survives a restart. An entry says "not this one, that one instead": it holds for as
//! long as what it was rolled back from is what lies there, and ends by itself when another component does. Never names a person.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::bindings_file::{Entry, Subject};
use crate::report::Hinted;
use crate::scan::COMPONENT_BYTES_MAX;
use crate::{Digest, Stamp, plain_file};

/// Name of the file in the plugins' directory.
pub const LOCK_FILE: &str = "bindings.lock.toml";

/// Directory beside it with the components that were rolled back to, so that a machine that never ran one can.
const LOCKED_DIR: &str = ".locked";

/// Largest file read, in bytes.
const BYTES_MAX: u64 = 4 * 1024 * 1024;

const HEAD: &str = "# Written by `xnovu plugin rollback`. An entry holds while what it was rolled back `from` is what lies in the directory.\n\
                    # `xnovu plugin rollback --undo` takes an entry out again.\n\n";

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lock {
    /// By enterprise, or `*`.
    #[serde(default, with = "subjects")]
    pub(crate) enterprises: BTreeMap<Subject, Locked>,
}

/// One choice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Locked {
    /// When, RFC 3339.
    pub(crate) at: String,
    /// What does not decide.
    pub(crate) from: Stamp,
    /// What decides instead.
    pub(crate) to: Stamp,
}

/// What is to run for a subject by an entry of the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rolled {
    /// What the operator has written, with the plugin that is to run.
    pub(crate) entry: Entry,
    /// What does not decide.
    pub(crate) from: Stamp,
    /// What decides instead.
    pub(crate) to: Stamp,
    /// The config it ran with; None where what is written has been edited since and counts.
    pub(crate) config: Option<Digest>,
}

impl Locked {
    /// What is to run for an entry of `bindings.toml` whose plugin's component is this one; None where this choice is over.
    pub(crate) fn holds(&self, entry: &Entry, component: Digest) -> Option<Rolled> {
        if entry.plugin != self.from.plugin || component != self.from.digest {
            return None;
        }
        let config = (entry.config.hash() == self.from.config_hash).then_some(self.to.config_hash);
        if config.is_none() && self.to.digest == self.from.digest {
            // Only the config was rolled back, and that has been edited since.
            return None;
        }
        let entry = Entry { plugin: self.to.plugin.clone(), ..entry.clone() };
        Some(Rolled { entry, from: self.from.clone(), to: self.to.clone(), config })
    }
}

/// Reads the file. None: there is none.
pub(crate) fn read(dir: &Path) -> Result<Option<Lock>, Hinted> {
    let path = dir.join(LOCK_FILE);
    let mut text = String::new();
    let wrong = |what: String| {
        Hinted::new(format!("{}: {what}; what it said last goes on", path.display()))
            .hint("mend the file, or remove it to let every enterprise follow what lies in the directory")
    };
    match plain_file::open(&path).and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text)) {
        Ok(_) => toml::from_str(&text).map(Some).map_err(|error| wrong(error.message().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(wrong(format!("cannot be read: {error}"))),
    }
}

/// The component of that digest that was put beside the lock.
pub(crate) fn component(dir: &Path, digest: Digest) -> Option<Vec<u8>> {
    let mut wasm = Vec::new();
    plain_file::open(&component_path(dir, digest)).ok()?.take(COMPONENT_BYTES_MAX).read_to_end(&mut wasm).ok()?;
    (Digest::of(&wasm) == digest).then_some(wasm)
}

/// Puts a component beside the lock, and removes those no entry names.
///
/// # Errors
/// The directory cannot be written.
pub(crate) fn put_component(dir: &Path, lock: &Lock, digest: Digest, wasm: &[u8]) -> io::Result<()> {
    let locked = dir.join(LOCKED_DIR);
    fs::create_dir_all(&locked)?;
    if component(dir, digest).is_none() {
        let made = locked.join(format!("{digest}-{}.tmp", std::process::id()));
        fs::write(&made, wasm)?;
        fs::rename(&made, component_path(dir, digest))?;
    }
    for entry in fs::read_dir(&locked)?.flatten() {
        let name = entry.file_name();
        let digest: Option<Digest> = name.to_str().and_then(|name| name.strip_suffix(".wasm")?.parse().ok());
        let wanted = digest.is_some_and(|digest| lock.enterprises.values().any(|locked| locked.to.digest == digest));
        if !wanted {
            // Two processes may tidy at once; what is gone is gone.
            drop(fs::remove_file(entry.path()));
        }
    }
    Ok(())
}

fn component_path(dir: &Path, digest: Digest) -> PathBuf {
    dir.join(LOCKED_DIR).join(format!("{digest}.wasm"))
}

/// A new version of the file that is not in its place yet: that it could be made shows that the directory can be written.
pub(crate) struct Draft {
    file: File,
    made: PathBuf,
    path: PathBuf,
}

impl Draft {
    /// Writes the draft beside the place.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub(crate) fn write(dir: &Path, lock: &Lock) -> io::Result<Self> {
        let text = toml::to_string_pretty(lock).map_err(io::Error::other)?;
        let path = dir.join(LOCK_FILE);
        let made = dir.join(format!(".{LOCK_FILE}.{}.tmp", std::process::id()));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&made)?;
        let draft = |file| Self { file, made, path };
        match file.write_all(format!("{HEAD}{text}").as_bytes()) {
            Ok(()) => Ok(draft(file)),
            Err(error) => {
                drop(draft(file));
                Err(error)
            }
        }
    }

    /// Moves it into its place.
    ///
    /// # Errors
    /// The directory cannot be written any more.
    pub(crate) fn put(&self) -> io::Result<()> {
        fs::rename(&self.made, &self.path)
    }

    /// Makes what was put outlive a loss of power.
    ///
    /// # Errors
    /// The disk failed.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.file.sync_all()?;
        self.path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Gone already where it was put.
        drop(fs::remove_file(&self.made));
    }
}

/// Subjects as the keys of a table.
mod subjects {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Locked, Subject};

    pub(super) fn serialize<S: Serializer>(map: &BTreeMap<Subject, Locked>, serializer: S) -> Result<S::Ok, S::Error> {
        let map: BTreeMap<String, &Locked> =
            map.iter().map(|(subject, locked)| (subject.to_string(), locked)).collect();
        map.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Subject, Locked>, D::Error> {
        let map = BTreeMap::<String, Locked>::deserialize(deserializer)?;
        map.into_iter()
            .map(|(subject, locked)| Ok((subject.parse().map_err(serde::de::Error::custom)?, locked)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings_file::Config;
    use crate::{FailurePolicy, Grants, Limits};

    fn stamp(component: &str, config: &str) -> Stamp {
        Stamp {
            plugin: "p".to_owned(),
            version: format!("{}.0.0", component.len()),
            digest: Digest::of(component.as_bytes()),
            config_hash: Digest::of(config.as_bytes()),
        }
    }

    fn locked(from: (&str, &str), to: (&str, &str)) -> Locked {
        Locked { at: "2026-01-01T00:00:00Z".to_owned(), from: stamp(from.0, from.1), to: stamp(to.0, to.1) }
    }

    fn entry(config: &str) -> Entry {
        Entry {
            plugin: "p".to_owned(),
            on_error: FailurePolicy::Hold,
            log_guest: false,
            config: Config::from_text(config),
            limits: Limits::default(),
            grants: Grants::default(),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        let subjects = [Subject::Rest, Subject::Enterprise("e-1".parse().unwrap())];
        let lock = Lock { enterprises: subjects.map(|it| (it, locked(("bad", "{}"), ("good", "{}")))).into() };
        let draft = Draft::write(dir.path(), &lock).unwrap();
        assert_eq!(read(dir.path()).unwrap(), None, "a draft is not there yet");
        draft.put().unwrap();
        draft.flush().unwrap();
        drop(draft);
        assert_eq!(read(dir.path()).unwrap(), Some(lock));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_that_is_wrong_says_where_and_how_to_go_on() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(LOCK_FILE), "[enterprises.e]\nfrom = 1\n").unwrap();
        let wrong = read(dir.path()).unwrap_err();
        assert!(wrong.reason.contains(LOCK_FILE) && wrong.hint.is_some(), "{wrong}");
    }

    #[test]
    fn a_choice_holds_until_another_component_lies_there() {
        let choice = locked(("bad", "{}"), ("good", "{\"old\":1}"));
        let rolled = choice.holds(&entry("{}"), Digest::of(b"bad")).unwrap();
        assert_eq!((rolled.to.digest, rolled.config), (Digest::of(b"good"), Some(Digest::of(b"{\"old\":1}"))));
        assert_eq!(choice.holds(&entry("{}"), Digest::of(b"newer")), None);
        let other = Entry { plugin: "q".to_owned(), ..entry("{}") };
        assert_eq!(choice.holds(&other, Digest::of(b"bad")), None, "bound to another plugin since");
    }

    #[test]
    fn a_config_that_was_edited_since_counts_and_the_component_stays_rolled_back() {
        let choice = locked(("bad", "{}"), ("good", "{\"old\":1}"));
        let rolled = choice.holds(&entry("{\"new\":1}"), Digest::of(b"bad")).unwrap();
        assert_eq!((rolled.to.digest, rolled.config), (Digest::of(b"good"), None));
        let only_config = locked(("same", "{}"), ("same", "{\"old\":1}"));
        assert!(only_config.holds(&entry("{}"), Digest::of(b"same")).is_some());
        assert_eq!(only_config.holds(&entry("{\"new\":1}"), Digest::of(b"same")), None);
    }

    #[test]
    fn a_component_is_kept_beside_the_lock_for_as_long_as_an_entry_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let subject = Subject::Enterprise("e".parse().unwrap());
        let lock = |to| Lock { enterprises: [(subject.clone(), locked(("bad", "{}"), (to, "{}")))].into() };
        put_component(dir.path(), &lock("good"), Digest::of(b"good"), b"good").unwrap();
        assert_eq!(component(dir.path(), Digest::of(b"good")).as_deref(), Some(&b"good"[..]));
        put_component(dir.path(), &lock("better"), Digest::of(b"better"), b"better").unwrap();
        assert_eq!(component(dir.path(), Digest::of(b"good")), None);
        fs::write(component_path(dir.path(), Digest::of(b"better")), "tampered").unwrap();
        assert_eq!(component(dir.path(), Digest::of(b"better")), None);
    }
}
