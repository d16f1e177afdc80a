//! The table of settings as an operator reads it.
//!
//! Owns the form of `.env.daemon.example` and of the table in `docs/configuration.md`. Both are made from the table and from nothing else;
//! a test compares what stands in the repository with what is made here.

use std::fmt::Write as _;

use super::settings::GROUPS;
use super::table::{Fallback, Kind, Setting};

/// An example of a `.env` with every setting: what is required stands there to be filled in, the rest as a comment with its default.
#[must_use]
pub fn env_example() -> String {
    let mut text = String::from(
        "# Every setting of xnovu. Copy it to .env and fill in what is required; `xnovu config check` says what is missing or wrong.\n\
         # A flag outranks the environment, the environment this file, this file xnovu.toml. An empty value is as good as none.\n\
         # Each secret may stand in a file instead: NAME_FILE=/path/of/the/file.\n",
    );
    for group in GROUPS {
        write!(text, "\n# {}\n", group.title).expect("a string takes everything");
        group.settings.iter().for_each(|setting| text.push_str(&env_lines(setting)));
    }
    text
}

fn env_lines(setting: &Setting) -> String {
    if let Kind::Unused(_) = setting.kind {
        return format!("# {}: {}.\n", names(setting, ", "), setting.about);
    }
    let bounds = match setting.kind {
        Kind::Text | Kind::Path => String::new(),
        kind => format!(" ({kind})"),
    };
    let about = format!("# {}{bounds}.\n", sentence(setting));
    match setting.default {
        Fallback::Required(example) => format!("{about}{}={example}\n", setting.name),
        Fallback::Unset => format!("{about}#{}=\n", setting.name),
        Fallback::Computed(words) => format!("{about}# Default: {words}.\n#{}=\n", setting.name),
        default => format!("{about}#{}={default}\n", setting.name),
    }
}

/// The tables of `docs/configuration.md`, one a group.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::new();
    for group in GROUPS {
        let used = !group.settings.iter().all(|setting| matches!(setting.kind, Kind::Unused(_)));
        let head = if used {
            "| variable | in `xnovu.toml` | default | value | meaning |\n|---|---|---|---|---|\n"
        } else {
            "| variable | why |\n|---|---|\n"
        };
        write!(text, "### {}\n\n{head}", group.title).expect("a string takes everything");
        group.settings.iter().for_each(|setting| text.push_str(&markdown_row(setting, used)));
        text.push('\n');
    }
    text
}

fn markdown_row(setting: &Setting, used: bool) -> String {
    let names = format!("`{}`", names(setting, "`, `"));
    if !used {
        return format!("| {names} | {} |\n", setting.about);
    }
    let file = if setting.secret { format!("; or `{}`", setting.file_name()) } else { String::new() };
    let default = match setting.default {
        Fallback::Number(_) | Fallback::Text(_) => format!("`{}`", setting.default),
        default => default.to_string(),
    };
    format!("| {names} | `{}` | {default} | {} | {}{file} |\n", setting.key, setting.kind, setting.about)
}

fn names(setting: &Setting, between: &str) -> String {
    let names: Vec<&str> = std::iter::once(setting.name).chain(setting.aliases.iter().copied()).collect();
    names.join(between)
}

fn sentence(setting: &Setting) -> String {
    let mut letters = setting.about.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
