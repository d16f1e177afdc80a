//! What a long-running command says beside its log.
//!
//! Owns where that goes: notes on a terminal where a person watches, lines of the log everywhere else, so that whoever collects the log finds
//! nothing but its lines, and everything in them. What is wrong with the settings is told as text, because they say how the log looks.

use std::process::ExitCode;

use xnovu_rules::{BindingOutcome, Hinted, PluginOutcome, Report};

use super::exit_code;
use super::output::Output;
use crate::config::Config;
use crate::telemetry::LogFormat;

/// Where notes go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Notes {
    output: Output,
    watched: bool,
}

impl Notes {
    /// Those of a command with these settings.
    pub(super) fn of(config: &Config, output: Output) -> Self {
        Self { output, watched: output.is_terminal() && config.log_format != LogFormat::Json }
    }

    /// Those of a command that is for people alone.
    pub(super) fn for_people(output: Output) -> Self {
        Self { output, watched: true }
    }

    /// Something to know.
    pub(super) fn info(&self, text: &str) {
        if self.watched {
            self.output.note(text);
        } else {
            tracing::info!("{text}");
        }
    }

    /// Something to look at.
    fn warn(&self, subject: &str, hinted: &Hinted) {
        let Hinted { reason, hint, .. } = hinted;
        if !self.watched {
            tracing::warn!(subject, reason, hint, "rules do not run as they are written");
            return;
        }
        self.output.note(&format!("warning: {subject}: {reason}"));
        if let Some(hint) = hint {
            self.output.note(&format!("  hint: {hint}"));
        }
    }

    /// What became of the plugins, with what mends those that do not run.
    pub(super) fn report(&self, report: &Report) {
        report.notes.iter().for_each(|note| self.warn("plugins", note));
        for (name, outcome) in &report.plugins {
            if let PluginOutcome::Refused { why, .. } = outcome {
                self.warn(&format!("plugin {name}"), why);
            }
        }
        for (subject, outcome) in &report.bindings {
            match outcome {
                BindingOutcome::Ready(_) | BindingOutcome::RolledBack(..) => {}
                BindingOutcome::LastGood(_, why) => {
                    self.warn(&format!("enterprise {subject} stays on its last good rules"), why);
                }
                BindingOutcome::NotLoaded(why) => self.warn(&format!("enterprise {subject} is held"), why),
            }
        }
    }

    /// How the command ended. Why it failed is its last word.
    pub(super) fn end(&self, ended: anyhow::Result<ExitCode>) -> anyhow::Result<ExitCode> {
        ended.or_else(|error| {
            if self.watched {
                return Err(error);
            }
            tracing::error!(event = "failed", error = format!("{error:#}"), "it cannot run");
            Ok(exit_code(&error))
        })
    }
}
