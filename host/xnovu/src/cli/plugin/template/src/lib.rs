//! Drops what is muted, raises what is critical and says when a notification left. Make it yours.

use xnovu_sdk::prelude::*;

/// `[enterprises."...".config]` of `bindings.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Notifications with one of these tags are never sent.
    #[serde(default)]
    muted_tags: Vec<String>,
}

struct {{Type}};

#[xnovu_sdk::rules]
impl Rules for {{Type}} {
    type Config = Settings;

    /// Filter and priority.
    fn admit(&self, event: &Event, config: &Settings) -> Result<Verdict, RuleError> {
        if let Some(tag) = config.muted_tags.iter().find(|tag| event.has_tag(tag)) {
            return Ok(Verdict::drop(format!("the tag {tag} is muted")));
        }
        Ok(match event.severity()? {
            Some(Severity::Critical) => Verdict::deliver_at(900),
            _ => Verdict::deliver(),
        })
    }

    /// What is sent: here the notification as it stands, and one field more.
    fn transform(&self, event: &Event, _config: &Settings) -> Result<Vec<Message>, RuleError> {
        Ok(vec![Message::from(event).put("leftAt", event.now())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_muted_tag_is_dropped_however_critical() {
        let event = Event::builder().tags(["promo"]).severity("critical").build();
        let config = Settings { muted_tags: vec!["promo".to_owned()] };
        assert_eq!({{Type}}.admit(&event, &config), Ok(Verdict::drop("the tag promo is muted")));
    }

    #[test]
    fn a_message_says_when_it_left() {
        let event = Event::builder().at("2026-01-02T03:04:05Z").build();
        let messages = {{Type}}.transform(&event, &Settings { muted_tags: vec![] });
        assert_eq!(messages, Ok(vec![Message::from(&event).put("leftAt", "2026-01-02T03:04:05Z")]));
    }
}
