//! From what was written to what it means.
//!
//! Owns the checks of each setting. Notes a mistake and reads on, so that all of them are told at once. Never shows a secret.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use xnovu_domain::{EnterpriseId, Priorities, Priority};
use xnovu_rules::BINDINGS_FILE;

use super::enterprises::{self, EnterpriseSettings, PerEnterprise};
use super::layers::Found;
use super::secret::SecretFiles;
use super::settings as s;
use super::table::Setting;
use super::{
    Config, Cron, Graces, Jobs, Layers, Mistake, Mistakes, Novu, QueuePlace, Redis, RedisTls, Secret, Sources,
    Supabase, Tracing, names, relations,
};
use crate::cron::Defaults;
use crate::cron::misfire::{Misfire, Policy};
use crate::telemetry::LogFormat;

/// Reads and checks every setting.
pub(super) fn read(layers: &Layers) -> Result<Config, Mistakes> {
    let (config, mistakes) = examine(layers);
    if mistakes.0.is_empty() { Ok(config) } else { Err(mistakes) }
}

/// Reads and checks every setting, and says all that is to be said of them: what is missing or wrong, and what works and is worth a word.
#[must_use]
pub fn check(layers: &Layers) -> (Mistakes, Vec<Mistake>) {
    let (config, mistakes) = examine(layers);
    (mistakes, config.warnings)
}

/// What the settings come to. Where there are mistakes, something else stands in their place: nothing may be done with settings that are
/// wrong, and with the others only what shows whether they work.
#[must_use]
pub fn examine(layers: &Layers) -> (Config, Mistakes) {
    let mut read = Reader::new(layers);
    let config = read.config();
    let Reader { mistakes, mut warnings, files, .. } = read;
    warnings.extend(relations::warnings(&config, layers));
    (Config { warnings, secret_files: files, ..config }, mistakes)
}

/// Demands of a plugins' directory that was named that it says who has rules: one that is not mounted, or mistyped, would let everything
/// pass.
///
/// # Errors
/// It holds no `bindings.toml`.
pub fn require_bindings(layers: &Layers) -> Result<(), Mistakes> {
    let mut read = Reader::new(layers);
    if let Some(found) = layers.find(&s::XNOVU_PLUGINS) {
        let file = PathBuf::from(&found.value).join(BINDINGS_FILE);
        if !file.exists() {
            let hint =
                format!("mount the directory, or put an empty file there to send without rules: {}", file.display());
            read.wrong(&found, format!("{} is not there", file.display()), &hint);
        }
    }
    if read.mistakes.0.is_empty() { Ok(()) } else { Err(read.mistakes) }
}

/// The state directory. Any text is one.
pub(super) fn state_dir(layers: &Layers) -> PathBuf {
    Reader::new(layers).text(&s::XNOVU_STATE_DIR).into()
}

/// Reads what finds the queue.
pub(super) fn read_queue(layers: &Layers) -> Result<QueuePlace, Mistakes> {
    let mut read = Reader::new(layers);
    let supabase = layers.find(&s::NEXT_PUBLIC_SUPABASE_URL).map(|found| found.value);
    let redis = read.redis(supabase.as_deref());
    if redis.is_some() && supabase.is_none() && layers.find(&s::QUEUE_PREFIX).is_none() {
        let what = "is not set, and neither is NEXT_PUBLIC_SUPABASE_URL, from which it is made";
        read.mistakes.add(s::QUEUE_PREFIX.name, what, "set one of them as the daemon has it");
    }
    let state = read.text(&s::XNOVU_STATE_DIR).into();
    if read.mistakes.0.is_empty() { Ok(QueuePlace { redis, state }) } else { Err(read.mistakes) }
}

/// Notes what is wrong while it reads.
pub(super) struct Reader<'a> {
    pub(super) layers: &'a Layers,
    pub(super) mistakes: Mistakes,
    pub(super) warnings: Vec<Mistake>,
    pub(super) files: SecretFiles,
}

impl<'a> Reader<'a> {
    fn new(layers: &'a Layers) -> Self {
        let (mistakes, warnings) = (layers.mistakes.clone(), Vec::new());
        Self { layers, mistakes, warnings, files: SecretFiles::default() }
    }
}

/// The whole configuration, field by field. What is missing or wrong is noted, and something stands in its place.
impl Reader<'_> {
    fn config(&mut self) -> Config {
        let supabase = self.supabase();
        let novu = self.novu();
        let redis = self.redis(Some(supabase.url.as_str()).filter(|url| !url.is_empty()));
        let enterprises = self.enterprises(&s::DAEMON_ENTERPRISE_IDS);
        let (priorities, jobs) = (self.priorities(), self.jobs());
        let per_enterprise = self.per_enterprise(EnterpriseSettings {
            priorities,
            attempts: jobs.attempts,
            ..PerEnterprise::default().default
        });
        self.warnings.extend(names::warnings(self.layers));
        Config {
            redis,
            enterprises,
            jobs,
            per_enterprise: Arc::new(per_enterprise),
            sources: Sources {
                reconnect_delay: self.millis(&s::SUBSCRIPTION_RECONNECT_DELAY),
                heartbeat: self.millis(&s::SUBSCRIPTION_HEARTBEAT_INTERVAL),
                sweep_interval: self.millis(&s::XNOVU_SWEEP_INTERVAL),
            },
            cron: self.cron(),
            concurrency: self.number(&s::WORKER_CONCURRENCY),
            health: SocketAddr::new(self.address(&s::DAEMON_HEALTH_HOST), self.number(&s::DAEMON_HEALTH_PORT)),
            admin_token: self.admin_token(&s::XNOVU_ADMIN_TOKEN),
            graces: Graces {
                admission: self.millis(&s::XNOVU_ADMISSION_GRACE),
                workers: self.millis(&s::XNOVU_WORKER_GRACE),
            },
            log_level: self.choice(&s::DAEMON_LOG_LEVEL),
            traces: self.traces(),
            log_format: LogFormat::named(&self.choice(&s::XNOVU_LOG_FORMAT)),
            plugins: self.text(&s::XNOVU_PLUGINS).into(),
            rescan: self.millis(&s::XNOVU_PLUGINS_RESCAN),
            rule_threads: self.number(&s::XNOVU_RULE_THREADS),
            supervised: self.layers.get("NOTIFY_SOCKET").is_some(),
            state: state_dir(self.layers),
            database_url: self.secret(&s::DATABASE_URL),
            warnings: Vec::new(),
            secret_files: SecretFiles::default(),
            supabase,
            novu,
        }
    }

    fn supabase(&mut self) -> Supabase {
        let url = self.url(&s::NEXT_PUBLIC_SUPABASE_URL).unwrap_or_default();
        let key = self.required_secret(&s::SUPABASE_SERVICE_ROLE_KEY);
        let concurrency = self.number(&s::SUPABASE_MAX_CONCURRENCY);
        Supabase { url, key, concurrency }
    }

    fn novu(&mut self) -> Novu {
        let url = self.url(&s::NOVU_API_URL).unwrap_or_default();
        let key = self.required_secret(&s::NOVU_SECRET_KEY);
        let timeout = self.millis(&s::NOVU_TIMEOUT);
        Novu { url, key, timeout }
    }

    fn redis(&mut self, supabase_url: Option<&str>) -> Option<Redis> {
        let secret = self.secret(&s::REDIS_URL);
        let (username, password) = (self.text(&s::REDIS_USERNAME), self.secret(&s::REDIS_PASSWORD));
        let tls = self.redis_tls();
        let prefix = self.prefix(supabase_url);
        let parsed = reqwest::Url::parse(&secret?.reveal());
        let Some(mut url) = parsed.ok().filter(|url| matches!(url.scheme(), "redis" | "rediss") && url.has_host())
        else {
            // The URL may hold a password, so it is not shown.
            self.mistakes.add(s::REDIS_URL.name, "is no redis or rediss URL", "write it as redis://host:6379");
            return None;
        };
        if !username.is_empty() {
            url.set_username(&username).expect("a URL with a host takes a name");
        }
        if let Some(password) = password {
            url.set_password(Some(&password.reveal())).expect("a URL with a host takes a password");
        }
        if tls != RedisTls::default() && url.scheme() == "redis" {
            let hint = "write it as rediss://, or take the certificates away";
            self.mistakes.add(s::REDIS_URL.name, "is no rediss URL, and REDIS_TLS_… is set", hint);
        }
        Some(Redis { url: Secret::new(url.as_str()), prefix, tls })
    }

    fn redis_tls(&mut self) -> RedisTls {
        let ca = self.pem(&s::REDIS_TLS_CA);
        let client = match (self.pem(&s::REDIS_TLS_CERT), self.pem(&s::REDIS_TLS_KEY)) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (certificate, _) => {
                let set = |setting| self.layers.find(setting).is_some();
                // A file that could not be read has been told of already.
                if !(set(&s::REDIS_TLS_CERT) && set(&s::REDIS_TLS_KEY)) {
                    let missing = if certificate.is_some() { s::REDIS_TLS_KEY } else { s::REDIS_TLS_CERT };
                    let hint = "set REDIS_TLS_CERT and REDIS_TLS_KEY, or neither";
                    self.mistakes.add(missing.name, "is not set, and its other half is", hint);
                }
                None
            }
        };
        RedisTls { ca, client }
    }

    /// A file of PEM.
    fn pem(&mut self, setting: &Setting) -> Option<Vec<u8>> {
        let found = self.layers.find(setting)?;
        let wrong = match std::fs::read(&found.value) {
            Ok(bytes)
                if bytes.starts_with(b"-----BEGIN ") || bytes.windows(12).any(|window| window == b"\n-----BEGIN ") =>
            {
                return Some(bytes);
            }
            Ok(_) => format!("{} holds no PEM", found.value),
            Err(error) => format!("{} cannot be read: {error}", found.value),
        };
        self.wrong(&found, wrong, "name a file of PEM that we may read");
        None
    }

    fn prefix(&mut self, supabase_url: Option<&str>) -> String {
        let Some(found) = self.layers.find(&s::QUEUE_PREFIX) else { return default_prefix(supabase_url) };
        let prefix = found.value.as_str();
        let fits =
            prefix.len() <= 64 && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !fits || prefix == "bull" {
            let hint = "use at most 64 letters, digits, '-', '_' or '.', and not \"bull\": workers of the TypeScript daemon would take our jobs";
            self.wrong(&found, format!("{prefix:?} is not usable"), hint);
        }
        found.value
    }

    fn priorities(&mut self) -> Priorities {
        let mut priority = |setting| priority_of(self.number(setting));
        Priorities {
            realtime: priority(&s::REALTIME_QUEUE_PRIORITY),
            scheduled: priority(&s::SCHEDULED_QUEUE_PRIORITY),
            cron: priority(&s::CRON_QUEUE_PRIORITY),
        }
    }

    fn jobs(&mut self) -> Jobs {
        Jobs {
            attempts: self.number(&s::RULE_ENGINE_RETRY_ATTEMPTS),
            backoff: self.millis(&s::RULE_ENGINE_RETRY_DELAY),
            backoff_max: self.millis(&s::QUEUE_BACKOFF_MAX),
            give_up_after: self.millis(&s::XNOVU_GIVE_UP_AFTER),
            keep_completed: self.number(&s::QUEUE_KEEP_COMPLETED),
            keep_failed: self.number(&s::QUEUE_KEEP_FAILED),
            lock: self.millis(&s::QUEUE_LOCK),
            stalled_interval: self.millis(&s::QUEUE_STALLED_INTERVAL),
            stalled_max: self.number(&s::QUEUE_STALLED_MAX),
        }
    }

    fn traces(&mut self) -> Option<Tracing> {
        let (headers, percent) = (self.secret(&s::OTEL_EXPORTER_OTLP_HEADERS), self.number(&s::XNOVU_TRACE_PERCENT));
        self.layers.find(&s::OTEL_EXPORTER_OTLP_ENDPOINT)?;
        let endpoint = self.url(&s::OTEL_EXPORTER_OTLP_ENDPOINT)?;
        Some(Tracing { endpoint, headers, service: self.text(&s::OTEL_SERVICE_NAME), percent })
    }

    fn cron(&mut self) -> Cron {
        let name = self.text(&s::RULE_ENGINE_TIMEZONE);
        let zone = name.parse().unwrap_or_else(|_| {
            let what = format!("{name:?} is no zone of the IANA database");
            self.mistakes.add(s::RULE_ENGINE_TIMEZONE.name, what, "use a name such as Europe/Berlin or UTC");
            chrono_tz::Tz::UTC
        });
        let policy = Policy::named(&self.choice(&s::XNOVU_MISFIRE)).unwrap_or(Policy::Once);
        let misfire = Misfire { policy, window: self.millis(&s::XNOVU_MISFIRE_WINDOW) };
        Cron {
            enabled: self.switch(&s::RULE_ENGINE_ENABLED),
            interval: self.millis(&s::XNOVU_RULES_INTERVAL),
            defaults: Defaults { zone, misfire },
        }
    }

    fn per_enterprise(&mut self, default: EnterpriseSettings) -> PerEnterprise {
        let written = enterprises::collect(self.layers);
        for (one, other) in &written.unclear {
            let hint = format!("keep one of {} and {}", one.name, other.name);
            self.wrong(other, "is set twice, differently, under two spellings of one enterprise".to_owned(), &hint);
        }
        for found in &written.unknown {
            let known: Vec<&str> = s::ENTERPRISE.settings.iter().map(|setting| setting.name).collect();
            let hint = format!("names are ENT_<id>_ and one of {}", known.join(", "));
            self.warn(found, "is no setting of an enterprise", &hint);
        }
        let mut named = std::collections::BTreeMap::new();
        for (id, found) in written.by_id {
            named.insert(id, self.one_enterprise(&default, &found));
        }
        PerEnterprise { default, named }
    }

    fn one_enterprise(
        &mut self,
        default: &EnterpriseSettings,
        written: &std::collections::BTreeMap<&'static str, Found>,
    ) -> EnterpriseSettings {
        for found in written.values() {
            if let Some(Err(error)) = enterprises::split(&found.name).map(|(id, _)| id.parse::<EnterpriseId>()) {
                self.wrong(found, error.to_string(), "write the id as it stands in the column enterprise_id");
            }
        }
        let mut number = |setting: &Setting| {
            let found = written.get(setting.name)?;
            u32::try_from(self.number_in(found, setting)?).ok()
        };
        let (realtime, scheduled, cron) = (number(&s::ENT_REALTIME), number(&s::ENT_SCHEDULED), number(&s::ENT_CRON));
        let (attempts, concurrency, rate_per_second) =
            (number(&s::ENT_ATTEMPTS), number(&s::ENT_CONCURRENCY), number(&s::ENT_RATE));
        let enabled = written.get(s::ENT_ENABLED.name).map(|found| self.switch_in(found));
        let events = written.get(s::ENT_EVENTS.name).and_then(|found| self.events_in(found));
        EnterpriseSettings {
            enabled: enabled.unwrap_or(default.enabled),
            events: events.unwrap_or(default.events),
            priorities: Priorities {
                realtime: realtime.map_or(default.priorities.realtime, priority_of),
                scheduled: scheduled.map_or(default.priorities.scheduled, priority_of),
                cron: cron.map_or(default.priorities.cron, priority_of),
            },
            attempts: attempts.unwrap_or(default.attempts),
            concurrency,
            rate_per_second,
        }
    }
}

fn priority_of(number: u32) -> Priority {
    Priority::new(number).expect("the table's bounds are those of a priority")
}

/// `xnovu-<project>`, after the first label of the project's host, so that two projects on one Redis do not meet.
pub(super) fn default_prefix(supabase_url: Option<&str>) -> String {
    let url = supabase_url.and_then(|url| reqwest::Url::parse(url).ok());
    let project = url.and_then(|url| {
        let host = url.host_str()?;
        let name = if host.parse::<IpAddr>().is_ok() { host } else { host.split('.').next()? };
        Some(url.port().map_or_else(|| name.to_owned(), |port| format!("{name}-{port}")))
    });
    let project = project.unwrap_or_default().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    format!("xnovu-{project}").trim_end_matches('-').to_owned()
}
