//! What the operator set, typed and checked.
//!
//! Owns every setting: the table ([`settings`]) declares it once, `read.rs` checks it into a field of [`Config`]. Promises that a mistake is
//! reported together with all others before anything starts.

mod document;
mod enterprises;
mod file;
mod layers;
mod mistakes;
mod names;
mod read;
mod relations;
mod secret;
pub mod settings;
mod shown;
mod table;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use xnovu_domain::EnterpriseId;

use crate::telemetry::LogFormat;

pub use document::{env_example, markdown};
pub use enterprises::{EnterpriseSettings, Events, PerEnterprise};
pub use layers::{Found, Layer, Layers, Origin};
pub use mistakes::{Mistake, Mistakes};
pub use read::{check, examine, require_bindings};
pub use relations::{LEDGER_MARGIN, is_near};
pub use secret::{Secret, SecretFiles};
pub use settings::XNOVU_CONFIG_NAME as XNOVU_CONFIG;
pub use shown::{Shown, place, shown};
pub use table::{Fallback, Group, Kind, Setting};

/// Everything a daemon or a worker needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// The database, through PostgREST and Realtime.
    pub supabase: Supabase,
    /// The notification platform.
    pub novu: Novu,
    /// The queue's Redis. None: the queue lives in this process.
    pub redis: Option<Redis>,
    /// Enterprises named by `--enterprises` or `DAEMON_ENTERPRISE_IDS`. Empty: those of `bindings.toml`.
    pub enterprises: Vec<EnterpriseId>,
    /// What is set for single enterprises, over what is set for all.
    pub per_enterprise: Arc<PerEnterprise>,
    /// How jobs are tried.
    pub jobs: Jobs,
    /// How the daemon hears of rows.
    pub sources: Sources,
    /// Rules that fire by the clock.
    pub cron: Cron,
    /// Jobs one worker process performs at a time.
    pub concurrency: usize,
    /// Where health and metrics are served.
    pub health: SocketAddr,
    /// What admin requests on the health port must carry. None: they are not served there.
    pub admin_token: Option<Secret>,
    /// How long a stop may take.
    pub graces: Graces,
    /// `debug`, `info`, `warn` or `error`.
    pub log_level: String,
    /// How a line of the log looks.
    pub log_format: LogFormat,
    /// Where traces go. None: nothing is traced.
    pub traces: Option<Tracing>,
    /// The plugins and their bindings.
    pub plugins: PathBuf,
    /// Time between two looks at that directory for changes no event tells of.
    pub rescan: Duration,
    /// Whether a service manager waits for word of us (`NOTIFY_SOCKET`, which is its to set).
    pub supervised: bool,
    /// Compiled plugins and whatever else outlives a process.
    pub state: PathBuf,
    /// The database itself, for whoever examines it.
    pub database_url: Option<Secret>,
    /// The secrets that stand in files, to be watched.
    pub secret_files: SecretFiles,
    /// What is set and works, but is worth a word.
    pub warnings: Vec<Mistake>,
}

/// Where traces go.
#[derive(Debug, Clone)]
pub struct Tracing {
    /// Base URL of a collector that takes OTLP over HTTP.
    pub endpoint: String,
    /// Its headers, as `name=value` separated by commas.
    pub headers: Option<Secret>,
    /// What spans say they come from.
    pub service: String,
    /// What else they say of where they come from: names and values.
    pub attributes: Vec<(String, String)>,
    /// How many notifications in a hundred are traced, 0 to 100.
    pub percent: u32,
}

/// The database.
#[derive(Debug, Clone)]
pub struct Supabase {
    /// Base URL, without a slash at its end.
    pub url: String,
    /// Service-role or secret key.
    pub key: Secret,
    /// Requests under way at once in one process: half of PostgREST's default pool.
    pub concurrency: usize,
}

/// The notification platform.
#[derive(Debug, Clone)]
pub struct Novu {
    /// Base URL, without a slash at its end.
    pub url: String,
    /// API key.
    pub key: Secret,
    /// Longest wait for one answer.
    pub timeout: Duration,
}

/// The queue's Redis.
#[derive(Debug, Clone)]
pub struct Redis {
    /// `redis://` or `rediss://`; may hold a password.
    pub url: Secret,
    /// What every key begins with. Never `bull`.
    pub prefix: String,
    /// Certificates beyond the usual ones.
    pub tls: RedisTls,
}

/// Certificates of a connection with TLS, in PEM.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RedisTls {
    /// Who signed the server's certificate.
    pub ca: Option<Vec<u8>>,
    /// Our certificate and its key.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
}

/// Shows what there is and nothing of it.
impl std::fmt::Debug for RedisTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RedisTls {{ ca: {}, client: {} }}", self.ca.is_some(), self.client.is_some())
    }
}

/// Where the queue is found.
#[derive(Debug, Clone)]
pub struct QueuePlace {
    /// Its Redis. None: it is in the memory of a daemon.
    pub redis: Option<Redis>,
    /// Where the processes of this installation keep their files.
    pub state: PathBuf,
}

/// How jobs are tried.
#[derive(Debug, Clone, Copy)]
pub struct Jobs {
    /// Attempts before a job fails.
    pub attempts: u32,
    /// First wait between attempts; doubles.
    pub backoff: Duration,
    /// Longest wait between attempts.
    pub backoff_max: Duration,
    /// How long outages may postpone a notification before it fails.
    pub give_up_after: Duration,
    /// Completed jobs kept for those who look.
    pub keep_completed: usize,
    /// Failed jobs kept for those who look and retry.
    pub keep_failed: usize,
    /// How long a worker may be silent before its jobs are taken over.
    pub lock: Duration,
    /// Time between two looks for jobs of silent workers.
    pub stalled_interval: Duration,
    /// How often a job may be taken over before it fails.
    pub stalled_max: u32,
}

/// How the daemon hears of rows.
#[derive(Debug, Clone, Copy)]
pub struct Sources {
    /// First wait before a reconnect; doubles with jitter up to 30 s.
    pub reconnect_delay: Duration,
    /// Time between heartbeats of the Realtime socket.
    pub heartbeat: Duration,
    /// Time between sweeps of owed rows.
    pub sweep_interval: Duration,
}

/// Rules of `ent_notification_rule`.
#[derive(Debug, Clone, Copy)]
pub struct Cron {
    /// Whether they fire.
    pub enabled: bool,
    /// Time between two looks for changed rules.
    pub interval: Duration,
    /// What a rule does not say itself.
    pub defaults: crate::cron::Defaults,
}

/// How long a stop may take.
#[derive(Debug, Clone, Copy)]
pub struct Graces {
    /// Until what was heard of is offered to the queue.
    pub admission: Duration,
    /// Until the jobs under way have ended.
    pub workers: Duration,
}

impl Config {
    /// Reads and checks every setting.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn read(layers: &Layers) -> Result<Self, Mistakes> {
        read::read(layers)
    }

    /// Reads what finds the queue, and nothing else.
    ///
    /// # Errors
    /// The mistakes of these settings.
    pub fn read_queue(layers: &Layers) -> Result<QueuePlace, Mistakes> {
        read::read_queue(layers)
    }

    /// What holds for one enterprise.
    #[must_use]
    pub fn of(&self, enterprise: &EnterpriseId) -> &EnterpriseSettings {
        self.per_enterprise.of(enterprise)
    }
}

/// The state directory, for commands that need no other setting.
///
/// # Errors
/// A file of settings is missing or wrong: it may name another directory.
pub fn state_dir(layers: &Layers) -> Result<PathBuf, Mistakes> {
    read::state_dir(layers)
}

#[cfg(test)]
mod tests;
