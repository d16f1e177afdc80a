//! A desk that sorts the post: some of it is never sent, some of it goes first.
//!
//! The enterprise lists what to drop and what to raise, by category, by tag or by both. Nothing else of a notification is looked at,
//! so its payload is never parsed.

use std::fmt;

use xnovu_sdk::prelude::*;

/// `[enterprises."...".config]` of `bindings.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// What is never sent.
    #[serde(default)]
    drop: Vec<Matcher>,
    /// What goes first. The highest priority that fits counts.
    #[serde(default)]
    raise: Vec<Raise>,
}

/// Fits a notification that has everything named here.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Matcher {
    /// Code of the category.
    category: Option<String>,
    /// One of the tags.
    tag: Option<String>,
}

/// What goes first.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raise {
    /// Which notifications.
    when: Matcher,
    /// 0 to 1000, higher first. Without a rule, realtime notifications have 10 and scheduled ones 5.
    to: u32,
}

struct PriorityDesk;

#[xnovu_sdk::rules]
impl Rules for PriorityDesk {
    type Config = Settings;

    fn validate_config(&self, config: &Settings) -> Result<(), RuleError> {
        // A matcher that names nothing fits everything: surely a slip, and in `drop` a costly one.
        if let Some(at) = config.drop.iter().position(Matcher::is_empty) {
            return Err(format!("config.drop[{at}]: names neither a category nor a tag").into());
        }
        for (at, raise) in config.raise.iter().enumerate() {
            if raise.when.is_empty() {
                return Err(format!("config.raise[{at}].when: names neither a category nor a tag").into());
            }
            if raise.to > 1000 {
                return Err(format!("config.raise[{at}].to: {} is above 1000", raise.to).into());
            }
        }
        Ok(())
    }

    fn admit(&self, event: &Event, config: &Settings) -> Result<Verdict, RuleError> {
        if let Some(dropped) = config.drop.iter().find(|one| one.fits(event)) {
            return Ok(Verdict::drop(format!("the desk drops {dropped}")));
        }
        let raised = config.raise.iter().filter(|raise| raise.when.fits(event)).map(|raise| raise.to).max();
        Ok(raised.map_or_else(Verdict::deliver, Verdict::deliver_at))
    }
}

impl Matcher {
    fn is_empty(&self) -> bool {
        self.category.is_none() && self.tag.is_none()
    }

    fn fits(&self, event: &Event) -> bool {
        let category_fits = self.category.as_deref().is_none_or(|category| event.category() == Some(category));
        category_fits && self.tag.as_deref().is_none_or(|tag| event.has_tag(tag))
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.category, &self.tag) {
            (Some(category), Some(tag)) => write!(f, "category {category} with tag {tag}"),
            (Some(category), None) => write!(f, "category {category}"),
            (None, tag) => write!(f, "tag {}", tag.as_deref().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests;
