//! From the contract's question to the rule and back.
//!
//! Owns what happens around a rule's method: the config is read, and what cannot be read becomes the rule's error. Called by the
//! exports of a component, and by this library's own tests.

use crate::event::Parts;
use crate::message::Parts as MessageParts;
use crate::{Event, RuleError, Rules, Verdict, error};

/// Answers `validate-config`.
pub(crate) fn validate_config<R: Rules>(rules: &R, config: &str) -> Result<(), RuleError> {
    rules.validate_config(&error::read("config", config)?)
}

/// Answers `admit`.
pub(crate) fn admit<R: Rules>(rules: &R, event: Parts, config: &str) -> Result<Verdict, RuleError> {
    rules.admit(&Event::new(event), &error::read("config", config)?)
}

/// Answers `transform`.
pub(crate) fn transform<R: Rules>(rules: &R, event: Parts, config: &str) -> Result<Vec<MessageParts>, RuleError> {
    let messages = rules.transform(&Event::new(event), &error::read("config", config)?)?;
    messages.into_iter().map(crate::Message::into_parts).collect()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::Message;

    #[derive(Deserialize)]
    struct Settings {
        limit: u32,
    }

    struct Doubling;

    impl Rules for Doubling {
        type Config = Settings;
        type Payload = u32;

        fn validate_config(&self, config: &Settings) -> Result<(), RuleError> {
            if config.limit > 0 { Ok(()) } else { Err("config.limit: must be above 0".into()) }
        }

        fn transform(&self, event: &Event<u32>, config: &Settings) -> Result<Vec<Message>, RuleError> {
            let doubled = event.payload()? * 2;
            let message = Message::from(event).payload([("doubled", doubled)].into_iter().collect::<Map>());
            Ok(if doubled > config.limit { vec![] } else { vec![message] })
        }
    }

    type Map = std::collections::BTreeMap<&'static str, u32>;

    struct AsItIs;

    impl Rules for AsItIs {
        type Config = serde_json::Value;
        type Payload = serde_json::Value;
    }

    fn parts(payload: &str) -> Parts {
        let mut parts = Event::builder().workflow("w").build::<u32>().into_parts();
        payload.clone_into(&mut parts.payload);
        parts
    }

    #[test]
    fn rules_without_a_method_deliver_the_row_as_it_stands() {
        assert_eq!(validate_config(&AsItIs, "{}"), Ok(()));
        assert_eq!(admit(&AsItIs, parts("{}"), "{}"), Ok(Verdict::deliver()));
        let messages = transform(&AsItIs, parts(r#"{"price": 1.50}"#), "{}").unwrap();
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].payload, r#"{"price": 1.50}"#);
        assert_eq!((messages[0].workflow_key.as_str(), messages[0].overrides.as_deref()), ("w", None));
    }

    #[test]
    fn a_config_that_cannot_be_read_is_refused_before_the_rule_sees_it() {
        let words = validate_config(&Doubling, r#"{"limit":"ten"}"#).unwrap_err().to_string();
        assert_eq!(words, "config.limit: invalid type: string \"ten\", expected u32");
        assert_eq!(validate_config(&Doubling, r#"{"limit":0}"#).unwrap_err().reason(), "config.limit: must be above 0");
        assert!(admit(&Doubling, parts("1"), "{}").unwrap_err().reason().starts_with("config: missing field"));
    }

    #[test]
    fn a_payload_is_read_by_the_method_that_needs_it() {
        assert_eq!(admit(&Doubling, parts("[]"), r#"{"limit":9}"#), Ok(Verdict::deliver()));
        let words = transform(&Doubling, parts("[]"), r#"{"limit":9}"#).unwrap_err().to_string();
        assert_eq!(words, "payload: invalid type: sequence, expected u32");
        assert_eq!(transform(&Doubling, parts("4"), r#"{"limit":9}"#).unwrap()[0].payload, r#"{"doubled":8}"#);
        assert_eq!(transform(&Doubling, parts("5"), r#"{"limit":9}"#), Ok(vec![]));
    }
}
