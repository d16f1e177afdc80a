//! What a stand-in is started with. Every limit has its unit in its name.

use std::net::{Ipv4Addr, SocketAddr};

use uuid::Uuid;

/// Where a stand-in listens, which keys it accepts, and how it behaves.
#[derive(Clone, Debug)]
pub struct StandinConfig {
    /// Address to listen on. Port 0 picks a free one. Only loopback addresses are accepted unless `options.allow_remote` is set.
    pub listen: SocketAddr,
    /// The one Supabase key that is accepted. A key starting with `sb_` goes into `apikey` alone, any other also into
    /// `Authorization: Bearer`.
    pub supabase_key: String,
    /// The one Novu key that is accepted, as `Authorization: ApiKey …`.
    pub novu_key: String,
    /// Everything that has a sensible default.
    pub options: Options,
}

/// How a stand-in behaves. The defaults are those of a small hosted project, with delays short enough for tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Rows a single answer of PostgREST holds at most; more are cut off without a word.
    pub max_rows: u64,
    /// Whether a trigger sets `updated_at` on every UPDATE.
    pub touch_updated_at: bool,
    /// How far the server's clock is ahead of this machine's.
    pub clock_offset_ms: i64,
    /// Whether tables have `REPLICA IDENTITY FULL`, so that events carry the whole old record.
    pub replica_identity_full: bool,
    /// Time between two polls of the change log by Realtime. What is committed in between waits for the next poll.
    pub poll_interval_ms: u64,
    /// Changes one poll takes.
    pub poll_changes_max: usize,
    /// Time from the answer to a join until its subscription is live. Events in between are lost.
    pub system_delay_ms: u64,
    /// Time before a refused join is answered.
    pub join_error_delay_ms: u64,
    /// A socket that sends nothing for this long is closed.
    pub heartbeat_timeout_ms: u64,
    /// WebSocket connections at one time.
    pub connections_max: usize,
    /// Channels of one connection.
    pub channels_per_connection_max: usize,
    /// Joins a connection may send in one second. The next one closes the socket.
    pub joins_per_second_max: u32,
    /// Whether Novu honours `Idempotency-Key`, which it does not for every organization.
    pub novu_idempotency: bool,
    /// Trigger calls per second Novu allows; a bulk call counts 100. None: no limit.
    pub novu_requests_per_second: Option<u32>,
    /// Deliveries kept for inspection; older ones are forgotten, the counters go on.
    pub deliveries_max: usize,
    /// Enterprise of rows that the admin route inserts without one.
    pub default_enterprise_id: Option<Uuid>,
    /// Whether addresses other than loopback may be listened on. The admin route has no password.
    pub allow_remote: bool,
}

impl Default for StandinConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            supabase_key: "sb_secret_standin".to_owned(),
            novu_key: "standin-novu-key".to_owned(),
            options: Options::default(),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_rows: 1_000,
            touch_updated_at: true,
            clock_offset_ms: 0,
            replica_identity_full: false,
            poll_interval_ms: 20,
            poll_changes_max: 1_000,
            system_delay_ms: 50,
            join_error_delay_ms: 500,
            heartbeat_timeout_ms: 60_000,
            connections_max: 200,
            channels_per_connection_max: 100,
            joins_per_second_max: 100,
            novu_idempotency: true,
            novu_requests_per_second: None,
            deliveries_max: 200_000,
            default_enterprise_id: None,
            allow_remote: false,
        }
    }
}
