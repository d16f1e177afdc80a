//! Logs.
//!
//! Owns how lines look: JSON where a machine reads, one readable line where a person does. To stderr, because stdout is for data. Never
//! decides what is logged.

use std::error::Error;
use std::fmt;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Starts logging at a level, `readable` in lines for people. Libraries are heard from `warn` on. A second call changes nothing.
pub fn start(level: &str, readable: bool) {
    let filter =
        EnvFilter::new(format!("warn,xnovu={level},xnovu_queue={level},xnovu_rules={level},xnovu_standin={level}"));
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_span_events(FmtSpan::NONE).with_writer(std::io::stderr);
    // A logger that is set already stays: a second one would lose lines.
    let _ = if readable {
        let color = std::io::IsTerminal::is_terminal(&std::io::stderr());
        builder.with_target(false).with_ansi(color).compact().try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    };
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
}
