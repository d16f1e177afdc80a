//! The settings as they are, for whoever asks.
//!
//! Owns what is shown of each: its value, where it comes from, and of a secret nothing but where it leads. Never shows a key or a password.

use serde::Serialize;

use super::enterprises::{self, PREFIX};
use super::layers::{Found, Layer, Layers, Origin};
use super::read::default_prefix;
use super::settings::{self as s, GROUPS};
use super::table::{Fallback, Kind, Setting};

/// What stands in place of a secret.
const HIDDEN: &str = "(hidden)";

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
    /// Whether the value is hidden, at least in part.
    pub secret: bool,
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
    Shown {
        group,
        name: setting.name.to_owned(),
        key: setting.key.to_owned(),
        value: value(setting, found, layers),
        secret: setting.secret,
        layer: word(origin),
        file: place.map(|(path, _)| path.display().to_string()),
        line: place.map(|(_, line)| *line),
        origin: origin.map_or("default".to_owned(), Origin::to_string),
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
    // What has no meaning here may have been a secret where it came from.
    if matches!(setting.kind, Kind::Unused(_)) {
        return Some(HIDDEN.to_owned());
    }
    if setting.is_file(&found.name) {
        return Some(format!("{HIDDEN} in {}", found.value));
    }
    Some(if setting.secret { hide(&found.value) } else { found.value.clone() })
}

/// Of a URL what it leads to; of any other secret nothing.
fn hide(secret: &str) -> String {
    let url = reqwest::Url::parse(secret).ok().filter(|url| url.has_host());
    let Some(mut url) = url else { return HIDDEN.to_owned() };
    url.set_query(None);
    url.set_fragment(None);
    if url.password().is_some() {
        let hidden = url.set_password(Some("hidden"));
        if hidden.is_err() {
            return HIDDEN.to_owned();
        }
    }
    url.to_string()
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
}
