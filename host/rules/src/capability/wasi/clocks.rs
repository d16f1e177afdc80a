//! Clocks that stand at the event's `now`, so that the same event always gives the same answer.

use wasmtime::component::Resource;

use super::io::pollable;
use crate::bindings::subset::wasi::clocks::{monotonic_clock, wall_clock};
use crate::bindings::subset::wasi::io::poll::Pollable;
use crate::instance::State;

const NANOS_PER_MILLI: u64 = 1_000_000;
const MILLIS_PER_SECOND: u64 = 1000;

/// What both clocks call their grain: `now` has whole milliseconds.
const RESOLUTION_NANOS: u64 = NANOS_PER_MILLI;

impl wall_clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let seconds = self.now_ms / MILLIS_PER_SECOND;
        let nanoseconds = u32::try_from(self.now_ms % MILLIS_PER_SECOND * NANOS_PER_MILLI)?;
        Ok(wall_clock::Datetime { seconds, nanoseconds })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: u32::try_from(RESOLUTION_NANOS)? })
    }
}

impl monotonic_clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.now_ms.saturating_mul(NANOS_PER_MILLI))
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(RESOLUTION_NANOS)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<Pollable>> {
        Ok(pollable(when <= monotonic_clock::Host::now(self)?))
    }

    fn subscribe_duration(&mut self, when: u64) -> wasmtime::Result<Resource<Pollable>> {
        Ok(pollable(when == 0))
    }
}
