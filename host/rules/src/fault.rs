//! Why one evaluation gave no answer, told from what the engine reports.
//!
//! Owns the words operators read. Promises that a component's own words appear only where its log may be read, and then at most
//! 200 bytes of them.

use wasmtime::{PoolConcurrencyLimitError, Trap};

use crate::capability::wasi::is_exit;
use crate::ruling::guest_words;
use crate::{BrokenKind, Limits};

/// Why an evaluation gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: BrokenKind,
    pub(crate) reason: String,
}

impl Fault {
    pub(crate) fn new(kind: BrokenKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }

    /// What an error of the engine means. `starved`: the last memory the component asked for was refused. `last_words`: the last
    /// line it logged, if its log may be read.
    pub(crate) fn of(error: &wasmtime::Error, limits: &Limits, starved: bool, last_words: Option<&str>) -> Self {
        let trap = error.downcast_ref::<Trap>();
        match trap {
            Some(Trap::OutOfFuel) => {
                Self::new(BrokenKind::Fuel, format!("it used up its fuel of {} (limits.fuel)", limits.fuel))
            }
            Some(Trap::Interrupt) => {
                Self::new(BrokenKind::TimedOut, format!("it ran longer than {} ms (limits.wall_ms)", limits.wall_ms))
            }
            _ if starved => {
                let bytes = limits.memory_bytes;
                Self::new(
                    BrokenKind::Memory,
                    format!("it needs more than {bytes} bytes of memory (limits.memory_bytes)"),
                )
            }
            _ if error.is::<PoolConcurrencyLimitError>() => {
                Self::new(BrokenKind::Overloaded, "too many evaluations run at once")
            }
            _ if is_exit(error) => Self::new(BrokenKind::Trap, "it trapped: it called exit instead of answering"),
            _ if is_copy_limit(error) => {
                let bytes = limits.hostcall_bytes();
                Self::new(BrokenKind::OutputTooLarge, format!("it passed more than {bytes} bytes to the host at once"))
            }
            _ => Self::new(BrokenKind::Trap, trap_reason(&error.root_cause().to_string(), last_words)),
        }
    }
}

fn trap_reason(cause: &str, last_words: Option<&str>) -> String {
    // The engine's text can quote names from the component, so it counts as the component's own.
    let cause = guest_words(cause.strip_prefix("wasm trap: ").unwrap_or(cause));
    match last_words {
        Some(words) => format!("it trapped: {cause}; its last words: {}", guest_words(words)),
        None => format!("it trapped: {cause}"),
    }
}

/// The engine's type for this is private; the pair of output tests fails should its words ever change.
fn is_copy_limit(error: &wasmtime::Error) -> bool {
    error.root_cause().to_string().contains("fuel allocated for hostcalls")
}
