//! `xnovu dev`: everything in one process, nothing else installed.
//!
//! Owns the demonstration: which enterprises it has, which notifications it makes and how their way is told. What runs is the real daemon
//! and worker; only Supabase and Novu are stand-ins, and without `REDIS_URL` the queue is in memory. Leaves nothing behind in Redis.

mod exchanges;
mod samples;
mod story;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio_util::sync::CancellationToken;
use xnovu_domain::EnterpriseId;
use xnovu_queue::JobOptions;
use xnovu_standin::{Standin, StandinConfig};

use super::notes::Notes;
use super::output::Output;
use super::serve::{Roles, serve};
use super::{CommonArgs, settle};
use crate::config::Layers;
use crate::parts::{Parts, redis_options};
use crate::tasks::Tasks;

/// Workers of the demonstration.
const WORKERS: usize = 1;

#[derive(Args)]
pub(super) struct DevArgs {
    #[command(flatten)]
    common: CommonArgs,

    /// Sample notifications a second; 0 makes none
    #[arg(long, value_name = "N", default_value_t = 2.0)]
    rate: f64,

    /// Stop after that many sample notifications have reached an end
    #[arg(long, value_name = "N")]
    count: Option<u64>,

    /// Tell no line for each notification
    #[arg(long)]
    quiet: bool,

    /// Port of the local Supabase and Novu on loopback; 0 picks a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    port: u16,

    /// Port of health and metrics on loopback; 0 picks a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    health_port: u16,
}

pub(super) async fn run(args: DevArgs, mut layers: Layers, output: Output) -> anyhow::Result<ExitCode> {
    let mut place = StandinConfig::default();
    place.listen.set_port(args.port);
    let listen = place.listen;
    let standin = Standin::start(place)
        .await
        .with_context(|| format!("starting the local Supabase and Novu on {listen} (--port)"))?;
    point_at(&standin, &mut layers, &args);
    args.common.put_into(&mut layers);
    super::plugin::build_missing(&layers, output).await?;
    let config = settle(&args.common, false, layers)?;
    let redis = config.redis.clone();
    samples::workflows(standin.state())?;
    let parts = Parts::open(config, "daemon").await?;
    Notes::for_people(output).report(&parts.report);
    let enterprises = samples::enterprises();
    welcome(&standin, &parts, &enterprises, output);

    let stop = CancellationToken::new();
    let tasks = Tasks::new(stop.clone());
    let steps = parts.trail.watch();
    let quiet = args.quiet;
    let count = args.count;
    let (told_out, told_of) = (stop.clone(), stop.clone());
    let rules = parts.rules.clone();
    if !quiet {
        tasks.spawn("exchanges", async move { exchanges::tell(rules, output, told_of).await });
    }
    tasks.spawn("story", async move { story::tell(steps, count, quiet, output, told_out).await });
    if args.rate > 0.0 {
        let (state, pause) = (standin.state().clone(), Duration::from_secs_f64(1.0 / args.rate));
        let stopped = stop.clone();
        tasks.spawn("samples", async move { samples::make(&state, pause, count, stopped).await });
    }
    let roles = Roles { daemon: Some(enterprises), monitor: None, workers: WORKERS, health: true, place: None };
    let ended = serve(parts, roles, stop).await;
    standin.stop().await;
    if let Some(redis) = redis {
        let options = redis_options(&redis, JobOptions::default());
        xnovu_queue::erase(&options).await.context("removing the demonstration from Redis")?;
    }
    ended
}

/// Everything that would be set for the real services names the stand-in. `REDIS_URL` is left as it is.
fn point_at(standin: &Standin, layers: &mut Layers, args: &DevArgs) {
    let config = StandinConfig::default();
    layers.set_flag("NEXT_PUBLIC_SUPABASE_URL", Some(standin.url()));
    layers.set_flag("SUPABASE_SERVICE_ROLE_KEY", Some(config.supabase_key));
    layers.set_flag("NOVU_API_URL", Some(standin.url()));
    layers.set_flag("NOVU_SECRET_KEY", Some(config.novu_key));
    layers.set_flag("DAEMON_HEALTH_PORT", Some(args.health_port));
    // Its own in every run, because it is removed at the end.
    layers.set_flag("QUEUE_PREFIX", Some(format!("xnovu-dev-{}", std::process::id())));
    if args.common.log_level.is_none() {
        layers.set_flag("DAEMON_LOG_LEVEL", Some("error"));
    }
}

fn welcome(standin: &Standin, parts: &Parts, enterprises: &[EnterpriseId], output: Output) {
    let queue = if parts.config.redis.is_some() { "Redis (REDIS_URL)" } else { "memory" };
    output.note(&format!("Supabase and Novu, played: {}", standin.url()));
    output.note(&format!("queue: {queue}; enterprises: {}", enterprises.len()));
    output.note("put a notification of your own:");
    output.note(&format!("  {}", samples::curl(&standin.url())));
    output.note("Ctrl-C ends it.\n");
}
