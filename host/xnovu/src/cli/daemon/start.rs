//! `xnovu daemon start`.

use std::process::ExitCode;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::super::notes::Notes;
use super::super::output::Output;
use super::super::place::{Place, options};
use super::super::serve::{Roles, enterprises, serve};
use super::super::settle;
use super::{StartArgs, detach, health_at, monitor};
use crate::config::{Config, Layers, XNOVU_CONFIG, state_dir};
use crate::control::{Role, StateDir};
use crate::parts::Parts;

pub(super) async fn start(args: StartArgs, mut layers: Layers, output: Output) -> anyhow::Result<ExitCode> {
    if args.detach {
        let directory = std::env::current_dir().context("finding the working directory")?;
        let (state, config) = (StateDir::at(&state_dir(&layers)?)?, layers.get(XNOVU_CONFIG));
        return detach::detach(&state, &directory, config, &options(&args), output).await;
    }
    if args.detached {
        rustix::process::setsid().context("leaving the terminal")?;
    }
    args.put_into(&mut layers);
    let config = settle(&args.common, args.dev, layers)?;
    let notes = Notes::of(&config, output);
    notes.end(run(&args, config, notes, output).await)
}

async fn run(args: &StartArgs, mut config: Config, notes: Notes, output: Output) -> anyhow::Result<ExitCode> {
    if args.monitor {
        // Nothing is queued, so that nothing can be queued by mistake.
        config.redis = None;
    }
    let place = Place::take(&config, Role::Daemon, options(args))?;
    let place = if args.detached { place.detached()? } else { place };
    let embedded = config.redis.is_none();
    if embedded && !args.monitor {
        notes.info(
            "REDIS_URL is not set: the queue lives in this process, and `xnovu worker start` cannot take its jobs",
        );
    }
    let parts = Parts::open(config, "daemon").await?;
    notes.report(&parts.report);
    let served = enterprises(&parts)?;
    if args.monitor {
        return monitor::watch(parts, served, place, notes, output).await;
    }
    let workers = args.workers.unwrap_or(usize::from(embedded));
    notes.info(&format!("serving {} enterprise(s) with {workers} worker(s) inside", served.len()));
    notes.info(&format!("health: {}", health_at(&parts.config, "/health")));
    let roles = Roles { daemon: Some(served), monitor: None, workers, health: true, place: Some(place) };
    serve(parts, roles, CancellationToken::new()).await
}
