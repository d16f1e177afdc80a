//! The files settings stand in: `xnovu.toml` and `.env`.
//!
//! Owns how a file becomes values with the line they stand on. A file that cannot be read, or a key that is none, is a mistake that is told
//! with all others. Never quotes a line: it may hold a secret.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::enterprises::PREFIX;
use super::layers::{Layer, Layers, Origin};
use super::settings::{ENTERPRISE, all};
use super::table::Setting;

/// Adds what `xnovu.toml` says to the layers. Without a file nothing is added.
pub(super) fn read_toml(layers: &mut Layers, path: &Path, must_exist: bool) {
    let name = path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => return,
        Err(error) => {
            return layers.mistakes.add(
                &name,
                format!("cannot be read: {error}"),
                "check the path and its permissions",
            );
        }
    };
    match DeTable::parse(&text) {
        Ok(table) => {
            let mut file = TomlFile { layers, path: path.into(), text: &text };
            file.table("", table.get_ref());
        }
        Err(error) => {
            let line = error.span().map_or(1, |span| line_of(&text, span.start));
            layers.mistakes.add(
                &name,
                format!("line {line} is no TOML: {}", error.message()),
                "see docs/configuration.md",
            );
        }
    }
}

struct TomlFile<'a> {
    layers: &'a mut Layers,
    path: Arc<Path>,
    text: &'a str,
}

impl TomlFile<'_> {
    fn table(&mut self, above: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = if above.is_empty() { key.get_ref().to_string() } else { format!("{above}.{}", key.get_ref()) };
            match value.get_ref() {
                DeValue::Table(enterprises) if path == "enterprises" => self.enterprises(enterprises),
                DeValue::Table(below) => self.table(&path, below),
                _ => self.leaf(&path, value),
            }
        }
    }

    fn leaf(&mut self, path: &str, value: &Spanned<DeValue<'_>>) {
        let by_key = |setting: &&Setting| !setting.key.is_empty() && setting.key == path;
        let by_file = |setting: &&Setting| setting.secret && path.strip_suffix("_file") == Some(setting.key);
        if let Some(setting) = all().find(by_key) {
            self.set(setting.name, path, value);
        } else if let Some(setting) = all().find(by_file) {
            self.set(&setting.file_name(), path, value);
        } else {
            let keys = all().map(|setting| setting.key).filter(|key| !key.is_empty());
            self.unknown(path, value, keys);
        }
    }

    fn enterprises(&mut self, enterprises: &DeTable<'_>) {
        for (id, settings) in enterprises {
            let id = id.get_ref();
            let Some(table) = settings.get_ref().as_table() else {
                self.wrong(&format!("enterprises.{id}"), settings, "is no table", "write it as [enterprises.\"<id>\"]");
                continue;
            };
            for (key, value) in table {
                let path = format!("enterprises.{id}.{}", key.get_ref());
                match ENTERPRISE.settings.iter().find(|setting| setting.key == key.get_ref().as_ref()) {
                    Some(setting) => self.set(&format!("{PREFIX}{id}_{}", setting.name), &path, value),
                    None => {
                        let names = ENTERPRISE.settings.iter().map(|setting| setting.key);
                        self.unknown(&path, value, names);
                    }
                }
            }
        }
    }

    fn set(&mut self, name: &str, path: &str, value: &Spanned<DeValue<'_>>) {
        let Some(text) = as_text(value.get_ref()) else {
            return self.wrong(path, value, "is no text, number, switch or list of texts", "see docs/configuration.md");
        };
        let origin = Origin::at(Layer::File, &self.path, self.line(value));
        self.layers.write(name, &text, origin);
    }

    fn unknown<'k>(&mut self, path: &str, value: &Spanned<DeValue<'_>>, keys: impl Iterator<Item = &'k str>) {
        let own = path.rsplit_once('.').map_or(path, |(_, own)| own);
        let like = keys.map(|key| (strsim::jaro_winkler(own, key.rsplit('.').next().unwrap_or(key)), key));
        let nearest = like.filter(|(likeness, _)| *likeness > 0.8).max_by(|a, b| a.0.total_cmp(&b.0));
        let hint = nearest.map_or("see docs/configuration.md".to_owned(), |(_, key)| format!("did you mean {key}?"));
        self.wrong(path, value, "is no setting", &hint);
    }

    fn wrong(&mut self, path: &str, value: &Spanned<DeValue<'_>>, what: &str, hint: &str) {
        let what = format!("{what} ({}, line {})", self.path.display(), self.line(value));
        self.layers.mistakes.add(path, what, hint);
    }

    fn line(&self, value: &Spanned<DeValue<'_>>) -> usize {
        line_of(self.text, value.span().start)
    }
}

/// A value as it would stand in a variable. Lists are separated by commas.
fn as_text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number.to_string())
        }
        DeValue::Boolean(switch) => Some(switch.to_string()),
        DeValue::Array(items) => {
            let texts: Option<Vec<&str>> = items.iter().map(|item| item.get_ref().as_str()).collect();
            texts.map(|texts| texts.join(","))
        }
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Adds what `.env` says to the layers. Without a file nothing is added.
pub(super) fn read_env(layers: &mut Layers, path: &Path) {
    let name = path.display().to_string();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        Err(error) => {
            return layers.mistakes.add(&name, format!("cannot be read: {error}"), "check its permissions");
        }
    };
    let (path, mut lines): (Arc<Path>, _) = (PathBuf::from(path).into(), text.lines().enumerate());
    for entry in dotenvy::from_read_iter(text.as_bytes()) {
        match entry {
            Ok((name, value)) => {
                let line = lines.find(|(_, line)| declares(line, &name)).map_or(0, |(at, _)| at + 1);
                layers.write(&name, &value, Origin::at(Layer::DotEnv, &path, line));
            }
            // The library's own words quote the line.
            Err(error) => {
                let bad = if let dotenvy::Error::LineParse(bad, _) = &error { bad.as_str() } else { "" };
                let line = lines.find(|(_, line)| !line.trim().is_empty() && bad.trim_start().starts_with(line.trim()));
                let what = line
                    .map_or("is no file of settings".to_owned(), |(at, _)| format!("line {} is no setting", at + 1));
                let hint = "write it as NAME=value, in quotes where the value holds spaces";
                return layers.mistakes.add(&name, what, hint);
            }
        }
    }
}

fn declares(line: &str, name: &str) -> bool {
    let line = line.trim_start();
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    line.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('='))
}
