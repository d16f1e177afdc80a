//! Lines from a component to the host's log.
//!
//! Owns what one evaluation logged. Promises that a component which logs without end costs no memory, and that nothing is kept
//! where the operator did not ask for it. Never tells the component whether a line was kept.

use crate::bindings::contract::xnovu::rules::log;
use crate::instance::State;
use crate::limits::{LOG_LINES_MAX, Limits};
use crate::{LogLevel, LogLine};

/// The lines of one evaluation.
#[derive(Debug)]
pub(crate) struct Log {
    lines: Vec<LogLine>,
    bytes_left: usize,
    lines_left: usize,
}

impl Log {
    /// An empty log; one that keeps nothing unless the binding says `log_guest = true`.
    pub(crate) fn new(limits: &Limits, log_guest: bool) -> Self {
        let bytes_left = usize::try_from(limits.log_bytes).unwrap_or(usize::MAX);
        Self { lines: Vec::new(), bytes_left, lines_left: if log_guest { LOG_LINES_MAX } else { 0 } }
    }

    /// Whether another line would be kept.
    pub(crate) fn has_room(&self) -> bool {
        self.lines_left > 0 && self.bytes_left > 0
    }

    /// Keeps as much of a line as there is room for.
    pub(crate) fn write(&mut self, level: LogLevel, text: &str) {
        if !self.has_room() {
            return;
        }
        let text = &text[..text.floor_char_boundary(self.bytes_left)];
        self.bytes_left -= text.len();
        self.lines_left -= 1;
        let text = text.trim_end().replace(|c: char| c.is_control(), " ");
        self.lines.push(LogLine { level, text });
    }

    /// What is left of the room, in bytes.
    pub(crate) fn bytes_left(&self) -> usize {
        if self.lines_left > 0 { self.bytes_left } else { 0 }
    }

    /// The lines.
    pub(crate) fn into_lines(self) -> Vec<LogLine> {
        self.lines
    }
}

impl log::Host for State {
    fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        self.log.write(level, &message);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(bytes: u64) -> Log {
        Log::new(&Limits { log_bytes: bytes, ..Limits::default() }, true)
    }

    #[test]
    fn what_exceeds_the_bytes_is_cut_at_a_character() {
        let mut log = log(5);
        log.write(LogLevel::Info, "abcdé");
        log.write(LogLevel::Info, "fgh");
        log.write(LogLevel::Info, "i");
        let texts: Vec<_> = log.into_lines().into_iter().map(|line| line.text).collect();
        assert_eq!(texts, ["abcd", "f"]);
    }

    #[test]
    fn what_exceeds_the_lines_is_left_out() {
        let mut log = log(10_000);
        for _ in 0..LOG_LINES_MAX + 5 {
            log.write(LogLevel::Info, "line");
        }
        assert_eq!(log.into_lines().len(), LOG_LINES_MAX);
    }

    #[test]
    fn nothing_is_kept_where_the_operator_did_not_ask() {
        let mut log = Log::new(&Limits::default(), false);
        log.write(LogLevel::Error, "recipient@example.org");
        assert!(log.into_lines().is_empty());
    }
}
