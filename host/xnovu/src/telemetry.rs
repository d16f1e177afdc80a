//! Logs.
//!
//! Owns where lines go and which are heard: to stderr, because stdout is for data; libraries from `warn` on; a panic is a line as well. How a
//! line looks is [`line`]'s. Never decides what is logged, and never sees a payload, a recipient or a secret: nobody logs one.

mod line;

use std::error::Error;
use std::fmt;
use std::io::IsTerminal;
use std::panic::PanicHookInfo;

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
    if builder.event_format(Line(look)).try_init().is_ok() && !watched {
        std::panic::set_hook(Box::new(log_panic));
    }
}

/// A panic as one line. A text that was put together may quote what was being handled, a row for instance, and is left out; where it
/// happened is enough to find it.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let at = panic.location().map(ToString::to_string).unwrap_or_default();
    let text =
        panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("(a text that may quote what was handled)");
    tracing::error!(event = "panicked", at, reason = text, thread = std::thread::current().name(), "a panic");
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

    /// Set for the process of the test below that panics: the hook is a whole process's.
    const TO_PANIC: &str = "XNOVU_TEST_TO_PANIC";

    #[test]
    fn a_panic_is_one_line_of_json_and_quotes_nothing() {
        if std::env::var_os(TO_PANIC).is_some() {
            start("info", LogFormat::Auto, false, true);
            let row = "SECRET".to_owned();
            for caught in [|_: &str| panic!("on purpose"), |row: &str| panic!("{row} cannot be read")] {
                assert!(std::panic::catch_unwind(|| caught(&row)).is_err());
            }
            return;
        }
        let name = "telemetry::tests::a_panic_is_one_line_of_json_and_quotes_nothing";
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        let output = again.args(["--exact", name, "--nocapture"]).env(TO_PANIC, "1").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && !said.contains("SECRET"), "{said}");
        let lines: Vec<serde_json::Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), &lines[0]["reason"]), (2, &"on purpose".into()), "{said}");
        for line in &lines {
            assert_eq!((&line["level"], &line["event"]), (&"error".into(), &"panicked".into()), "{line}");
            assert!(line["at"].as_str().unwrap().contains("telemetry.rs:"), "{line}");
        }
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
