//! Back to the version before, at once.
//!
//! Owns the order of a roll-back: that the choice can be written is made sure of first, then the version before decides, then the choice
//! is put where every process and every later start finds it. Waits for no reload, however long that compiles. What was rolled back from
//! stays ready, for the roll-back to be undone.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Inner, Runtime};
use crate::bindings_file::Subject;
use crate::file_lock::FileLock;
use crate::lock_file::{self, Draft, LOCK_FILE, Lock, Locked};
use crate::report::{Hinted, Report};
use crate::scan::component_path;
use crate::set::{Bound, Running, Set};
use crate::{BindingState, Digest, Stamp, clock, threads};

/// What was rolled back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledBack {
    /// What does not decide any more.
    pub from: Stamp,
    /// What decides now.
    pub to: Stamp,
}

/// Why nothing was rolled back.
#[derive(Debug, Error)]
pub enum RollbackError {
    /// The enterprise is bound to nothing.
    #[error("{0} has no binding of its own")]
    NotBound(Subject),
    /// Nothing runs, so there is nothing to go back from.
    #[error("nothing runs for {0}")]
    NothingRuns(Subject),
    /// Nothing else was good before.
    #[error("no version of {0} was in use before the one that runs")]
    NoPrevious(Subject),
    /// That has been done.
    #[error("{0} is rolled back already, from {1}")]
    Already(Subject, String),
    /// That has not been done.
    #[error("{0} is not rolled back")]
    NotRolledBack(Subject),
    /// The choice would be lost.
    #[error("{} cannot be written, so the choice would not survive a restart", .path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What is to decide would not survive a restart, nor reach another process.
    #[error("the component of {0} is not kept any more, so the choice would not survive a restart")]
    ComponentLost(Stamp),
    /// The file there cannot be read, and must not be overwritten.
    #[error("{0}")]
    Unreadable(Hinted),
}

impl Runtime {
    /// Lets what ran before decide again, in place of what lies in the directory, until something else lies there. Takes effect at once
    /// in this process, in the others that share the directory when they see the file, and survives restarts.
    ///
    /// # Errors
    /// There is nothing to go back to, or the choice cannot be written; then nothing has changed.
    ///
    /// Cancellation safe: what was begun is finished.
    pub async fn rollback(&self, subject: &Subject) -> Result<RolledBack, RollbackError> {
        let (inner, subject) = (self.inner.clone(), subject.clone());
        threads::aside("rules-rollback", move || inner.rollback(&subject)).await.unwrap_or_else(|source| {
            Err(RollbackError::Unwritable { path: self.inner.options.plugins_dir.join(LOCK_FILE), source })
        })
    }

    /// Takes a roll-back back: what lies in the directory decides again.
    ///
    /// # Errors
    /// It is not rolled back, or the file cannot be written; then nothing has changed.
    pub async fn undo_rollback(&self, subject: &Subject) -> Result<Report, RollbackError> {
        self.inner.undo(subject)?;
        Ok(self.reconcile().await)
    }
}

impl Inner {
    fn rollback(&self, subject: &Subject) -> Result<RolledBack, RollbackError> {
        let _turn = self.turn()?;
        loop {
            let before = self.set.load_full();
            let (from, to) = self.way_back(&before, subject)?;
            let rolled = RolledBack { from: from.stamp().clone(), to: to.stamp().clone() };
            let mut lock = self.lock_on_disk()?;
            let config = Some(to.entry.config.json().to_owned());
            let locked = Locked { at: clock::now_text(), from: rolled.from.clone(), to: rolled.to.clone(), config };
            lock.enterprises.insert(subject.clone(), locked);
            let draft = Draft::write(&self.options.plugins_dir, &lock).map_err(|source| self.unwritable(source))?;
            self.put_component(&lock, &rolled.to)?;
            let after = Arc::new(rolled_back(&before, subject, from, to, lock.clone()));
            let put = || draft.put().map_err(|source| self.unwritable(source));
            if self.publish_with(&before, &after, put)? {
                self.outlast(&draft, subject, &rolled);
                return Ok(rolled);
            }
        }
    }

    /// What runs, and what is to run instead.
    fn way_back(&self, set: &Set, subject: &Subject) -> Result<(Running, Running), RollbackError> {
        let bound = set.bindings.get(subject).ok_or_else(|| RollbackError::NotBound(subject.clone()))?;
        if let BindingState::RolledBack { from } = &bound.binding.state {
            return Err(RollbackError::Already(subject.clone(), from.clone()));
        }
        let from = bound.running.clone().ok_or_else(|| RollbackError::NothingRuns(subject.clone()))?;
        let to = bound.last_good.clone();
        let to = to.ok_or_else(|| RollbackError::NoPrevious(subject.clone()))?;
        // Limits, grants and policy are those in force: they are the operator's, not the version's.
        let mut to = to.under(&from.entry);
        to.since = clock::now();
        Ok((from, to))
    }

    fn undo(&self, subject: &Subject) -> Result<(), RollbackError> {
        let _turn = self.turn()?;
        let mut lock = self.lock_on_disk()?;
        if lock.enterprises.remove(subject).is_none() {
            return Err(RollbackError::NotRolledBack(subject.clone()));
        }
        let written = Draft::write(&self.options.plugins_dir, &lock).and_then(|draft| {
            draft.put()?;
            draft.flush()
        });
        written.map_err(|source| self.unwritable(source))
    }

    fn lock_on_disk(&self) -> Result<Lock, RollbackError> {
        lock_file::read(&self.options.plugins_dir).map(Option::unwrap_or_default).map_err(RollbackError::Unreadable)
    }

    fn turn(&self) -> Result<FileLock, RollbackError> {
        lock_file::turn(&self.options.plugins_dir).map_err(|source| self.unwritable(source))
    }

    /// Puts the component where the other processes and the next start find it.
    fn put_component(&self, lock: &Lock, to: &Stamp) -> Result<(), RollbackError> {
        let dir = &self.options.plugins_dir;
        let wasm = lock_file::component(dir, to.digest)
            .or_else(|| self.archive.component_of(to))
            .or_else(|| self.archive.component(to.digest).map(|kept| kept.wasm))
            // Where only the config is rolled back, it lies there.
            .or_else(|| fs::read(component_path(dir, &to.plugin)).ok().filter(|it| Digest::of(it) == to.digest))
            .ok_or_else(|| RollbackError::ComponentLost(to.clone()))?;
        lock_file::put_component(dir, lock, to.digest, &wasm).map_err(|source| self.unwritable(source))
    }

    /// Replaces the set, and takes that back where `then` fails. A reload that ends meanwhile waits, so it sees both or neither.
    fn publish_with(
        &self,
        before: &Arc<Set>,
        after: &Arc<Set>,
        then: impl FnOnce() -> Result<(), RollbackError>,
    ) -> Result<bool, RollbackError> {
        let _one_at_a_time = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(before, &self.set.load()) {
            return Ok(false);
        }
        self.put_in_force(after);
        then().inspect_err(|_| self.put_in_force(before))?;
        Ok(true)
    }

    /// What a loss of power must not take away. The choice is in force already, so a failure here is only told.
    fn outlast(&self, draft: &Draft, subject: &Subject, rolled: &RolledBack) {
        let kept = draft.flush().and_then(|()| {
            self.archive.change_history(subject, |history| {
                history.forget(rolled.from.pin());
                history.begin(&rolled.to);
            })
        });
        if let Err(error) = kept {
            tracing::warn!(enterprise.id = %subject, %error, "a roll-back may not survive a loss of power");
        }
        tracing::warn!(enterprise.id = %subject, from = %rolled.from, to = %rolled.to, "rolled back");
    }

    fn unwritable(&self, source: io::Error) -> RollbackError {
        RollbackError::Unwritable { path: self.options.plugins_dir.join(LOCK_FILE), source }
    }
}

fn rolled_back(before: &Set, subject: &Subject, from: Running, to: Running, lock: Lock) -> Set {
    let state = BindingState::RolledBack { from: from.stamp().to_string() };
    let bound = Bound::running(subject.clone(), to, state).with_undo_to(Some(from));
    let mut after = Set { generation: before.generation + 1, lock, ..before.clone() };
    after.bindings.insert(subject.clone(), Arc::new(bound));
    after
}
