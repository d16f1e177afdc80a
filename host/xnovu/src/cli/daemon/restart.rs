//! `xnovu daemon restart`.
//!
//! Owns which options the new daemon has: those of the last one, and over them those given now. What never was an option, such as the
//! environment, is that of the terminal that restarts. Promises that what can be known to keep the new daemon from starting is told while
//! the old one still runs.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser};

use super::super::output::Output;
use super::super::place::options;
use super::super::read_settings;
use super::stop::{StopArgs, Stopped, stop_daemon, tell};
use super::{StartArgs, detach, start};
use crate::config::{Layers, XNOVU_CONFIG, state_dir};
use crate::control::{Role, StateDir};
use crate::http;

#[derive(Args)]
pub(super) struct RestartArgs {
    #[command(flatten)]
    start: StartArgs,

    #[command(flatten)]
    stop: StopArgs,

    /// Forget the options the daemon was started with
    #[arg(long)]
    fresh: bool,
}

/// Options as they were written down. Of an option that is there twice the later one counts.
#[derive(Parser)]
#[command(no_binary_name = true, args_override_self = true)]
struct Written {
    #[command(flatten)]
    start: StartArgs,
}

pub(super) async fn restart(args: RestartArgs, layers: Layers, output: Output) -> anyhow::Result<ExitCode> {
    let state = StateDir::at(&state_dir(&layers)?)?;
    let last = state.last_started(&Role::Daemon);
    if state.find(&Role::Daemon).is_ok() && last.as_ref().is_some_and(|last| last.supervised) {
        anyhow::bail!(
            "the daemon is looked after by a service manager, which would start another one beside it\n  hint: restart the service instead: systemctl restart xnovu-daemon"
        );
    }
    let kept = last.as_ref().filter(|_| !args.fresh);
    let mut options_now = kept.map(|last| last.options.clone()).unwrap_or_default();
    options_now.extend(options(&args.start));
    let directory = match kept {
        Some(last) => last.directory.clone(),
        None => std::env::current_dir().context("finding the working directory")?,
    };
    let start = parse(&options_now)?;
    std::env::set_current_dir(&directory).with_context(|| format!("going to {}", directory.display()))?;
    let config = layers.get(XNOVU_CONFIG);
    let mut layers_there = Layers::of_process(&directory, config.map(Path::new));
    layers_there.set_flag("XNOVU_STATE_DIR", Some(state.path().display()));
    let served = if state.find(&Role::Daemon).is_ok() { last.as_ref().and_then(|last| last.health) } else { None };
    rehearse(&start, layers_there.clone(), served).await?;
    let stopped = stop_daemon(&state, &args.stop, output).await?;
    let told = tell(&stopped, &state, output);
    if let Stopped::Late(..) = stopped {
        output.note("nothing was started in its place: once it has ended, give the same command again");
        return Ok(told);
    }
    if args.start.detach || kept.is_some_and(|last| last.detached) {
        return detach::detach(&state, &directory, config, &options(&start), output).await;
    }
    start::start(start, layers_there, output).await
}

/// What a start finds wrong before it opens anything. The port that the running daemon gives up needs not be free yet.
async fn rehearse(start: &StartArgs, mut layers: Layers, served: Option<SocketAddr>) -> anyhow::Result<()> {
    start.put_into(&mut layers);
    let config = read_settings(&layers)?;
    if served.is_none_or(|served| served.port() != config.health.port()) {
        drop(http::bind(config.health).await?);
    }
    Ok(())
}

fn parse(options: &[String]) -> anyhow::Result<StartArgs> {
    let written =
        Written::try_parse_from(options).context("reading the options of the last daemon; --fresh forgets them")?;
    Ok(written.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_given_now_outrank_those_of_the_last_daemon_and_the_others_stay() {
        let written = ["--dev", "--enterprises=a,b", "--health-port=1", "--health-port=2", "--log-level=warn"];
        let merged = parse(&written.map(str::to_owned)).unwrap();
        assert_eq!(options(&merged), ["--dev", "--enterprises=a,b", "--health-port=2", "--log-level=warn"]);
    }
}
