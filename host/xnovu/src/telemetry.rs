//! Logs.
//!
//! Owns where lines go and which are heard: to stderr, because stdout is for data; libraries from `warn` on. How a line looks is
//! [`line`]'s. Never decides what is logged, and never sees a payload, a recipient or a secret: nobody logs one.

mod line;

use std::error::Error;
use std::fmt;
use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use line::{Line, Look};

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Text where a person reads the lines as they come, JSON elsewhere.
    #[default]
    Auto,
    /// One JSON object a line, for machines.
    Json,
    /// One readable line.
    Text,
}

impl LogFormat {
    /// The format of this name; [`LogFormat::Auto`] for any other.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            "json" => Self::Json,
            "text" => Self::Text,
            _ => Self::Auto,
        }
    }

    fn look(self, watched: bool, color: bool) -> Look {
        match self {
            Self::Json => Look::Json,
            Self::Auto if !watched => Look::Json,
            Self::Auto | Self::Text => Look::Text { color },
        }
    }
}

/// Starts logging at a level. `watched`: a person reads the lines as they come. A second call changes nothing.
pub fn start(level: &str, format: LogFormat, watched: bool, no_color: bool) {
    let filter =
        EnvFilter::new(format!("warn,xnovu={level},xnovu_queue={level},xnovu_rules={level},xnovu_standin={level}"));
    let look = format.look(watched, !no_color && std::io::stderr().is_terminal());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A logger that is set already stays: a second one would lose lines.
    let _ = builder.event_format(Line(look)).try_init();
}

/// An error with everything that led to it, for one line of a log.
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_names_every_cause() {
        let error = anyhow::anyhow!("disk full").context("writing the file");
        assert_eq!(Chain(error.as_ref()).to_string(), "writing the file: disk full");
    }

    #[test]
    fn a_terminal_gets_text_and_a_pipe_json_unless_told_otherwise() {
        let look = |name: &str, terminal| LogFormat::named(name).look(terminal, terminal);
        assert_eq!((look("auto", true), look("auto", false)), (Look::Text { color: true }, Look::Json));
        assert_eq!((look("json", true), look("json", false)), (Look::Json, Look::Json));
        assert_eq!(look("text", false), Look::Text { color: false });
        assert_eq!(LogFormat::Auto.look(true, false), Look::Text { color: false }, "NO_COLOR");
    }
}
