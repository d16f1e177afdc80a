//! The one place where this crate starts threads.
//!
//! Promises that each thread has a name and the stack a component may need. Never starts a task of the async runtime; the work
//! here is computation that would hold up others.

use std::io;
use std::thread::{Builder, JoinHandle};

use tokio::sync::oneshot;

/// Stack of a thread that runs components, in bytes: the 512 KiB a component may use and ample room for the host beneath it.
const STACK_BYTES: usize = 4 * 1024 * 1024;

/// Starts a named thread.
///
/// # Errors
/// The system has no thread left.
pub(crate) fn start(name: String, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name).stack_size(STACK_BYTES).spawn(work)
}

/// Does long work on a thread of its own, while the caller waits without holding up its own thread.
///
/// The work goes on to its end if the caller stops waiting.
///
/// # Errors
/// The system has no thread left, or the work panicked.
pub(crate) async fn aside<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (answer, wait) = oneshot::channel();
    start(name.to_owned(), move || {
        // Nobody waiting any more is no failure of the work.
        drop(answer.send(work()));
    })?;
    wait.await.map_err(|_| io::Error::other(format!("the thread {name:?} panicked")))
}
