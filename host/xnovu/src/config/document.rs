//! The table of settings as an operator reads it.
//!
//! Owns the form of `.env.daemon.example` and of the table in `docs/configuration.md`. Both are made from the table and from nothing else;
//! a test compares what stands in the repository with what is made here.

use std::fmt::Write as _;

use super::enterprises::PREFIX;
use super::settings::{ENTERPRISE, GROUPS};
use super::table::{Fallback, Group, Kind, Setting};

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
        group.settings.iter().for_each(|setting| text.push_str(&env_lines(setting, "")));
    }
    let head = "Put the id in place of <id>; a - in it may be written as _. Or set them in xnovu.toml, in [enterprises.\"<id>\"].";
    write!(text, "\n# {}. {head}\n", ENTERPRISE.title).expect("a string takes everything");
    ENTERPRISE.settings.iter().for_each(|setting| text.push_str(&env_lines(setting, &format!("{PREFIX}<id>_"))));
    text
}

fn env_lines(setting: &Setting, prefix: &str) -> String {
    if let Kind::Unused(_) = setting.kind {
        return format!("# {}: {}.\n", names(setting, prefix, ", "), setting.about);
    }
    let bounds = match setting.kind {
        Kind::Text | Kind::Path => String::new(),
        kind => format!(" ({kind})"),
    };
    let about = format!("# {}{bounds}.\n", sentence(setting));
    let name = format!("{prefix}{}", setting.name);
    match setting.default {
        Fallback::Required(example) => format!("{about}{name}={example}\n"),
        Fallback::Unset => format!("{about}#{name}=\n"),
        Fallback::Computed(words) => format!("{about}# Default: {words}.\n#{name}=\n"),
        default => format!("{about}#{name}={default}\n"),
    }
}

/// The tables of `docs/configuration.md`, one a group.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::new();
    for group in GROUPS {
        if group.settings.iter().all(|setting| matches!(setting.kind, Kind::Unused(_))) {
            text.push_str(&markdown_unused(&group));
        } else {
            text.push_str(&markdown_table(&group, ""));
        }
    }
    text.push_str(&markdown_table(&ENTERPRISE, &format!("{PREFIX}<id>_")));
    text
}

fn markdown_table(group: &Group, prefix: &str) -> String {
    let mut text = format!(
        "### {}\n\n| variable | in `xnovu.toml` | default | value | meaning |\n|---|---|---|---|---|\n",
        group.title
    );
    for setting in group.settings {
        let file = if setting.secret { format!("; or `{}`", setting.file_name()) } else { String::new() };
        let key = if setting.key.is_empty() { "–".to_owned() } else { format!("`{}`", setting.key) };
        let default = match setting.default {
            Fallback::Number(_) | Fallback::Text(_) => format!("`{}`", setting.default),
            default => default.to_string(),
        };
        let (names, kind, about) = (names(setting, prefix, "`, `"), setting.kind, setting.about);
        writeln!(text, "| `{names}` | {key} | {default} | {kind} | {about}{file} |")
            .expect("a string takes everything");
    }
    text + "\n"
}

fn markdown_unused(group: &Group) -> String {
    let mut text = format!("### {}\n\n| variable | why |\n|---|---|\n", group.title);
    for setting in group.settings {
        writeln!(text, "| `{}` | {} |", names(setting, "", "`, `"), setting.about).expect("a string takes everything");
    }
    text + "\n"
}

fn names(setting: &Setting, prefix: &str, between: &str) -> String {
    let names = std::iter::once(setting.name).chain(setting.aliases.iter().copied());
    let names: Vec<String> = names.map(|name| format!("{prefix}{name}")).collect();
    names.join(between)
}

fn sentence(setting: &Setting) -> String {
    let mut letters = setting.about.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
