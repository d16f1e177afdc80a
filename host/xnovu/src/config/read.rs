//! From what was written to what it means.
//!
//! Owns the checks of each setting. Notes a mistake and reads on, so that all of them are told at once. Never shows a secret.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use xnovu_domain::{EnterpriseId, Priorities, Priority};

use super::settings as s;
use super::table::{Fallback, Kind, Setting};
use super::{
    Config, Cron, Graces, Jobs, Layers, Mistake, Mistakes, Novu, QueuePlace, Redis, Secret, Sources, Supabase, Tracing,
};
use crate::cron::Defaults;
use crate::cron::misfire::{Misfire, Policy};
use crate::telemetry::LogFormat;

/// Shortest token of the admin routes, in bytes.
const ADMIN_TOKEN_BYTES_MIN: usize = 16;

/// Reads and checks every setting.
pub(super) fn read(layers: &Layers) -> Result<Config, Mistakes> {
    let mut read = Reader { layers, mistakes: Mistakes::default() };
    let config = read.config();
    match config {
        Some(config) if read.mistakes.0.is_empty() => Ok(config),
        _ => Err(read.mistakes),
    }
}

/// The state directory. Any text is one.
pub(super) fn state_dir(layers: &Layers) -> PathBuf {
    Reader { layers, mistakes: Mistakes::default() }.text(&s::XNOVU_STATE_DIR).into()
}

/// Reads what finds the queue.
pub(super) fn read_queue(layers: &Layers) -> Result<QueuePlace, Mistakes> {
    let mut read = Reader { layers, mistakes: Mistakes::default() };
    let supabase = read.given(&s::NEXT_PUBLIC_SUPABASE_URL).map(|(_, url)| url);
    let redis = read.redis(supabase.as_deref());
    if redis.is_some() && supabase.is_none() && read.given(&s::QUEUE_PREFIX).is_none() {
        let what = "is not set, and neither is NEXT_PUBLIC_SUPABASE_URL, from which it is made";
        read.mistakes.add(s::QUEUE_PREFIX.name, what, "set one of them as the daemon has it");
    }
    let state = read.text(&s::XNOVU_STATE_DIR).into();
    if read.mistakes.0.is_empty() { Ok(QueuePlace { redis, state }) } else { Err(read.mistakes) }
}

struct Reader<'a> {
    layers: &'a Layers,
    mistakes: Mistakes,
}

/// The whole configuration, field by field.
impl Reader<'_> {
    fn config(&mut self) -> Option<Config> {
        let supabase = self.supabase();
        let novu = self.novu();
        let redis = self.redis(supabase.as_ref().map(|supabase| supabase.url.as_str()));
        let config = Config {
            redis,
            enterprises: self.enterprises(&s::DAEMON_ENTERPRISE_IDS),
            priorities: Priorities {
                realtime: self.priority(&s::REALTIME_QUEUE_PRIORITY),
                scheduled: self.priority(&s::SCHEDULED_QUEUE_PRIORITY),
                cron: self.priority(&s::CRON_QUEUE_PRIORITY),
            },
            jobs: self.jobs(),
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
            supervised: self.layers.get("NOTIFY_SOCKET").is_some(),
            state: state_dir(self.layers),
            warnings: self.unused(),
            supabase: supabase?,
            novu: novu?,
        };
        Some(config)
    }

    fn supabase(&mut self) -> Option<Supabase> {
        let url = self.url(&s::NEXT_PUBLIC_SUPABASE_URL);
        let key = self.required_secret(&s::SUPABASE_SERVICE_ROLE_KEY);
        let concurrency = self.number(&s::SUPABASE_MAX_CONCURRENCY);
        Some(Supabase { url: url?, key: key?, concurrency })
    }

    fn novu(&mut self) -> Option<Novu> {
        let url = self.url(&s::NOVU_API_URL);
        let key = self.required_secret(&s::NOVU_SECRET_KEY);
        let timeout = self.millis(&s::NOVU_TIMEOUT);
        Some(Novu { url: url?, key: key?, timeout })
    }

    fn redis(&mut self, supabase_url: Option<&str>) -> Option<Redis> {
        let url = self.secret(&s::REDIS_URL)?;
        let parsed = reqwest::Url::parse(url.reveal());
        if !parsed.is_ok_and(|url| matches!(url.scheme(), "redis" | "rediss") && url.has_host()) {
            // The URL may hold a password, so it is not shown.
            self.mistakes.add(s::REDIS_URL.name, "is no redis or rediss URL", "write it as redis://host:6379");
        }
        let prefix = self.given(&s::QUEUE_PREFIX).map_or_else(|| default_prefix(supabase_url), |(_, text)| text);
        let fits =
            prefix.len() <= 64 && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !fits || prefix == "bull" {
            self.mistakes.add(
                s::QUEUE_PREFIX.name,
                format!("{prefix:?} is not usable"),
                "use at most 64 letters, digits, '-', '_' or '.', and not \"bull\": workers of the TypeScript daemon would take our jobs",
            );
        }
        Some(Redis { url, prefix })
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

    /// A warning for each variable of the original that is set and means nothing here.
    fn unused(&self) -> Vec<Mistake> {
        let names = self.layers.names().filter(|name| self.layers.get(name).is_some());
        let warning = |name: &str| {
            let setting = s::find(name).filter(|setting| setting.kind == Kind::Unused(true))?;
            let what = format!("is accepted and not used: {}", setting.about);
            Some(Mistake { name: name.to_owned(), what, hint: "remove it".to_owned() })
        };
        names.filter_map(warning).collect()
    }
}

/// One value, by its kind.
impl Reader<'_> {
    /// What was written, and under which of its names.
    fn given(&self, setting: &Setting) -> Option<(&'static str, String)> {
        let names = std::iter::once(setting.name).chain(setting.aliases.iter().copied());
        names.into_iter().find_map(|name| Some((name, self.layers.get(name)?.to_owned())))
    }

    /// What was written, or the default where it is a text. Empty where there is neither.
    fn text(&self, setting: &Setting) -> String {
        let default = if let Fallback::Text(text) = setting.default { text } else { "" };
        self.given(setting).map_or_else(|| default.to_owned(), |(_, text)| text)
    }

    fn url(&mut self, setting: &Setting) -> Option<String> {
        let Some((name, text)) = self.given(setting) else {
            if let Fallback::Text(text) = setting.default {
                return Some(text.to_owned());
            }
            self.missing(setting);
            return None;
        };
        match reqwest::Url::parse(&text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none() => {
                Some(url.as_str().trim_end_matches('/').to_owned())
            }
            _ => {
                let what = format!("{text:?} is no http or https URL");
                self.mistakes.add(name, what, "write it as https://host, without a query");
                None
            }
        }
    }

    fn missing(&mut self, setting: &Setting) {
        let hint = match setting.default {
            Fallback::Required(example) if !setting.secret => {
                format!("set it to the {}, for example {example}", setting.about)
            }
            _ => format!("set it to the {}, or {} to a file that holds it", setting.about, setting.file_name()),
        };
        self.mistakes.add(setting.name, "is not set", hint);
    }

    fn required_secret(&mut self, setting: &Setting) -> Option<Secret> {
        let before = self.mistakes.0.len();
        let secret = self.secret(setting);
        if secret.is_none() && self.mistakes.0.len() == before {
            self.missing(setting);
        }
        secret
    }

    /// A secret, from the variable or from the file that `<name>_FILE` names.
    fn secret(&mut self, setting: &Setting) -> Option<Secret> {
        if let Some((_, value)) = self.given(setting) {
            return Some(Secret::new(&value));
        }
        let file_name = setting.file_name();
        let path = self.layers.get(&file_name)?.to_owned();
        match std::fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => return Some(Secret::new(text.trim())),
            Ok(_) => {
                self.mistakes.add(
                    &file_name,
                    format!("{path} is empty"),
                    format!("write the {} into it", setting.about),
                );
            }
            Err(error) => {
                let what = format!("{path} cannot be read: {error}");
                self.mistakes.add(&file_name, what, "check the path and its permissions");
            }
        }
        None
    }

    /// A token that cannot be guessed.
    fn traces(&mut self) -> Option<Tracing> {
        let (headers, percent) = (self.secret(&s::OTEL_EXPORTER_OTLP_HEADERS), self.number(&s::XNOVU_TRACE_PERCENT));
        self.given(&s::OTEL_EXPORTER_OTLP_ENDPOINT)?;
        let endpoint = self.url(&s::OTEL_EXPORTER_OTLP_ENDPOINT)?;
        Some(Tracing { endpoint, headers, service: self.text(&s::OTEL_SERVICE_NAME), percent })
    }

    fn admin_token(&mut self, setting: &Setting) -> Option<Secret> {
        let token = self.secret(setting)?;
        if token.reveal().len() < ADMIN_TOKEN_BYTES_MIN {
            let what = format!("is shorter than {ADMIN_TOKEN_BYTES_MIN} characters");
            self.mistakes.add(setting.name, what, "make one with: openssl rand -hex 32");
        }
        Some(token)
    }

    fn enterprises(&mut self, setting: &Setting) -> Vec<EnterpriseId> {
        let Some((name, text)) = self.given(setting) else { return Vec::new() };
        let mut enterprises: Vec<EnterpriseId> = Vec::new();
        for id in text.split(',').map(str::trim).filter(|id| !id.is_empty()) {
            match id.parse() {
                Ok(id) if !enterprises.contains(&id) => enterprises.push(id),
                Ok(_) => {}
                Err(error) => self.mistakes.add(name, error.to_string(), "write ids separated by commas"),
            }
        }
        enterprises
    }

    fn priority(&mut self, setting: &Setting) -> Priority {
        Priority::new(self.number(setting)).expect("the table's bounds are those of a priority")
    }

    /// A number within the bounds of the table, which fit the type it is read into.
    fn number<T: TryFrom<u64>>(&mut self, setting: &Setting) -> T {
        let number = self.checked_number(setting);
        let Ok(number) = T::try_from(number) else { panic!("{}: the table's bounds exceed its field", setting.name) };
        number
    }

    fn checked_number(&mut self, setting: &Setting) -> u64 {
        let (Kind::Number(min, max) | Kind::Millis(min, max), Fallback::Number(default)) =
            (setting.kind, setting.default)
        else {
            panic!("{} is no number in the table", setting.name)
        };
        let Some((name, text)) = self.given(setting) else { return default };
        match text.parse() {
            Ok(number) if (min..=max).contains(&number) => number,
            _ => {
                let hint = format!("use a whole number from {min} to {max}");
                self.mistakes.add(name, format!("{text:?} is out of range or no number"), hint);
                default
            }
        }
    }

    /// A time in milliseconds, as the original's variables have it.
    fn millis(&mut self, setting: &Setting) -> Duration {
        Duration::from_millis(self.checked_number(setting))
    }

    fn address(&mut self, setting: &Setting) -> IpAddr {
        let text = self.text(setting);
        text.parse().unwrap_or_else(|_| {
            let hint = "use 127.0.0.1, or 0.0.0.0 for every interface";
            self.mistakes.add(setting.name, format!("{text:?} is no IP address"), hint);
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        })
    }

    /// `true` or `false`.
    fn switch(&mut self, setting: &Setting) -> bool {
        let text = self.text(setting).to_lowercase();
        if !matches!(text.as_str(), "true" | "false") {
            self.mistakes.add(setting.name, format!("{text:?} is not known"), "use true or false");
        }
        text == "true"
    }

    /// One of the words, in lower case.
    fn choice(&mut self, setting: &Setting) -> String {
        let Kind::Choice(words) = setting.kind else { panic!("{} is no choice in the table", setting.name) };
        let given = self.given(setting);
        let text = given.as_ref().map_or_else(|| self.text(setting), |(_, text)| text.to_lowercase());
        if let (Some((name, _)), false) = (given, words.contains(&text.as_str())) {
            self.mistakes.add(name, format!("{text:?} is not known"), format!("use {}", words.join(", ")));
        }
        text
    }
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
