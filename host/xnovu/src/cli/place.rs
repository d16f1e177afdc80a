//! The place of a long-running command in the state directory.
//!
//! Owns what a process says of itself there: above all the options it was started with, so that `restart` can keep them.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::control::routes::{self, Process};
use crate::control::server::AdminSocket;
use crate::control::{Hold, Role, Started, StateDir, plugins};
use crate::jobs;
use crate::parts::Parts;
use crate::reloading::Reloads;

/// A process's place, and what it says of itself there.
pub(super) struct Place {
    hold: Hold,
    started: Started,
    /// What the last one was started with. `restart` keeps that until this one has come so far that its own options are known to work.
    last: Option<Started>,
}

impl Place {
    /// Takes a place, before anything is opened.
    ///
    /// # Errors
    /// Another process has it, or the state directory cannot be used.
    pub(super) fn take(config: &Config, role: Role, options: Vec<String>) -> anyhow::Result<Self> {
        let grace = config.graces.admission + config.graces.workers;
        let started = Started {
            pid: std::process::id(),
            since: SystemClock.now().to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            directory: std::env::current_dir().context("finding the working directory")?,
            options,
            health: None,
            detached: false,
            supervised: config.supervised,
            grace_ms: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX),
        };
        let state = StateDir::at(&config.state)?;
        let last = state.last_started(&role);
        let hold = state.claim(role, &with_options_of(last.as_ref(), &started))?;
        Ok(Self { hold, started, last })
    }

    /// What this process is for.
    pub(super) fn role(&self) -> &Role {
        self.hold.role()
    }

    /// Says that it left its terminal.
    pub(super) fn detached(mut self) -> anyhow::Result<Self> {
        self.started.detached = true;
        self.hold.record(&with_options_of(self.last.as_ref(), &self.started))?;
        Ok(self)
    }

    /// Says where its health is served, and that what it was started with works.
    pub(super) fn serves_health_at(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        self.started.health = Some(address);
        Ok(self.hold.record(&self.started)?)
    }

    /// Its admin socket.
    pub(super) fn bind(&self) -> anyhow::Result<AdminSocket> {
        AdminSocket::bind(&self.hold.socket())
    }

    /// What this process can be told to do. A room that adds to it merges its router here.
    pub(super) fn routes(&self, parts: &Parts, reloads: &Reloads, stop: &CancellationToken) -> Router {
        let process = Process {
            role: self.hold.role().clone(),
            started: self.started.clone(),
            stop: stop.clone(),
            queue: Arc::clone(&parts.queue),
        };
        let jobs = jobs::routes(Arc::clone(&parts.queue), Arc::clone(&parts.registry));
        let rules = plugins::Rules { rules: Arc::clone(&parts.rules), reloads: reloads.clone() };
        routes::routes(Arc::new(process)).merge(jobs).merge(plugins::routes(rules))
    }
}

fn with_options_of(last: Option<&Started>, started: &Started) -> Started {
    let Some(Started { options, directory, .. }) = last.cloned() else { return started.clone() };
    Started { options, directory, ..started.clone() }
}

/// The flags that were given, as they would be written: `{"health_port": 3001, "dev": true}` is `--dev --health-port=3001`.
pub(super) fn options(flags: &impl Serialize) -> Vec<String> {
    let flags = serde_json::to_value(flags).expect("flags are names and plain values");
    let written = |(name, value): (&String, &Value)| {
        let flag = format!("--{}", name.replace('_', "-"));
        match value {
            Value::Null | Value::Bool(false) => None,
            Value::Bool(true) => Some(flag),
            // One word, so that a value may begin with a dash.
            Value::String(text) => Some(format!("{flag}={text}")),
            other => Some(format!("{flag}={other}")),
        }
    };
    flags.as_object().into_iter().flatten().filter_map(written).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Flags {
        dev: bool,
        quiet: bool,
        health_port: Option<u16>,
        workers: Option<usize>,
        enterprises: &'static str,
    }

    #[test]
    fn flags_are_written_as_they_were_given() {
        let flags = Flags { dev: true, quiet: false, health_port: Some(0), workers: None, enterprises: "-a,b" };
        assert_eq!(options(&flags), ["--dev", "--enterprises=-a,b", "--health-port=0"]);
    }
}
