//! The part of WASI that standard libraries cannot do without, denied as far as the contract allows.
//!
//! Owns what a component sees of the world: an empty environment, clocks that stand at the event's `now`, random numbers that
//! follow from the event's seed, standard output that goes to the log. There is no resource table and no async runtime behind it,
//! so no call here can wait. Files and sockets are not here at all: a component that imports them is refused when it is loaded.

mod cli;
mod clocks;
mod io;
mod random;

use wasmtime::component::{HasSelf, Linker};

use crate::LogLevel;
use crate::bindings::subset::wasi;
use crate::instance::State;

pub(crate) use io::Stdio;
pub(crate) use random::Random;

/// WASI 0.2 is the series we answer.
pub(crate) const MINOR: u64 = 2;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasi::io::error::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wasi::io::poll::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wasi::io::streams::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wasi::cli::environment::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wasi::cli::exit::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wasi::cli::stdin::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wasi::cli::stdout::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wasi::cli::stderr::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wasi::cli::terminal_input::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wasi::cli::terminal_output::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wasi::cli::terminal_stdin::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wasi::cli::terminal_stdout::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wasi::cli::terminal_stderr::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wasi::clocks::monotonic_clock::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wasi::clocks::wall_clock::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wasi::random::random::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wasi::random::insecure::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wasi::random::insecure_seed::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

/// What a write to a stream is in the log.
fn level(stream: io::Stream) -> LogLevel {
    match stream {
        io::Stream::Out => LogLevel::Info,
        io::Stream::Err => LogLevel::Warn,
    }
}
