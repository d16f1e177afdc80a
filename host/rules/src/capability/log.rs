//! Lines from a component to the host's log, whether it logs them or prints them.
//!
//! Owns what one evaluation logged. Promises that a component which logs without end costs no memory, and that nothing is kept
//! where the operator did not ask for it. Never tells the component whether a line was kept.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::bindings::contract::xnovu::rules::log;
use crate::instance::State;
use crate::limits::{LOG_LINES_MAX, Limits};
use crate::{LogLevel, LogLine};

/// The log of one evaluation; clones are the same log. None: nothing is kept.
#[derive(Debug, Clone)]
pub(crate) struct Log(Option<Arc<Mutex<Lines>>>);

/// Where a component prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

/// What is kept.
#[derive(Debug)]
struct Lines {
    ended: Vec<LogLine>,
    /// Lines that were printed in part.
    out: Vec<u8>,
    err: Vec<u8>,
    bytes_left: usize,
    lines_left: usize,
}

impl Log {
    /// An empty log; one that keeps nothing unless the binding says `log_guest = true`.
    pub(crate) fn new(limits: &Limits, log_guest: bool) -> Self {
        Self(log_guest.then(|| {
            let bytes_left = usize::try_from(limits.log_bytes).unwrap_or(usize::MAX);
            let (ended, out, err) = (Vec::new(), Vec::new(), Vec::new());
            Arc::new(Mutex::new(Lines { ended, out, err, bytes_left, lines_left: LOG_LINES_MAX }))
        }))
    }

    /// Keeps as much of a line as there is room for.
    pub(crate) fn write(&self, level: LogLevel, text: &str) {
        if let Some(mut lines) = self.lines() {
            lines.write(level, text);
        }
    }

    /// Keeps what is printed, as lines where they end.
    pub(crate) fn print(&self, stream: Stream, bytes: &[u8]) {
        if let Some(mut lines) = self.lines() {
            lines.print(stream, bytes);
        }
    }

    /// The lines. Those that were begun end here.
    pub(crate) fn take(&self) -> Vec<LogLine> {
        let Some(mut lines) = self.lines() else { return Vec::new() };
        for stream in [Stream::Out, Stream::Err] {
            if !lines.begun(stream).is_empty() {
                lines.end(stream);
            }
        }
        std::mem::take(&mut lines.ended)
    }

    /// A log is complete at every moment, whatever panicked.
    fn lines(&self) -> Option<MutexGuard<'_, Lines>> {
        self.0.as_ref().map(|lines| lines.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Lines {
    fn has_room(&self) -> bool {
        self.lines_left > 0 && self.bytes_left > 0
    }

    fn write(&mut self, level: LogLevel, text: &str) {
        if !self.has_room() {
            return;
        }
        let text = &text[..text.floor_char_boundary(self.bytes_left)];
        self.bytes_left -= text.len();
        self.lines_left -= 1;
        let text = text.trim_end().replace(|c: char| c.is_control(), " ");
        self.ended.push(LogLine { level, text });
    }

    fn print(&mut self, stream: Stream, mut bytes: &[u8]) {
        while self.has_room()
            && let Some(end) = bytes.iter().position(|byte| *byte == b'\n')
        {
            self.begun(stream).extend_from_slice(&bytes[..end]);
            self.end(stream);
            bytes = &bytes[end + 1..];
        }
        // What there is no room for is not worth its memory either.
        let room = if self.has_room() { self.bytes_left } else { 0 };
        let begun = self.begun(stream);
        let more = bytes.len().min(room.saturating_sub(begun.len()));
        begun.extend_from_slice(&bytes[..more]);
    }

    fn begun(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        }
    }

    /// Ends the line that was begun.
    fn end(&mut self, stream: Stream) {
        let bytes = std::mem::take(self.begun(stream));
        let level = match stream {
            Stream::Out => LogLevel::Info,
            Stream::Err => LogLevel::Warn,
        };
        self.write(level, &String::from_utf8_lossy(&bytes));
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

    fn texts(log: &Log) -> Vec<String> {
        log.take().into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn what_exceeds_the_bytes_is_cut_at_a_character() {
        let log = log(5);
        log.write(LogLevel::Info, "abcdé");
        log.write(LogLevel::Info, "fgh");
        log.write(LogLevel::Info, "i");
        assert_eq!(texts(&log), ["abcd", "f"]);
    }

    #[test]
    fn what_exceeds_the_lines_is_left_out() {
        let log = log(10_000);
        for _ in 0..LOG_LINES_MAX + 5 {
            log.write(LogLevel::Info, "line");
        }
        assert_eq!(texts(&log).len(), LOG_LINES_MAX);
    }

    #[test]
    fn nothing_is_kept_where_the_operator_did_not_ask() {
        let log = Log::new(&Limits::default(), false);
        log.write(LogLevel::Error, "recipient@example.org");
        log.print(Stream::Err, b"recipient@example.org\n");
        assert!(texts(&log).is_empty());
    }

    #[test]
    fn lines_are_put_together_from_pieces_of_each_stream() {
        let log = log(100);
        for (stream, text) in [(Stream::Out, "a"), (Stream::Err, "x\ny"), (Stream::Out, "b\nc\n")] {
            log.print(stream, text.as_bytes());
        }
        let lines: Vec<_> = log.take().into_iter().map(|line| (line.level, line.text)).collect();
        let want = [(LogLevel::Warn, "x"), (LogLevel::Info, "ab"), (LogLevel::Info, "c"), (LogLevel::Warn, "y")];
        assert_eq!(lines, want.map(|(level, text)| (level, text.to_owned())));
    }

    #[test]
    fn a_flood_of_print_keeps_no_more_than_there_is_room_for() {
        let log = log(10);
        for _ in 0..1000 {
            log.print(Stream::Out, &[b'x'; 100]);
        }
        assert_eq!(log.lines().unwrap().out.len(), 10);
    }
}
