//! One value, from what was written to its type.
//!
//! Owns the check of each kind of setting. A mistake is noted, and reading goes on with the default, so that all are told at once.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use xnovu_domain::EnterpriseId;

use super::enterprises::Events;
use super::layers::Found;
use super::read::Reader;
use super::table::{Fallback, Kind, Setting};
use super::{Mistake, Secret};

/// Shortest token of the admin routes, in bytes.
const ADMIN_TOKEN_BYTES_MIN: usize = 16;

/// One value, by its kind.
impl Reader<'_> {
    pub(super) fn wrong(&mut self, found: &Found, what: String, hint: &str) {
        let what = if found.origin.place.is_some() { format!("{what} ({})", found.origin) } else { what };
        self.mistakes.add(&found.name, what, hint);
    }

    pub(super) fn warn(&mut self, found: &Found, what: &str, hint: &str) {
        self.warnings.push(Mistake { name: found.name.clone(), what: what.to_owned(), hint: hint.to_owned() });
    }

    /// What was written, or the default where it is a text. Empty where there is neither.
    pub(super) fn text(&self, setting: &Setting) -> String {
        let default = if let Fallback::Text(text) = setting.default { text } else { "" };
        self.layers.find(setting).map_or_else(|| default.to_owned(), |found| found.value)
    }

    pub(super) fn url(&mut self, setting: &Setting) -> Option<String> {
        let Some(found) = self.layers.find(setting) else {
            if let Fallback::Text(text) = setting.default {
                return Some(text.to_owned());
            }
            self.missing(setting);
            return None;
        };
        match reqwest::Url::parse(&found.value) {
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                let hint = "write it as https://host; the key has a variable of its own";
                self.wrong(&found, "holds a name or a password".to_owned(), hint);
                None
            }
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none() => {
                Some(url.as_str().trim_end_matches('/').to_owned())
            }
            _ => {
                // Keys are pasted where URLs belong, and URLs may hold passwords.
                let shown =
                    super::shown::place(&found.value).map_or("the value".to_owned(), |place| format!("{place:?}"));
                self.wrong(
                    &found,
                    format!("{shown} is no http or https URL"),
                    "write it as https://host, without a query",
                );
                None
            }
        }
    }

    pub(super) fn missing(&mut self, setting: &Setting) {
        let hint = match setting.default {
            Fallback::Required(example) if !setting.secret => {
                format!("set it to the {}, for example {example}", setting.about)
            }
            _ => format!("set it to the {}, or {} to a file that holds it", setting.about, setting.file_name()),
        };
        self.mistakes.add(setting.name, "is not set", hint);
    }

    /// A secret there must be. Where there is none, that is noted, and an empty one stands in its place.
    pub(super) fn required_secret(&mut self, setting: &Setting) -> Secret {
        if self.layers.find(setting).is_none() {
            self.missing(setting);
        }
        self.secret(setting).unwrap_or_else(|| Secret::new(""))
    }

    /// A secret that is asked for at each use, so that its file is watched.
    pub(super) fn secret(&mut self, setting: &Setting) -> Option<Secret> {
        self.watched_secret(setting, 1)
    }

    fn watched_secret(&mut self, setting: &Setting, bytes_min: usize) -> Option<Secret> {
        let secret = self.secret_once(setting)?;
        if let Some(found) = self.layers.find(setting).filter(|found| setting.is_file(&found.name)) {
            self.files.add(&found.name, &secret, bytes_min);
        }
        Some(secret)
    }

    /// A secret as it is now, from the variable or from the file that `<name>_FILE` names.
    pub(super) fn secret_once(&mut self, setting: &Setting) -> Option<Secret> {
        let found = self.layers.find(setting)?;
        if !setting.is_file(&found.name) {
            return Some(Secret::new(&found.value));
        }
        match Secret::of_file(Path::new(&found.value)) {
            Ok(secret) => Some(secret),
            Err(wrong) => {
                let hint = format!(
                    "check the path and its permissions; the file holds the {} and nothing else",
                    setting.about
                );
                self.wrong(&found, format!("{} {wrong}", found.value), &hint);
                None
            }
        }
    }

    /// A token that cannot be guessed.
    pub(super) fn admin_token(&mut self, setting: &Setting) -> Option<Secret> {
        let token = self.watched_secret(setting, ADMIN_TOKEN_BYTES_MIN)?;
        if token.reveal().len() < ADMIN_TOKEN_BYTES_MIN {
            let what = format!("is shorter than {ADMIN_TOKEN_BYTES_MIN} characters");
            self.mistakes.add(setting.name, what, "make one with: openssl rand -hex 32");
        }
        Some(token)
    }

    pub(super) fn enterprises(&mut self, setting: &Setting) -> Vec<EnterpriseId> {
        let Some(found) = self.layers.find(setting) else { return Vec::new() };
        let mut enterprises: Vec<EnterpriseId> = Vec::new();
        for id in found.value.split(',').map(str::trim).filter(|id| !id.is_empty()) {
            match id.parse() {
                Ok(id) if !enterprises.contains(&id) => enterprises.push(id),
                Ok(_) => {}
                Err(error) => self.wrong(&found, error.to_string(), "write ids separated by commas"),
            }
        }
        enterprises
    }

    /// A number within the bounds of the table, which fit the type it is read into.
    pub(super) fn number<T: TryFrom<u64>>(&mut self, setting: &Setting) -> T {
        let number = self.checked_number(setting);
        let Ok(number) = T::try_from(number) else { panic!("{}: the table's bounds exceed its field", setting.name) };
        number
    }

    /// A time in milliseconds, as the original's variables have it.
    pub(super) fn millis(&mut self, setting: &Setting) -> Duration {
        Duration::from_millis(self.checked_number(setting))
    }

    pub(super) fn checked_number(&mut self, setting: &Setting) -> u64 {
        let Fallback::Number(default) = setting.default else { panic!("{} has no number in the table", setting.name) };
        let found = self.layers.find(setting);
        found.and_then(|found| self.number_in(&found, setting)).unwrap_or(default)
    }

    pub(super) fn number_in(&mut self, found: &Found, setting: &Setting) -> Option<u64> {
        let (Kind::Number(min, max) | Kind::Millis(min, max)) = setting.kind else {
            panic!("{} is no number in the table", setting.name)
        };
        let number = found.value.parse().ok().filter(|number| (min..=max).contains(number));
        if number.is_none() {
            let what = format!("{:?} is out of range or no number", found.value);
            self.wrong(found, what, &format!("use a whole number from {min} to {max}"));
        }
        number
    }

    pub(super) fn switch_in(&mut self, found: &Found) -> bool {
        match found.value.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => true,
            "false" | "0" | "no" | "off" => false,
            _ => {
                self.wrong(found, format!("{:?} is neither true nor false", found.value), "use true or false");
                true
            }
        }
    }

    pub(super) fn events_in(&mut self, found: &Found) -> Option<Events> {
        let events = Events::parse(&found.value);
        if events.is_none() {
            self.wrong(found, format!("{:?} names no events", found.value), "use INSERT, UPDATE, or both with a comma");
        }
        events
    }

    pub(super) fn address(&mut self, setting: &Setting) -> IpAddr {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let Some(found) = self.layers.find(setting) else { return loopback };
        found.value.parse().unwrap_or_else(|_| {
            let hint = "use 127.0.0.1, or 0.0.0.0 for every interface";
            self.wrong(&found, format!("{:?} is no IP address", found.value), hint);
            loopback
        })
    }

    /// `true` or `false`.
    pub(super) fn switch(&mut self, setting: &Setting) -> bool {
        let Some(found) = self.layers.find(setting) else { return self.text(setting) == "true" };
        self.switch_in(&found)
    }

    /// One of the words, in lower case.
    pub(super) fn choice(&mut self, setting: &Setting) -> String {
        let Kind::Choice(words) = setting.kind else { panic!("{} is no choice in the table", setting.name) };
        let Some(found) = self.layers.find(setting) else { return self.text(setting) };
        let text = found.value.to_lowercase();
        if !words.contains(&text.as_str()) {
            self.wrong(&found, format!("{text:?} is not known"), &format!("use {}", words.join(", ")));
        }
        text
    }
}
