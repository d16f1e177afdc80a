//! What one evaluation may use, each with a unit, a default and a range an operator may choose from.
//!
//! Owns the numbers and the meter that refuses memory. Never enforces time, fuel or sizes itself: `instance` does, with these numbers.

use serde::Serialize;
use thiserror::Error;
use wasmtime::ResourceLimiter;

/// Largest linear memory a binding may grant, in bytes: what a slot of the instance pool can hold.
pub(crate) const MEMORY_BYTES_MAX: u64 = 256 * MIB;

/// Most elements all tables of one component may hold together.
pub(crate) const TABLE_ELEMENTS_MAX: usize = 100_000;

/// Most lines one evaluation may log.
pub(crate) const LOG_LINES_MAX: usize = 64;

/// Most resource handles (WASI streams and the like) alive in one evaluation.
pub(crate) const HANDLES_MAX: usize = 64;

/// Least that one crossing between guest and host may copy, in bytes. Above it the larger of the input and output limit counts.
const HOSTCALL_BYTES_MIN: u64 = 256 * KIB;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// What one evaluation may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Units of work, about one a WebAssembly instruction. The same event always uses the same number.
    pub fuel: u64,
    /// Wall time in milliseconds, instantiation included.
    pub wall_ms: u64,
    /// Linear memory of all instances of the component together, in bytes.
    pub memory_bytes: u64,
    /// Text of the event and the config together, in bytes.
    pub input_bytes: u64,
    /// Text of the answer, in bytes.
    pub output_bytes: u64,
    /// Messages one notification may become.
    pub messages: u64,
    /// Text of the log lines, in bytes. There are at most 64 lines.
    pub log_bytes: u64,
    /// Size of the component's file, in bytes.
    pub component_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel: 10_000_000,
            wall_ms: 20,
            memory_bytes: 32 * MIB,
            input_bytes: 256 * KIB,
            output_bytes: 64 * KIB,
            messages: 100,
            log_bytes: 8 * KIB,
            component_bytes: 4 * MIB,
        }
    }
}

/// A limit that does not exist or lies outside its range.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LimitError {
    /// No limit of that name.
    #[error("there is no such limit; the limits are {}", Limits::NAMES.join(", "))]
    Unknown,
    /// Outside of what may be chosen.
    #[error("must be from {min} to {max}, and is {found}")]
    OutOfRange {
        /// What was asked for.
        found: i64,
        /// The least that may be chosen.
        min: u64,
        /// The most that may be chosen.
        max: u64,
    },
}

impl Limits {
    /// Names of the limits as they stand in `bindings.toml`.
    pub const NAMES: [&str; 8] =
        ["fuel", "wall_ms", "memory_bytes", "input_bytes", "output_bytes", "messages", "log_bytes", "component_bytes"];

    /// Sets the limit of that name.
    ///
    /// # Errors
    /// A name that is none of [`Limits::NAMES`], a number outside its range.
    pub fn set(&mut self, name: &str, found: i64) -> Result<(), LimitError> {
        let (field, min, max) = match name {
            "fuel" => (&mut self.fuel, 10_000, 10_000_000_000),
            "wall_ms" => (&mut self.wall_ms, 1, 10_000),
            "memory_bytes" => (&mut self.memory_bytes, 64 * KIB, MEMORY_BYTES_MAX),
            "input_bytes" => (&mut self.input_bytes, KIB, 16 * MIB),
            "output_bytes" => (&mut self.output_bytes, KIB, 16 * MIB),
            "messages" => (&mut self.messages, 1, 10_000),
            "log_bytes" => (&mut self.log_bytes, 0, MIB),
            "component_bytes" => (&mut self.component_bytes, KIB, 64 * MIB),
            _ => return Err(LimitError::Unknown),
        };
        match u64::try_from(found) {
            Ok(number) if (min..=max).contains(&number) => {
                *field = number;
                Ok(())
            }
            _ => Err(LimitError::OutOfRange { found, min, max }),
        }
    }

    /// Bytes one crossing between guest and host may copy. Wide enough that an answer just over its limit is still read and
    /// reported with its size, narrow enough that a flood is refused before it is copied.
    pub(crate) fn hostcall_bytes(&self) -> usize {
        // Lists of strings and records cost more on the way than their text does.
        let bytes = self.input_bytes.max(self.output_bytes).saturating_mul(4).max(HOSTCALL_BYTES_MIN);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }
}

/// Counts the memory and the tables of one store and refuses what exceeds the limit.
#[derive(Debug)]
pub(crate) struct Meter {
    memory_bytes_left: u64,
    memory_bytes_granted: u64,
    table_elements_left: usize,
    refused: bool,
}

impl Meter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            memory_bytes_left: limits.memory_bytes,
            memory_bytes_granted: 0,
            table_elements_left: TABLE_ELEMENTS_MAX,
            refused: false,
        }
    }

    /// Linear memory that was granted, in bytes. Memory is never given back, so this is also the most there was.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory_bytes_granted
    }

    /// Whether the last thing asked for was refused: then a trap that follows is most likely the guest giving up for want of memory.
    pub(crate) fn refused(&self) -> bool {
        self.refused
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let more = u64::try_from(desired.saturating_sub(current)).unwrap_or(u64::MAX);
        let left = self.memory_bytes_left.checked_sub(more);
        self.memory_bytes_left = left.unwrap_or(self.memory_bytes_left);
        self.refused = left.is_none();
        if !self.refused {
            self.memory_bytes_granted += more;
        }
        Ok(!self.refused)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let left = self.table_elements_left.checked_sub(desired.saturating_sub(current));
        self.table_elements_left = left.unwrap_or(self.table_elements_left);
        self.refused = left.is_none();
        Ok(!self.refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_limit_can_be_set_and_has_a_range() {
        for name in Limits::NAMES {
            let mut limits = Limits::default();
            assert!(matches!(limits.set(name, -1), Err(LimitError::OutOfRange { found: -1, .. })), "{name}");
            assert!(matches!(limits.set(name, i64::MAX), Err(LimitError::OutOfRange { .. })), "{name}");
            assert_eq!(limits, Limits::default(), "a refused number changed {name}");
            limits.set(name, 10_000).or_else(|_| limits.set(name, 100_000)).unwrap();
            assert_ne!(limits, Limits::default(), "{name} was set to no effect");
        }
    }

    #[test]
    fn an_unknown_limit_names_those_that_exist() {
        let error = Limits::default().set("cpu", 1).unwrap_err();
        assert!(error.to_string().contains("fuel, wall_ms"), "{error}");
    }

    #[test]
    fn several_memories_share_one_limit() {
        let mut meter = Meter::new(&Limits { memory_bytes: 100, ..Limits::default() });
        assert!(meter.memory_growing(0, 60, None).unwrap());
        assert!(meter.memory_growing(0, 40, None).unwrap());
        assert!(!meter.refused());
        assert!(!meter.memory_growing(40, 41, None).unwrap());
        assert!(meter.refused());
        assert_eq!(meter.memory_bytes(), 100);
    }

    #[test]
    fn a_refusal_does_not_refuse_what_still_fits() {
        let mut meter = Meter::new(&Limits { memory_bytes: 100, ..Limits::default() });
        assert!(!meter.memory_growing(0, 101, None).unwrap());
        assert!(meter.memory_growing(0, 100, None).unwrap());
        assert!(!meter.refused());
    }

    #[test]
    fn tables_have_a_limit_of_their_own() {
        let mut meter = Meter::new(&Limits::default());
        assert!(meter.table_growing(0, TABLE_ELEMENTS_MAX, None).unwrap());
        assert!(!meter.table_growing(0, 1, None).unwrap());
    }
}
