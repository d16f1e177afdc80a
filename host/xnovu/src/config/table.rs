//! What a setting is.
//!
//! Owns the shape of an entry of the table in [`super::settings`], and how an entry is said in words. Never reads a value.

use std::fmt;

/// One setting, declared once: every reader, document and example is made from this.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Its variable. A `*` at the end stands for any rest.
    pub name: &'static str,
    /// Its place in `xnovu.toml`, with dots; empty where it has none.
    pub key: &'static str,
    /// Other and older spellings of the variable. The first one that is set counts, after the name itself.
    pub aliases: &'static [&'static str],
    /// What a value may be.
    pub kind: Kind,
    /// What holds where nothing is set.
    pub default: Fallback,
    /// Never shown, and may stand in a file that `<name>_FILE` names.
    pub secret: bool,
    /// What it is, in one sentence without its full stop.
    pub about: &'static str,
}

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An `http` or `https` URL without a query.
    Url,
    /// Any text; what it must hold is checked where it is read.
    Text,
    /// A file or directory.
    Path,
    /// A whole number of these bounds.
    Number(u64, u64),
    /// A whole number of milliseconds of these bounds.
    Millis(u64, u64),
    /// `true` or `false`.
    Switch,
    /// One of these words, in any case.
    Choice(&'static [&'static str]),
    /// Enterprise ids, separated by commas.
    Enterprises,
    /// An IP address.
    Address,
    /// `INSERT`, `UPDATE`, or both separated by a comma.
    Events,
    /// Of the original, and without a meaning here. Whether setting it is worth a warning.
    Unused(bool),
}

/// What holds where nothing is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// It must be set; an example.
    Required(&'static str),
    /// Nothing.
    Unset,
    /// This number.
    Number(u64),
    /// This text.
    Text(&'static str),
    /// Computed: in words.
    Computed(&'static str),
}

/// Settings that belong together.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// What they are about.
    pub title: &'static str,
    /// The settings, in the order in which an operator meets them.
    pub settings: &'static [Setting],
}

impl Setting {
    /// A setting that is optional and has no default.
    pub(super) const fn new(key: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name: "", key, aliases: &[], kind, default: Fallback::Unset, secret: false, about }
    }

    /// A number with its default and bounds.
    pub(super) const fn number(key: &'static str, default: u64, min: u64, max: u64, about: &'static str) -> Self {
        Self::new(key, Kind::Number(min, max), about).or(Fallback::Number(default))
    }

    /// Milliseconds with their default and bounds.
    pub(super) const fn millis(key: &'static str, default: u64, min: u64, max: u64, about: &'static str) -> Self {
        Self::new(key, Kind::Millis(min, max), about).or(Fallback::Number(default))
    }

    /// A variable of the original that has no meaning here, and why; setting it warns.
    pub(super) const fn unused(why: &'static str) -> Self {
        Self::new("", Kind::Unused(true), why)
    }

    /// Gives the name of its constant to an entry that does not spell its own.
    pub(super) const fn named(self, name: &'static str) -> Self {
        if self.name.is_empty() { Self { name, ..self } } else { self }
    }

    pub(super) const fn spelled(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    pub(super) const fn or(self, default: Fallback) -> Self {
        Self { default, ..self }
    }

    pub(super) const fn aliases(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    pub(super) const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    /// The variable that names the file with the secret.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}_FILE", self.name)
    }

    /// Whether a variable of that name names the file with the secret.
    #[must_use]
    pub fn is_file(&self, name: &str) -> bool {
        let secret = name.strip_suffix("_FILE").filter(|_| self.secret);
        secret.is_some_and(|secret| secret == self.name || self.aliases.contains(&secret))
    }

    /// Whether a variable of that name is this setting, under one of its spellings.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        let same = |own: &str| own.strip_suffix('*').map_or(own == name, |start| name.starts_with(start));
        same(self.name) || self.aliases.iter().any(|alias| same(alias)) || self.is_file(name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url => f.write_str("http or https URL"),
            Self::Text => f.write_str("text"),
            Self::Path => f.write_str("path"),
            Self::Number(min, max) => write!(f, "{min} to {max}"),
            Self::Millis(min, max) => write!(f, "{min} to {max} ms"),
            Self::Switch => f.write_str("true or false"),
            Self::Choice(words) => f.write_str(&words.join(", ")),
            Self::Enterprises => f.write_str("ids separated by commas"),
            Self::Address => f.write_str("IP address"),
            Self::Events => f.write_str("INSERT, UPDATE or both"),
            Self::Unused(_) => f.write_str("not used"),
        }
    }
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Required(_) => f.write_str("required"),
            Self::Unset => f.write_str("–"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) | Self::Computed(text) => f.write_str(text),
        }
    }
}
