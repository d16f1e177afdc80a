//! What the operator set, typed and checked.
//!
//! Owns every setting, its name and its default. Promises that a mistake is reported together with all others before anything starts.

mod layers;
mod mistakes;
mod secret;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use xnovu_domain::{EnterpriseId, Priorities, Priority};

pub use layers::{Layers, Origin};
pub use mistakes::{Mistake, Mistakes};
pub use secret::Secret;

/// Where Novu is unless `NOVU_API_URL` says otherwise.
const NOVU_URL: &str = "https://api.novu.co";

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
    /// Priority by origin.
    pub priorities: Priorities,
    /// How jobs are tried.
    pub jobs: Jobs,
    /// How the daemon hears of rows.
    pub sources: Sources,
    /// Jobs one worker process performs at a time.
    pub concurrency: usize,
    /// Where health and metrics are served.
    pub health: SocketAddr,
    /// `debug`, `info`, `warn` or `error`.
    pub log_level: String,
    /// The plugins and their bindings.
    pub plugins: PathBuf,
    /// Compiled plugins and whatever else outlives a process.
    pub state: PathBuf,
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
}

/// How jobs are tried.
#[derive(Debug, Clone, Copy)]
pub struct Jobs {
    /// Attempts before a job fails.
    pub attempts: u32,
    /// First wait between attempts; doubles.
    pub backoff: Duration,
    /// How long outages may postpone a notification before it fails.
    pub give_up_after: Duration,
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

impl Config {
    /// Reads and checks every setting.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn read(layers: &Layers) -> Result<Self, Mistakes> {
        let mut read = Reader { layers, mistakes: Mistakes::default() };
        let config = read.config();
        match config {
            Some(config) if read.mistakes.0.is_empty() => Ok(config),
            _ => Err(read.mistakes),
        }
    }
}

struct Reader<'a> {
    layers: &'a Layers,
    mistakes: Mistakes,
}

impl Reader<'_> {
    fn config(&mut self) -> Option<Config> {
        let supabase_url =
            self.required_url("NEXT_PUBLIC_SUPABASE_URL", &["SUPABASE_URL"], "https://<project>.supabase.co");
        let supabase_key = self.secret("SUPABASE_SERVICE_ROLE_KEY", "the service-role or secret key of the project");
        let novu_key = self.secret("NOVU_SECRET_KEY", "the API key of the Novu environment");
        let novu_url = self.url("NOVU_API_URL", NOVU_URL);
        let redis = self.redis(supabase_url.as_deref());
        let enterprises = self.enterprises();
        let priorities = self.priorities();
        let jobs = Jobs {
            attempts: self.number("RULE_ENGINE_RETRY_ATTEMPTS", 3, 1..=100),
            backoff: self.millis("RULE_ENGINE_RETRY_DELAY", 5_000, 1..=3_600_000),
            give_up_after: self.millis("XNOVU_GIVE_UP_AFTER", 86_400_000, 1_000..=30 * 86_400_000),
        };
        let sources = Sources {
            reconnect_delay: self.millis("SUBSCRIPTION_RECONNECT_DELAY", 1_000, 1..=30_000),
            heartbeat: self.millis("SUBSCRIPTION_HEARTBEAT_INTERVAL", 25_000, 100..=60_000),
            sweep_interval: self.millis("XNOVU_SWEEP_INTERVAL", 30_000, 100..=3_600_000),
        };
        let concurrency = self.number("WORKER_CONCURRENCY", 5, 1..=1_000);
        let supabase_concurrency = self.number("SUPABASE_MAX_CONCURRENCY", 5, 1..=100);
        let timeout = self.millis("NOVU_TIMEOUT", 30_000, 100..=60_000);
        let health = self.health();
        let log_level = self.log_level();
        let plugins = self.layers.get("XNOVU_PLUGINS").unwrap_or("plugins").into();
        let state = self.layers.get("XNOVU_STATE_DIR").map_or_else(default_state, PathBuf::from);
        Some(Config {
            supabase: Supabase { url: supabase_url?, key: supabase_key?, concurrency: supabase_concurrency },
            novu: Novu { url: novu_url?, key: novu_key?, timeout },
            redis,
            enterprises,
            priorities,
            jobs,
            sources,
            concurrency,
            health,
            log_level,
            plugins,
            state,
        })
    }

    fn required_url(&mut self, name: &str, aliases: &[&str], example: &str) -> Option<String> {
        let given = std::iter::once(&name).chain(aliases).find_map(|name| Some((*name, self.layers.get(name)?)));
        let Some((name, text)) = given else {
            self.mistakes.add(name, "is not set", format!("set it to the base URL, for example {example}"));
            return None;
        };
        let text = text.to_owned();
        self.check_url(name, &text)
    }

    fn url(&mut self, name: &str, default: &str) -> Option<String> {
        let text = self.layers.get(name).unwrap_or(default).to_owned();
        self.check_url(name, &text)
    }

    fn check_url(&mut self, name: &str, text: &str) -> Option<String> {
        match reqwest::Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none() => {
                Some(url.as_str().trim_end_matches('/').to_owned())
            }
            _ => {
                self.mistakes.add(
                    name,
                    format!("{text:?} is no http or https URL"),
                    "write it as https://host, without a query",
                );
                None
            }
        }
    }

    /// A secret, from the variable or from the file that `<name>_FILE` names.
    fn secret(&mut self, name: &str, what: &str) -> Option<Secret> {
        if let Some(value) = self.layers.get(name) {
            return Some(Secret::new(value));
        }
        let file_name = format!("{name}_FILE");
        let Some(path) = self.layers.get(&file_name) else {
            self.mistakes.add(name, "is not set", format!("set it to {what}, or {file_name} to a file that holds it"));
            return None;
        };
        match std::fs::read_to_string(path) {
            Ok(text) if !text.trim().is_empty() => Some(Secret::new(text.trim())),
            Ok(_) => {
                self.mistakes.add(&file_name, format!("{path} is empty"), format!("write {what} into it"));
                None
            }
            Err(error) => {
                self.mistakes.add(
                    &file_name,
                    format!("{path} cannot be read: {error}"),
                    "check the path and its permissions",
                );
                None
            }
        }
    }

    fn redis(&mut self, supabase_url: Option<&str>) -> Option<Redis> {
        let url = Secret::new(self.layers.get("REDIS_URL")?);
        let parsed = reqwest::Url::parse(url.reveal());
        if !parsed.is_ok_and(|url| matches!(url.scheme(), "redis" | "rediss") && url.has_host()) {
            // The URL may hold a password, so it is not shown.
            self.mistakes.add("REDIS_URL", "is no redis or rediss URL", "write it as redis://host:6379");
        }
        let prefix = self.layers.get("QUEUE_PREFIX").map_or_else(|| default_prefix(supabase_url), str::to_owned);
        let fits =
            prefix.len() <= 64 && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !fits || prefix == "bull" {
            self.mistakes.add(
                "QUEUE_PREFIX",
                format!("{prefix:?} is not usable"),
                "use at most 64 letters, digits, '-', '_' or '.', and not \"bull\": workers of the TypeScript daemon would take our jobs",
            );
        }
        Some(Redis { url, prefix })
    }

    fn enterprises(&mut self) -> Vec<EnterpriseId> {
        let text = self.layers.get("DAEMON_ENTERPRISE_IDS").unwrap_or_default().to_owned();
        let mut enterprises: Vec<EnterpriseId> = Vec::new();
        for id in text.split(',').map(str::trim).filter(|id| !id.is_empty()) {
            match id.parse() {
                Ok(id) if !enterprises.contains(&id) => enterprises.push(id),
                Ok(_) => {}
                Err(error) => {
                    self.mistakes.add("DAEMON_ENTERPRISE_IDS", error.to_string(), "write ids separated by commas")
                }
            }
        }
        enterprises
    }

    fn priorities(&mut self) -> Priorities {
        let default = Priorities::default();
        Priorities {
            realtime: self.priority("REALTIME_QUEUE_PRIORITY", default.realtime),
            scheduled: self.priority("SCHEDULED_QUEUE_PRIORITY", default.scheduled),
            cron: self.priority("CRON_QUEUE_PRIORITY", default.cron),
        }
    }

    fn priority(&mut self, name: &str, default: Priority) -> Priority {
        let number = self.number(name, default.get(), 0..=Priority::MAX.get());
        Priority::new(number).unwrap_or(default)
    }

    fn number<T>(&mut self, name: &str, default: T, range: std::ops::RangeInclusive<T>) -> T
    where
        T: std::str::FromStr + PartialOrd + std::fmt::Display + Copy,
    {
        let Some(text) = self.layers.get(name) else { return default };
        match text.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                let hint = format!("use a whole number from {} to {}", range.start(), range.end());
                self.mistakes.add(name, format!("{text:?} is out of range or no number"), hint);
                default
            }
        }
    }

    /// A time in milliseconds, as the original's variables have it.
    fn millis(&mut self, name: &str, default: u64, range: std::ops::RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.number(name, default, range))
    }

    fn health(&mut self) -> SocketAddr {
        let port = self.number("DAEMON_HEALTH_PORT", 3001, 0..=u16::MAX);
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let host = match self.layers.get("DAEMON_HEALTH_HOST").map(str::parse) {
            None => loopback,
            Some(Ok(host)) => host,
            Some(Err(_)) => {
                self.mistakes.add(
                    "DAEMON_HEALTH_HOST",
                    "is no IP address",
                    "use 127.0.0.1, or 0.0.0.0 for every interface",
                );
                loopback
            }
        };
        SocketAddr::new(host, port)
    }

    fn log_level(&mut self) -> String {
        let name = ["DAEMON_LOG_LEVEL", "LOG_LEVEL"].into_iter().find(|name| self.layers.get(name).is_some());
        let Some((name, level)) = name.and_then(|name| Some((name, self.layers.get(name)?.to_lowercase()))) else {
            return "info".to_owned();
        };
        if !["debug", "info", "warn", "error", "trace"].contains(&level.as_str()) {
            self.mistakes.add(name, format!("{level:?} is no level"), "use debug, info, warn or error");
        }
        level
    }
}

/// `xnovu-<project>`, after the first label of the project's host, so that two projects on one Redis do not meet.
fn default_prefix(supabase_url: Option<&str>) -> String {
    let url = supabase_url.and_then(|url| reqwest::Url::parse(url).ok());
    let project = url.and_then(|url| {
        let host = url.host_str()?;
        let name = if host.parse::<IpAddr>().is_ok() { host } else { host.split('.').next()? };
        Some(url.port().map_or_else(|| name.to_owned(), |port| format!("{name}-{port}")))
    });
    let project = project.unwrap_or_default().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    format!("xnovu-{project}").trim_end_matches('-').to_owned()
}

fn default_state() -> PathBuf {
    PathBuf::from(".xnovu")
}

#[cfg(test)]
mod tests;
