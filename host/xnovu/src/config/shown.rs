//! The settings as they are, for whoever asks.
//!
//! Owns what is shown of each: its value, where it comes from, and of a secret nothing but where it leads. Never shows a key or a password, and
//! never reads a file that holds one.

use serde::Serialize;

use super::enterprises::{self, PREFIX};
use super::layers::{Found, Layer, Layers, Origin};
use super::read::default_prefix;
use super::settings::{self as s, GROUPS};
use super::table::{Fallback, Kind, Setting};

/// What stands in place of a secret.
const HIDDEN: &str = "(hidden)";

/// What stands in place of a secret inside a URL.
const HIDDEN_IN_URL: &str = "hidden";

/// Secrets that lead somewhere, which is shown.
const SECRET_URLS: [&str; 2] = [s::REDIS_URL.name, s::DATABASE_URL.name];

/// One setting as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// What it belongs to.
    pub group: &'static str,
    /// Its variable.
    pub name: String,
    /// Its place in `xnovu.toml`.
    pub key: String,
    /// Its value; None where there is none.
    pub value: Option<String>,
    /// Whether it is a secret, which is hidden.
    pub secret: bool,
    /// The file that holds the secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<String>,
    /// Another spelling of the variable, under which it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spelling: Option<String>,
    /// `flag`, `environment`, `.env`, `xnovu.toml` or `default`.
    pub layer: &'static str,
    /// The file it stands in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line of that file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// All of that for people.
    #[serde(skip)]
    pub origin: String,
}

/// Every setting, in the order of the documents, and behind them those of single enterprises. Of what has no meaning any more only what was
/// written.
#[must_use]
pub fn shown(layers: &Layers) -> Vec<Shown> {
    let all = GROUPS.iter().flat_map(|group| group.settings.iter().map(|setting| (group.title, setting)));
    let general = all.filter_map(|(group, setting)| {
        let found = layers.find(setting);
        let unused = matches!(setting.kind, Kind::Unused(_));
        (!unused || found.is_some()).then(|| show(group, setting, found.as_ref(), layers))
    });
    let written = enterprises::collect(layers);
    let of_enterprises = written.by_id.values().flat_map(|settings| settings.values()).filter_map(|found| {
        let (id, setting) = enterprises::split(&found.name)?;
        let shown = show(s::ENTERPRISE.title, setting, Some(found), layers);
        let (name, key) = (format!("{PREFIX}{id}_{}", setting.name), format!("enterprises.\"{id}\".{}", setting.key));
        Some(Shown { name, key, ..shown })
    });
    general.chain(of_enterprises).collect()
}

fn show(group: &'static str, setting: &Setting, found: Option<&Found>, layers: &Layers) -> Shown {
    let origin = found.map(|found| &found.origin);
    let place = origin.and_then(|origin| origin.place.as_ref());
    let in_file = found.filter(|found| setting.is_file(&found.name));
    let spelling = found.filter(|found| found.name != setting.name && !found.name.starts_with(PREFIX));
    let spelling = spelling.map(|found| found.name.clone());
    let told = origin.map_or_else(|| unset(setting).to_owned(), Origin::to_string);
    Shown {
        group,
        name: setting.name.to_owned(),
        key: setting.key.to_owned(),
        value: value(setting, found, layers),
        secret: setting.secret,
        secret_file: in_file.map(|found| found.value.clone()),
        layer: word(origin),
        file: place.map(|(path, _)| path.strip_prefix(".").unwrap_or(path).display().to_string()),
        line: place.map(|(_, line)| *line),
        origin: spelling.as_ref().map_or(told.clone(), |spelling| format!("{told}, as {spelling}")),
        spelling,
    }
}

/// What is said of a setting nobody has set.
fn unset(setting: &Setting) -> &'static str {
    match setting.default {
        Fallback::Required(_) => "missing",
        Fallback::Unset => "not set",
        Fallback::Number(_) | Fallback::Text(_) | Fallback::Computed(_) => "default",
    }
}

fn word(origin: Option<&Origin>) -> &'static str {
    match origin.map(|origin| origin.layer) {
        None => "default",
        Some(Layer::File) => "xnovu.toml",
        Some(Layer::DotEnv) => ".env",
        Some(Layer::Environment) => "environment",
        Some(Layer::Flag) => "flag",
    }
}

fn value(setting: &Setting, found: Option<&Found>, layers: &Layers) -> Option<String> {
    let Some(found) = found else {
        return match setting.default {
            Fallback::Required(_) | Fallback::Unset => None,
            _ if setting.name == s::QUEUE_PREFIX.name => {
                Some(default_prefix(layers.find(&s::NEXT_PUBLIC_SUPABASE_URL).map(|found| found.value).as_deref()))
            }
            default => Some(default.to_string()),
        };
    };
    let text = found.value.as_str();
    Some(match setting.kind {
        // What has no meaning here may have been a secret where it came from.
        Kind::Unused(_) => HIDDEN.to_owned(),
        _ if setting.is_file(&found.name) => format!("{HIDDEN} in {text}"),
        _ if setting.secret && SECRET_URLS.contains(&setting.name) => place(text).unwrap_or(HIDDEN.to_owned()),
        _ if setting.secret => HIDDEN.to_owned(),
        // A key that was pasted where a URL belongs is still a key.
        Kind::Url => place(text).unwrap_or(HIDDEN.to_owned()),
        _ => text.to_owned(),
    })
}

/// Where a URL leads, without a password, query or fragment. None where it is no URL, or cannot be told from a secret.
#[must_use]
pub fn place(url: &str) -> Option<String> {
    let mut url = reqwest::Url::parse(url).ok().filter(reqwest::Url::has_host)?;
    // A password with a slash that is not escaped ends up here.
    if url.path().contains('@') {
        return None;
    }
    url.set_query(None);
    url.set_fragment(None);
    if url.password().is_some() {
        url.set_password(Some(HIDDEN_IN_URL)).ok()?;
    } else if !url.username().is_empty() {
        // Who forgets the colon writes the password here.
        url.set_username(HIDDEN_IN_URL).ok()?;
    }
    Some(url.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(settings: &[(&str, &str)]) -> Vec<Shown> {
        let mut layers = Layers::default();
        settings.iter().for_each(|(name, value)| layers.set(name, value, Layer::Environment));
        shown(&layers)
    }

    fn value(shown: &[Shown], name: &str) -> Option<String> {
        shown.iter().find(|shown| shown.name == name).unwrap().value.clone()
    }

    #[test]
    fn every_setting_is_shown_with_its_value_and_layer() {
        let shown = of(&[
            ("WORKER_CONCURRENCY", "9"),
            ("SUPABASE_URL", "https://acme.supabase.co"),
            ("ENT_a-1_CONCURRENCY", "3"),
        ]);
        let used = s::all().filter(|setting| !matches!(setting.kind, Kind::Unused(_))).count();
        assert_eq!(shown.len(), used + 1);
        assert_eq!(value(&shown, "WORKER_CONCURRENCY"), Some("9".to_owned()));
        assert_eq!(value(&shown, "NOVU_TIMEOUT"), Some("30000".to_owned()));
        assert_eq!(value(&shown, "QUEUE_PREFIX"), Some("xnovu-acme".to_owned()));
        assert_eq!(value(&shown, "NOVU_SECRET_KEY"), None);
        assert_eq!(value(&shown, "ENT_a-1_CONCURRENCY"), Some("3".to_owned()));
        let layers: Vec<&str> =
            shown.iter().filter(|shown| shown.layer != "default").map(|shown| shown.name.as_str()).collect();
        assert_eq!(layers, ["NEXT_PUBLIC_SUPABASE_URL", "WORKER_CONCURRENCY", "ENT_a-1_CONCURRENCY"]);
    }

    #[test]
    fn no_secret_is_shown_in_any_form() {
        let shown = of(&[
            ("NOVU_SECRET_KEY", "hunter2"),
            ("SUPABASE_SERVICE_ROLE_KEY_FILE", "/run/secrets/key"),
            ("REDIS_URL", "rediss://me:hunter2@redis:6380/1?x=hunter2"),
            ("REDIS_PASSWORD", "hunter2"),
            ("DATABASE_URL", "host=db password=hunter2"),
            ("NOVU_API_URL", "https://hunter2@novu.example"),
            ("SUPABASE_URL", "hunter2"),
            ("NEXT_PUBLIC_SUPABASE_ANON_KEY", "hunter2"),
        ]);
        assert!(!serde_json::to_string(&shown).unwrap().contains("hunter2"));
        assert_eq!(value(&shown, "REDIS_URL"), Some("rediss://me:hidden@redis:6380/1".to_owned()));
        assert_eq!(value(&shown, "SUPABASE_SERVICE_ROLE_KEY"), Some("(hidden) in /run/secrets/key".to_owned()));
        for setting in s::all().filter(|setting| setting.secret) {
            let shown = of(&[(setting.name, "hunter2")]);
            assert_eq!(value(&shown, setting.name), Some(HIDDEN.to_owned()), "{}", setting.name);
        }
    }

    #[test]
    fn of_a_url_the_place_is_shown_and_nothing_that_may_be_a_password() {
        for (url, want) in [
            ("redis://redis:6379/2", Some("redis://redis:6379/2")),
            ("redis://:hunter2@redis", Some("redis://:hidden@redis")),
            ("redis://hunter2@redis", Some("redis://hidden@redis")),
            (
                "postgresql://me:hunter2@db:5432/postgres?password=hunter2#hunter2",
                Some("postgresql://me:hidden@db:5432/postgres"),
            ),
            ("postgresql://me:12/hunter2@db/postgres", None),
            ("host=db password=hunter2", None),
            ("hunter2", None),
        ] {
            assert_eq!(place(url).as_deref(), want, "{url}");
        }
    }

    #[test]
    fn an_older_spelling_is_named_with_where_it_stands() {
        let shown = of(&[("LOG_LEVEL", "debug"), ("ENT_a_1_MAX_RETRIES", "4")]);
        let one = |name: &str| shown.iter().find(|shown| shown.name == name).unwrap();
        assert_eq!(one("DAEMON_LOG_LEVEL").origin, "environment, as LOG_LEVEL");
        assert_eq!(one("DAEMON_LOG_LEVEL").spelling.as_deref(), Some("LOG_LEVEL"));
        assert_eq!(one("ENT_a_1_RETRY_ATTEMPTS").key, "enterprises.\"a_1\".attempts");
    }
}
