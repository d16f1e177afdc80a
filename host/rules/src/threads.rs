//! The one place where this crate starts threads.
//!
//! Promises that each thread has a name and the stack a component may need. Never starts a task of the async runtime; the work
//! here is computation that would hold up others.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Builder, JoinHandle};

use tokio::sync::oneshot;

/// Stack of a thread that runs components, in bytes: the 512 KiB a component may use and ample room for the host beneath it.
const STACK_BYTES: usize = 4 * 1024 * 1024;

/// Threads that share work, the caller's among them.
const SHARING_MAX: usize = 4;

/// Pieces of work for which another thread is worth its start.
const PIECES_MIN: usize = 8;

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

/// Does work for each of some things, on this thread and, where they are many, on one more for each other core. The answers come in the
/// order of the things. Where the system has no thread left, this one does it all.
pub(crate) fn each<T: Sync, U: Send>(name: &str, things: &[T], work: impl Fn(&T) -> U + Sync) -> Vec<U> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let sharing = cores.min(SHARING_MAX).min(things.len() / PIECES_MIN);
    let next = AtomicUsize::new(0);
    let take_turns = || {
        let mut done = Vec::new();
        while let Some(at) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < things.len()) {
            done.push((at, work(&things[at])));
        }
        done
    };
    let mut done: Vec<(usize, U)> = thread::scope(|scope| {
        let started = (1..sharing).map(|number| {
            Builder::new().name(format!("{name}-{number}")).stack_size(STACK_BYTES).spawn_scoped(scope, take_turns)
        });
        let started: Vec<_> = started.map_while(Result::ok).collect();
        let mut done = take_turns();
        for thread in started {
            done.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn answers_come_in_the_order_of_the_things_whoever_did_the_work() {
        for count in [0, 1, 7, 8, 100] {
            let things: Vec<usize> = (0..count).collect();
            assert_eq!(each("test", &things, |thing| thing * 2), things.iter().map(|it| it * 2).collect::<Vec<_>>());
        }
    }

    #[test]
    fn much_work_is_shared_between_cores_and_little_is_not() {
        let threads =
            |count| each("test", &vec![(); count], |()| thread::current().id()).into_iter().collect::<HashSet<_>>();
        assert_eq!(threads(PIECES_MIN), HashSet::from([thread::current().id()]));
        if thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) {
            // Neither gets on without the other.
            let (both, first) = (Barrier::new(2), AtomicUsize::new(0));
            each("test", &[(); PIECES_MIN * 2], |()| {
                if first.fetch_add(1, Ordering::Relaxed) < 2 {
                    both.wait();
                }
            });
        }
    }

    #[test]
    #[should_panic(expected = "on purpose")]
    fn a_panic_is_the_callers() {
        each("test", &[0; 100], |_| panic!("on purpose"));
    }
}
