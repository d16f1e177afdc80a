//! What a person or a script reads.
//!
//! Owns the only prints of the program: data goes to stdout, everything else to stderr. Colours a line only where a terminal shows it and
//! `NO_COLOR` does not forbid it. A reader that goes away (`| head`) ends the output, never the program.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the one file that prints")]

use std::io::{IsTerminal, Write};
use std::time::Duration;

use xnovu_domain::Micros;

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON document for scripts.
    Json,
}

/// Whether a person watches stderr.
#[must_use]
pub fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}

/// Where a command writes.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    format: Format,
    terminal: bool,
    color: bool,
}

impl Output {
    /// Output of this process. `no_color` is what the environment says of `NO_COLOR`.
    #[must_use]
    pub fn new(format: Format, no_color: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { format, terminal, color: !no_color && terminal && std::io::stdout().is_terminal() }
    }

    /// A line of data, to stdout.
    pub fn line(&self, text: &str) {
        // A closed pipe is the reader's decision, not an error of ours.
        let _ = writeln!(std::io::stdout().lock(), "{text}");
    }

    /// A line that is not data, to stderr.
    pub fn note(&self, text: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// Clears the screen where a terminal shows all that is written; else does nothing.
    pub fn clear(&self) {
        if self.terminal && std::io::stdout().is_terminal() && !self.json() {
            // Home, then everything below and what was scrolled away.
            let _ = write!(std::io::stdout().lock(), "\x1b[H\x1b[2J\x1b[3J").and_then(|()| std::io::stdout().flush());
        }
    }

    /// Lines of data, to stdout.
    pub fn lines(&self, lines: &[String]) {
        for line in lines {
            self.line(line);
        }
    }

    /// One document of JSON, to stdout.
    ///
    /// # Errors
    /// The value is none that JSON can hold.
    pub fn document(&self, value: &impl serde::Serialize) -> anyhow::Result<()> {
        self.line(&serde_json::to_string_pretty(value)?);
        Ok(())
    }

    /// Whether colours are shown.
    #[must_use]
    pub fn color(&self) -> bool {
        self.color
    }

    /// Whether a person watches stderr.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Whether results are wanted as JSON.
    #[must_use]
    pub fn json(&self) -> bool {
        self.format == Format::Json
    }
}

/// A table in lines, its columns as wide as their widest cell.
#[must_use]
pub fn table<const COLUMNS: usize>(head: &[&str; COLUMNS], rows: &[Vec<String>]) -> Vec<String> {
    let wide = |column: usize| {
        let cells = rows.iter().filter_map(|row| Some(row.get(column)?.chars().count()));
        cells.chain([head[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..COLUMNS).map(wide).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let rows = rows.iter().map(|row| line(row.iter().map(String::as_str).collect()));
    std::iter::once(line(head.to_vec())).chain(rows).collect()
}

/// An instant to the second, as tables show it.
#[must_use]
pub fn seconds(at: Micros) -> String {
    let text = at.to_string();
    text.split_once('.').map_or(text.clone(), |(whole, _)| format!("{whole}Z"))
}

/// A time that has passed, in its largest unit.
#[must_use]
pub fn age(passed: Duration) -> String {
    match passed.as_secs() {
        0 => format!("{} ms", passed.as_millis()),
        seconds @ 1..=119 => format!("{seconds} s"),
        seconds @ 120..=7_199 => format!("{} min", seconds / 60),
        seconds @ 7_200..=172_799 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".to_owned(), "longer".to_owned()], vec!["bcd".to_owned(), String::new()]];
        assert_eq!(table(&["X", "NAME"], &rows), ["X    NAME", "a    longer", "bcd"]);
        assert_eq!(table(&["X"], &[]), ["X"]);
    }

    #[test]
    fn an_age_is_told_in_its_largest_unit() {
        let told = [0, 1, 119, 120, 7_199, 7_200, 172_800].map(|seconds| age(Duration::from_secs(seconds)));
        assert_eq!(told, ["0 ms", "1 s", "119 s", "2 min", "119 min", "2 h", "2 d"]);
        assert_eq!(seconds(Micros::new(1_767_323_045_123_456)), "2026-01-02T03:04:05Z");
    }
}
