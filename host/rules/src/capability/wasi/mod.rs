//! The part of WASI that standard libraries cannot do without, denied as far as the contract allows.
//!
//! Owns the choice of what is linked of `wasmtime-wasi`, interface by interface, and what a component sees through it: an empty
//! environment, clocks that stand at the event's `now`, random numbers that follow from the event's seed, standard output that goes
//! to the log. Promises that no call here waits, and that a component which asks nothing of WASI pays nothing for it. Files and
//! sockets are not linked at all: a component that imports them is refused when it is loaded.

mod clocks;
mod io;
mod stdio;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliCtxView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksCtxView};
use wasmtime_wasi::p2::bindings::sync::io::{poll, streams};
use wasmtime_wasi::p2::bindings::{cli, clocks as wasi_clocks, random};
use wasmtime_wasi::random::{WasiRandom, WasiRandomCtx};
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxBuilder};
use wasmtime_wasi_io::bindings::wasi::io::error;

use self::clocks::{Frozen, Standing};
use self::io::{AtOnce, Io, Table};
use self::stdio::Printer;
use crate::capability::log::{Log, Stream};
use crate::instance::State;

/// WASI 0.2 is the series we answer.
pub(crate) const MINOR: u64 = 2;

/// Most random bytes one call may ask for.
const RANDOM_BYTES_MAX: u64 = 64 * 1024;

/// Most resources the host keeps for one evaluation. A handle of the component stands for two at most.
const RESOURCES_MAX: usize = 2 * crate::limits::HANDLES_MAX;

/// What WASI's functions work on in one evaluation.
pub(crate) struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
}

impl Wasi {
    /// A world for one evaluation, all of it from the event.
    pub(crate) fn new(seed: u32, now_ms: u64, log: &Log) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed.into());
        let ctx = WasiCtxBuilder::new()
            .stdout(Printer::new(Stream::Out, log.clone()))
            .stderr(Printer::new(Stream::Err, log.clone()))
            .wall_clock(Frozen { now_ms })
            .monotonic_clock(Frozen { now_ms })
            .insecure_random_seed(random.random())
            .insecure_random(ChaCha8Rng::from_rng(&mut random))
            .secure_random(random)
            .max_random_size(RANDOM_BYTES_MAX)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        Self { ctx, table }
    }

    fn cli(&mut self) -> WasiCliCtxView<'_> {
        WasiCliCtxView { ctx: self.ctx.cli(), table: &mut self.table }
    }

    fn clocks(&mut self) -> WasiClocksCtxView<'_> {
        WasiClocksCtxView { ctx: self.ctx.clocks(), table: &mut self.table }
    }

    fn random(&mut self) -> &mut WasiRandomCtx {
        self.ctx.random()
    }
}

/// Whether an evaluation ended because the component called `exit`.
pub(crate) fn is_exit(error: &wasmtime::Error) -> bool {
    error.is::<I32Exit>()
}

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    error::add_to_linker::<_, Table>(linker, |state| &mut state.wasi().table)?;
    poll::add_to_linker::<_, Io>(linker, |state| AtOnce(&mut state.wasi().table))?;
    streams::add_to_linker::<_, Io>(linker, |state| AtOnce(&mut state.wasi().table))?;
    cli::environment::add_to_linker::<_, WasiCli>(linker, |state| state.wasi().cli())?;
    cli::exit::add_to_linker::<_, WasiCli>(linker, |state| state.wasi().cli())?;
    cli::stdin::add_to_linker::<_, WasiCli>(linker, |state| state.wasi().cli())?;
    cli::stdout::add_to_linker::<_, WasiCli>(linker, |state| state.wasi().cli())?;
    cli::stderr::add_to_linker::<_, WasiCli>(linker, |state| state.wasi().cli())?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(linker, |state| state.wasi().cli())?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(linker, |state| state.wasi().cli())?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(linker, |state| state.wasi().cli())?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(linker, |state| state.wasi().cli())?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(linker, |state| state.wasi().cli())?;
    wasi_clocks::wall_clock::add_to_linker::<_, WasiClocks>(linker, |state| state.wasi().clocks())?;
    wasi_clocks::monotonic_clock::add_to_linker::<_, clocks::Clock>(linker, |state| Standing(state.wasi().clocks()))?;
    random::random::add_to_linker::<_, WasiRandom>(linker, |state| state.wasi().random())?;
    random::insecure::add_to_linker::<_, WasiRandom>(linker, |state| state.wasi().random())?;
    random::insecure_seed::add_to_linker::<_, WasiRandom>(linker, |state| state.wasi().random())
}
