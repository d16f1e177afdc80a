//! `xnovu-standin`: the stand-in as a process of its own.
//!
//! Prints one line of JSON on stdout once it listens, and ends on SIGTERM or SIGINT.

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::Context as _;
use clap::Parser;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;
use xnovu_standin::{Options, Standin, StandinConfig};

/// A faithful local Supabase and Novu with fault switches.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Address to listen on; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The Supabase key that is accepted.
    #[arg(long)]
    supabase_key: Option<String>,
    /// The Novu key that is accepted.
    #[arg(long)]
    novu_key: Option<String>,
    /// Rows an answer of PostgREST holds at most.
    #[arg(long, value_name = "ROWS")]
    max_rows: Option<u64>,
    /// Leave `updated_at` to the clients.
    #[arg(long)]
    no_touch_updated_at: bool,
    /// How far the server's clock is ahead, in milliseconds.
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    clock_offset_ms: Option<i64>,
    /// Events carry the whole old record.
    #[arg(long)]
    replica_identity_full: bool,
    /// Time between two polls of the change log.
    #[arg(long, value_name = "MS")]
    poll_interval_ms: Option<u64>,
    /// Time from the answer to a join until its subscription is live.
    #[arg(long, value_name = "MS")]
    system_delay_ms: Option<u64>,
    /// Time before a refused join is answered.
    #[arg(long, value_name = "MS")]
    join_error_delay_ms: Option<u64>,
    /// A socket that sends nothing for this long is closed.
    #[arg(long, value_name = "MS")]
    heartbeat_timeout_ms: Option<u64>,
    /// WebSocket connections at one time.
    #[arg(long)]
    connections_max: Option<usize>,
    /// Channels of one connection.
    #[arg(long)]
    channels_per_connection_max: Option<usize>,
    /// Joins a connection may send in one second.
    #[arg(long)]
    joins_per_second_max: Option<u32>,
    /// Novu ignores Idempotency-Key.
    #[arg(long)]
    no_novu_idempotency: bool,
    /// Trigger calls per second Novu allows; no limit without it.
    #[arg(long, value_name = "RATE")]
    novu_requests_per_second: Option<u32>,
    /// Deliveries kept for inspection.
    #[arg(long)]
    deliveries_max: Option<usize>,
    /// Enterprise of rows that the admin route inserts without one.
    #[arg(long, value_name = "UUID")]
    default_enterprise_id: Option<Uuid>,
    /// Listen on addresses other than loopback too. The admin route has no password.
    #[arg(long)]
    allow_remote: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let config = Arguments::parse().into_config();
    let (supabase_key, novu_key) = (config.supabase_key.clone(), config.novu_key.clone());
    let standin = Standin::start(config).await.context("starting the stand-in")?;
    let ready = json!({"url": standin.url(), "supabase_key": supabase_key, "novu_key": novu_key});
    writeln!(std::io::stdout(), "{ready}").context("telling the address")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    standin.stop().await;
    Ok(())
}

impl Arguments {
    fn into_config(self) -> StandinConfig {
        let (config, options) = (StandinConfig::default(), Options::default());
        StandinConfig {
            listen: self.listen,
            supabase_key: self.supabase_key.unwrap_or(config.supabase_key),
            novu_key: self.novu_key.unwrap_or(config.novu_key),
            options: Options {
                max_rows: self.max_rows.unwrap_or(options.max_rows),
                touch_updated_at: !self.no_touch_updated_at,
                clock_offset_ms: self.clock_offset_ms.unwrap_or(options.clock_offset_ms),
                replica_identity_full: self.replica_identity_full,
                poll_interval_ms: self.poll_interval_ms.unwrap_or(options.poll_interval_ms),
                system_delay_ms: self.system_delay_ms.unwrap_or(options.system_delay_ms),
                join_error_delay_ms: self.join_error_delay_ms.unwrap_or(options.join_error_delay_ms),
                heartbeat_timeout_ms: self.heartbeat_timeout_ms.unwrap_or(options.heartbeat_timeout_ms),
                connections_max: self.connections_max.unwrap_or(options.connections_max),
                channels_per_connection_max: self
                    .channels_per_connection_max
                    .unwrap_or(options.channels_per_connection_max),
                joins_per_second_max: self.joins_per_second_max.unwrap_or(options.joins_per_second_max),
                novu_idempotency: !self.no_novu_idempotency,
                novu_requests_per_second: self.novu_requests_per_second.or(options.novu_requests_per_second),
                deliveries_max: self.deliveries_max.unwrap_or(options.deliveries_max),
                default_enterprise_id: self.default_enterprise_id.or(options.default_enterprise_id),
                allow_remote: self.allow_remote,
                ..options
            },
        }
    }
}
