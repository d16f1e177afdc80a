//! `xnovu daemon start`.

use std::process::ExitCode;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::super::output::Output;
use super::super::place::{Place, options};
use super::super::serve::{Roles, enterprises, serve, tell_report};
use super::super::settle;
use super::{StartArgs, detach, monitor};
use crate::config::{Layers, XNOVU_CONFIG, state_dir};
use crate::control::{Role, StateDir};
use crate::parts::Parts;

pub(super) async fn start(args: StartArgs, mut layers: Layers, output: Output) -> anyhow::Result<ExitCode> {
    if args.detach {
        let directory = std::env::current_dir().context("finding the working directory")?;
        let (state, config) = (StateDir::at(&state_dir(&layers))?, layers.get(XNOVU_CONFIG));
        return detach::detach(&state, &directory, config, &options(&args), output).await;
    }
    if args.detached {
        rustix::process::setsid().context("leaving the terminal")?;
    }
    layers.set_flag("DAEMON_ENTERPRISE_IDS", args.enterprises.as_ref());
    layers.set_flag("DAEMON_HEALTH_PORT", args.health_port);
    let mut config = settle(&args.common, args.dev, layers)?;
    if args.monitor {
        // Nothing is queued, so that nothing can be queued by mistake.
        config.redis = None;
    }
    let place = Place::take(&config, Role::Daemon, options(&args))?;
    let place = if args.detached { place.detached()? } else { place };
    let embedded = config.redis.is_none();
    if embedded && !args.monitor {
        output.note("note: REDIS_URL is not set: the queue lives in this process, and `xnovu worker start` cannot take its jobs");
    }
    let parts = Parts::open(config).await?;
    tell_report(&parts.report, output);
    let served = enterprises(&parts)?;
    if args.monitor {
        return monitor::watch(parts, served, place, output).await;
    }
    let workers = args.workers.unwrap_or(usize::from(embedded));
    output.note(&format!("serving {} enterprise(s) with {workers} worker(s) inside", served.len()));
    output.note(&format!("health: http://{}/health", parts.config.health));
    let roles = Roles { daemon: Some(served), monitor: None, workers, health: true, place: Some(place) };
    serve(parts, roles, CancellationToken::new()).await
}
