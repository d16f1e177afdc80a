//! Watches the plugins' directory.
//!
//! Owns the way from a change on disk to "look again": events where the file system sends them, a look at every file's stamp now and
//! then where it does not. An event only says when to look; the stamps say whether anything changed, so no event can mislead and none
//! need arrive. Promises that a change is told once and when it is whole (see [`settling`]), that what is being written puts off nothing else (see
//! [`parts`]), and that nothing is told twice for nothing.
//! Never reads a file and never reloads: whoever holds it does.

mod parts;
mod settling;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use crate::manifest::is_plugin_name;
use crate::scan::{is_watched_file, watched_files};
use crate::stat::FileStamp;
use crate::threads;
use parts::Parts;
use settling::Heard;

/// A look that took its time is not repeated before twenty times that.
const LOOK_SHARE: u32 = 20;

/// A directory that is watched. Dropping it ends the watch.
pub struct Watch {
    told: Arc<Told>,
    stop: Sender<Signal>,
}

/// What the watching thread tells.
#[derive(Default)]
struct Told {
    changes: Notify,
    unsettled: Mutex<BTreeSet<String>>,
}

/// What the watching thread is told.
enum Signal {
    Event(Event),
    Stop,
}

impl Watch {
    /// Watches the directory, which need not exist yet. Its state at the start counts as a change, so nothing is missed between a load
    /// and a watch. `rescan` is the time between two looks where no event calls for one.
    ///
    /// A system without events, or with none left to give, is reported in the log; the looks go on.
    ///
    /// # Errors
    /// The system has no thread left, or the working directory of a relative path is gone.
    pub fn start(dir: &Path, rescan: Duration) -> io::Result<Self> {
        let (stop, signals) = channel();
        let told = Arc::new(Told::default());
        // Events carry the path their directory was watched by, so that has one form.
        let dir = std::path::absolute(dir)?;
        let eyes = Eyes::open(&dir, stop.clone());
        let tells = told.clone();
        threads::start("rules-watch".to_owned(), move || run(&dir, rescan, eyes, &signals, &tells))?;
        Ok(Self { told, stop })
    }

    /// Waits until something has changed since this returned last, and is whole. Changes meanwhile are told together.
    ///
    /// Cancellation safe.
    pub async fn changed(&self) {
        self.told.changes.notified().await;
    }

    /// What has changed and is not whole yet: names of plugins' directories and of files beside them.
    #[must_use]
    pub fn unsettled(&self) -> BTreeSet<String> {
        self.told.unsettled.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // A thread that is gone already needs no word.
        drop(self.stop.send(Signal::Stop));
    }
}

fn run(dir: &Path, rescan: Duration, mut eyes: Eyes, signals: &Receiver<Signal>, told: &Told) {
    let mut parts = Parts::default();
    let mut rescan_at = Instant::now();
    loop {
        let next = parts.next_look().map_or(rescan_at, |look| look.min(rescan_at));
        match signals.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(Signal::Event(event)) => {
                eyes.hear(dir, &event, &mut parts);
                continue;
            }
            Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let started = Instant::now();
        // First the eyes, then the look: what happens in between is seen or heard.
        eyes.follow(dir);
        let seen = watched_files(dir).into_iter().map(|path| (path.clone(), FileStamp::of(&path))).collect();
        let whole = parts.look(dir, seen, Instant::now());
        *told.unsettled.lock().unwrap_or_else(PoisonError::into_inner) = parts.unsettled();
        if whole {
            told.changes.notify_one();
        }
        rescan_at = Instant::now() + rescan.max(started.elapsed() * LOOK_SHARE);
    }
}

/// Where events come from: the directory, those in it, and the one it lies in, for the moment in which it is swapped.
struct Eyes {
    watcher: Option<RecommendedWatcher>,
    /// What is watched, by path, and which directory that was.
    watched: BTreeMap<PathBuf, (u64, u64)>,
    /// Whether it was reported that a directory could not be watched.
    reported: bool,
}

impl Eyes {
    fn open(dir: &Path, signals: Sender<Signal>) -> Self {
        let send = move |event: notify::Result<Event>| {
            // An error says that events were lost. A receiver that is gone needs none.
            let event = event.unwrap_or_else(|_| Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan));
            drop(signals.send(Signal::Event(event)));
        };
        let watcher = notify::recommended_watcher(send)
            .inspect_err(|error| tracing::warn!(dir = %dir.display(), %error, "no events of the file system: changes of plugins are found by looking only"))
            .ok();
        Self { watcher, watched: BTreeMap::new(), reported: false }
    }

    /// Watches the directories there are now and no others.
    fn follow(&mut self, dir: &Path) {
        let Some(watcher) = &mut self.watcher else { return };
        let wanted: BTreeMap<PathBuf, (u64, u64)> = directories(dir)
            .into_iter()
            .filter_map(|path| FileStamp::of(&path).map(|stamp| (path, stamp.identity())))
            .collect();
        self.watched.retain(|path, identity| {
            let stays = wanted.get(path) == Some(identity);
            if !stays {
                // It may be gone, and its watch with it.
                drop(watcher.unwatch(path));
            }
            stays
        });
        for (path, identity) in wanted {
            if self.watched.contains_key(&path) {
                continue;
            }
            match watcher.watch(&path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(path, identity);
                }
                Err(error) if !self.reported && path.is_dir() => {
                    self.reported = true;
                    tracing::warn!(dir = %path.display(), %error, "a directory cannot be watched: its changes are found by looking only");
                }
                Err(_) => {}
            }
        }
    }

    fn hear(&mut self, dir: &Path, event: &Event, parts: &mut Parts) {
        let now = Instant::now();
        if event.need_rescan() {
            parts.hear(Heard::Lost, dir, dir, now);
        }
        for path in &event.paths {
            if matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))) {
                // Whatever appears at that path later is another directory, even with the same number.
                self.watched.remove(path);
            }
            // Of the directory it lies in only the plugins' directory itself matters.
            if !path.starts_with(dir) {
                continue;
            }
            match meaning(&event.kind, path) {
                // What else is written there, an author's notes or a log, may stay open for ever.
                Some(Heard::Writing) if !is_watched_file(dir, path) => {}
                Some(heard) => parts.hear(heard, dir, path, now),
                None => {}
            }
        }
    }
}

/// The directories that tell of changes.
fn directories(dir: &Path) -> Vec<PathBuf> {
    let mut directories: Vec<PathBuf> = dir.parent().into_iter().chain([dir]).map(Path::to_owned).collect();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(is_plugin_name) && entry.path().is_dir() {
            directories.push(entry.path());
        }
    }
    directories
}

/// What an event says, or None where it says nothing: that a file was opened or read.
fn meaning(kind: &EventKind, path: &Path) -> Option<Heard> {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) | EventKind::Remove(_) => Some(Heard::Whole),
        EventKind::Modify(ModifyKind::Name(_)) => Some(Heard::Whole),
        EventKind::Modify(ModifyKind::Metadata(_)) => Some(Heard::Touched),
        EventKind::Modify(_) => Some(Heard::Writing),
        EventKind::Create(CreateKind::Folder) => Some(Heard::Appeared),
        // A link is whole as it is made; a file that was made is about to be written.
        EventKind::Create(_) => {
            let link = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink() || meta.nlink() > 1);
            Some(if link { Heard::Whole } else { Heard::Writing })
        }
        EventKind::Access(_) | EventKind::Any | EventKind::Other => None,
    }
}
