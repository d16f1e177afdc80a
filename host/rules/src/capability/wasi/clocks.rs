//! Clocks that stand at the event's `now`, so that the same event always gives the same answer.

use std::future::pending;
use std::time::Duration;

use wasmtime::component::{HasData, Resource};
use wasmtime_wasi::clocks::WasiClocksCtxView;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

const NANOS_PER_MILLI: u64 = 1_000_000;

/// Both clocks: they show `now` and go no further.
pub(super) struct Frozen {
    pub(super) now_ms: u64,
}

impl HostWallClock for Frozen {
    /// `now` has whole milliseconds.
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.now_ms)
    }
}

impl HostMonotonicClock for Frozen {
    fn resolution(&self) -> u64 {
        NANOS_PER_MILLI
    }

    fn now(&self) -> u64 {
        self.now_ms.saturating_mul(NANOS_PER_MILLI)
    }
}

/// For a linker: the monotonic clock with [`Standing`] behind it.
pub(super) struct Clock;

impl HasData for Clock {
    type Data<'a> = Standing<'a>;
}

/// The monotonic clock. The library's own would wait for a real one.
pub(super) struct Standing<'a>(pub(super) WasiClocksCtxView<'a>);

impl Standing<'_> {
    fn moment(&mut self, has_come: bool) -> wasmtime::Result<Resource<DynPollable>> {
        let moment = self.0.table.push(Moment { has_come })?;
        subscribe(self.0.table, moment)
    }
}

impl monotonic_clock::Host for Standing<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        self.0.now()
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        self.0.resolution()
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let has_come = when <= self.now()?;
        self.moment(has_come)
    }

    fn subscribe_duration(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.moment(when == 0)
    }
}

/// A time: here already, or never to come.
struct Moment {
    has_come: bool,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Moment {
    async fn ready(&mut self) {
        if !self.has_come {
            pending().await
        }
    }
}
