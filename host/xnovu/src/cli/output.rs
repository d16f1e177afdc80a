//! What a person or a script reads.
//!
//! Owns the only prints of the program: data goes to stdout, everything else to stderr. Colours a line only where a terminal shows it and
//! `NO_COLOR` does not forbid it. A reader that goes away (`| head`) ends the output, never the program.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the one file that prints")]

use std::io::{IsTerminal, Write};

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
