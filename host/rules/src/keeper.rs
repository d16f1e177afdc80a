//! Writes down which versions have proved good.
//!
//! Owns the thread that does, so that no rule thread waits for a disk. Promises that what was told before it is dropped is written then.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::archive::Archive;
use crate::bindings_file::Subject;
use crate::{Pin, Stamp, threads};

/// What may wait to be written: there is one note for each version of a subject.
const NOTES_MAX: usize = 4096;

/// The thread.
pub(crate) struct Keeper {
    notes: Option<SyncSender<Note>>,
    thread: Option<JoinHandle<()>>,
}

/// What to write down.
#[derive(Debug)]
pub(crate) enum Note {
    /// A state has proved good.
    Good(Subject, Stamp),
    /// A state has failed too often to be called so.
    Bad(Subject, Pin),
}

impl Keeper {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(crate) fn start(archive: Arc<Archive>) -> io::Result<Self> {
        let (notes, told) = sync_channel(NOTES_MAX);
        let thread = threads::start("rules-keeper".to_owned(), move || write(&archive, &told))?;
        Ok(Self { notes: Some(notes), thread: Some(thread) })
    }

    /// Has something written down, without waiting. False: too much waits already, and it is not.
    pub(crate) fn tell(&self, note: Note) -> bool {
        self.notes.as_ref().is_some_and(|notes| notes.try_send(note).is_ok())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.notes = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by its hook.
            drop(thread.join());
        }
    }
}

fn write(archive: &Archive, told: &Receiver<Note>) {
    while let Ok(note) = told.recv() {
        let (subject, written) = match &note {
            Note::Good(subject, stamp) => (subject, archive.change_history(subject, |history| history.praise(stamp))),
            Note::Bad(subject, pin) => (subject, archive.change_history(subject, |history| history.blame(*pin))),
        };
        if let Err(error) = written {
            tracing::warn!(enterprise.id = %subject, %error, "which version is good could not be kept for the next start");
        }
    }
}
