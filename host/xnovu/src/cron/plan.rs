//! What a rule's `trigger_config` says.
//!
//! Owns the shape of `trigger_config` and the defaults that stand in for what it leaves out. A mistake is named with the field and the value
//! it is about. Knows nothing of payloads.

use chrono::{NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;
use thiserror::Error;
use xnovu_domain::{Asleep, Micros, NotificationRule, RuleError};
use xnovu_queue::RuleDefaults;

use super::expression::ExpressionError;
use super::misfire::{Misfire, Policy, WINDOW_MAX};
use super::timetable::Timetable;

/// What a rule's `trigger_config` does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defaults {
    /// The zone of rules that name none.
    pub zone: Tz,
    /// What becomes of slots that nobody saw to in time.
    pub misfire: Misfire,
}

impl Defaults {
    /// As a job carries them to whoever performs it.
    #[must_use]
    pub fn of_job(&self) -> RuleDefaults {
        let misfire_window_ms = u64::try_from(self.misfire.window.as_millis()).unwrap_or(u64::MAX);
        RuleDefaults { timezone: self.zone.name().to_owned(), misfire_window_ms }
    }

    /// These, but for what a job carries; its window within [`WINDOW_MAX`], whoever wrote the job.
    ///
    /// # Errors
    /// The job's zone is not known here.
    pub fn with_those_of(&self, job: &RuleDefaults) -> Result<Self, PlanError> {
        let zone = job.timezone.parse().map_err(|_| PlanError::JobZone(job.timezone.clone()))?;
        let window = Duration::from_millis(job.misfire_window_ms).min(WINDOW_MAX);
        Ok(Self { zone, misfire: Misfire { window, ..self.misfire } })
    }
}

/// When a rule fires, and what becomes of slots that were missed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// When it fires.
    pub timetable: Timetable,
    /// What becomes of missed slots.
    pub misfire: Misfire,
    /// Why it does not fire now, where it does not.
    pub asleep: Option<Asleep>,
}

/// What is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// Not `CRON` or `SCHEDULE`.
    #[error("trigger_type {0:?} is not served: CRON and SCHEDULE are")]
    TriggerType(String),
    /// No object, or a field of another type.
    #[error("trigger_config is not understood: {0}")]
    Config(&'static str),
    /// The expression.
    #[error("cron: {0}")]
    Cron(#[from] ExpressionError),
    /// The zone.
    #[error("timezone {0:?} is no zone of the IANA database, such as Europe/Berlin")]
    Zone(String),
    /// The zone a job carries.
    #[error("the daemon's RULE_ENGINE_TIMEZONE {0:?} is no zone this worker knows")]
    JobZone(String),
    /// The time of a one-shot rule.
    #[error(
        "schedule_time {0:?} is no time, such as 2026-03-01T09:00:00+01:00, or 2026-03-01T09:00:00 in the rule's zone"
    )]
    Time(String),
    /// A local time that a change of the offset skips.
    #[error("schedule_time {0} does not exist in {1}: the clock is put forward over it")]
    Skipped(String, Tz),
    /// The policy.
    #[error("misfire {0:?} is not known: skip, once and all are")]
    Misfire(String),
    /// The window.
    #[error("misfire_window_seconds must be a number from 0 to {}", WINDOW_MAX.as_secs())]
    Window,
    /// The workflow or the payload.
    #[error("{0}")]
    Rule(#[from] RuleError),
}

#[derive(Deserialize)]
struct Config {
    cron: Option<Value>,
    schedule_time: Option<Value>,
    timezone: Option<Value>,
    enabled: Option<Value>,
    misfire: Option<Value>,
    misfire_window_seconds: Option<Value>,
}

impl Plan {
    /// Reads a rule.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn of(rule: &NotificationRule, defaults: &Defaults) -> Result<Self, PlanError> {
        let config = rule.trigger_config.as_ref().filter(|config| config.is_object());
        let config = config.ok_or(PlanError::Config("it must be a JSON object"))?;
        let config = Config::deserialize(config).map_err(|_| PlanError::Config("it must be a JSON object"))?;
        let zone = zone(&config, defaults)?;
        let timetable = match rule.trigger_type.as_str() {
            "CRON" => {
                let cron = text(config.cron.as_ref(), "cron must be the expression as text")?;
                let cron = cron.ok_or(PlanError::Config("a CRON rule needs cron"))?;
                Timetable::Cron { expression: Box::new(cron.parse()?), zone }
            }
            "SCHEDULE" => {
                let time = text(config.schedule_time.as_ref(), "schedule_time must be a time as text")?;
                Timetable::Once(moment(time.ok_or(PlanError::Config("a SCHEDULE rule needs schedule_time"))?, zone)?)
            }
            other => return Err(PlanError::TriggerType(other.to_owned())),
        };
        rule.own_workflow()?;
        let enabled = match config.enabled {
            None | Some(Value::Null) => true,
            Some(Value::Bool(enabled)) => enabled,
            Some(_) => return Err(PlanError::Config("enabled must be true or false")),
        };
        let misfire = misfire(&config, defaults)?;
        let asleep = rule.asleep().or((!enabled).then_some(Asleep::Disabled));
        Ok(Self { timetable, misfire, asleep })
    }
}

/// A member that is a text; None where it is missing or null.
fn text<'a>(value: Option<&'a Value>, otherwise: &'static str) -> Result<Option<&'a str>, PlanError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(PlanError::Config(otherwise)),
    }
}

fn zone(config: &Config, defaults: &Defaults) -> Result<Tz, PlanError> {
    match text(config.timezone.as_ref(), "timezone must be the name of a zone as text")? {
        None | Some("") => Ok(defaults.zone),
        Some(name) => name.parse().map_err(|_| PlanError::Zone(name.to_owned())),
    }
}

/// An instant, or a civil time of the zone; the first of two. Whole seconds, the next where it has a fraction.
fn moment(text: &str, zone: Tz) -> Result<Micros, PlanError> {
    let instant = match Micros::parse(text) {
        Ok(Micros::INFINITY) => return Err(PlanError::Time(text.to_owned())),
        Ok(instant) => instant,
        Err(_) => {
            let civil: NaiveDateTime = text.parse().map_err(|_| PlanError::Time(text.to_owned()))?;
            let first = zone.from_local_datetime(&civil).earliest();
            first.ok_or_else(|| PlanError::Skipped(text.to_owned(), zone))?.with_timezone(&Utc).into()
        }
    };
    let second = Duration::from_secs(1);
    let up = instant.plus(second).get().saturating_sub(1);
    Ok(Micros::new(up - up.rem_euclid(1_000_000)))
}

fn misfire(config: &Config, defaults: &Defaults) -> Result<Misfire, PlanError> {
    let policy = match text(config.misfire.as_ref(), "misfire must be skip, once or all")? {
        None => defaults.misfire.policy,
        Some(word) => Policy::named(word).ok_or_else(|| PlanError::Misfire(word.to_owned()))?,
    };
    let window = match &config.misfire_window_seconds {
        None | Some(Value::Null) => defaults.misfire.window,
        Some(value) => {
            let seconds = value.as_u64().map(Duration::from_secs);
            seconds.filter(|window| *window <= WINDOW_MAX).ok_or(PlanError::Window)?
        }
    };
    Ok(Misfire { policy, window })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: Defaults = Defaults {
        zone: Tz::Asia__Tokyo,
        misfire: Misfire { policy: Policy::Once, window: Duration::from_secs(3_600) },
    };

    fn rule(trigger_type: &str, config: Value) -> NotificationRule {
        let workflow = serde_json::json!({"workflow_key": "w", "enterprise_id": "ent1", "publish_status": "PUBLISH", "deactivated": false,
            "updated_at": "2026-01-01T00:00:00Z"});
        let rule = serde_json::json!({"id": 17, "enterprise_id": "ent1", "publish_status": "PUBLISH", "deactivated": false,
            "updated_at": "2026-01-01T00:00:01Z", "notification_workflow_id": 3, "trigger_type": trigger_type,
            "trigger_config": config, "workflow": workflow});
        serde_json::from_str(&rule.to_string()).unwrap()
    }

    fn plan(trigger_type: &str, config: Value) -> Result<Plan, PlanError> {
        Plan::of(&rule(trigger_type, config), &DEFAULTS)
    }

    fn once(config: Value) -> Result<String, PlanError> {
        match plan("SCHEDULE", config)?.timetable {
            Timetable::Once(at) => Ok(at.to_string()),
            Timetable::Cron { .. } => panic!("a SCHEDULE rule has one slot"),
        }
    }

    #[test]
    fn a_rule_has_its_own_zone_or_that_of_the_settings() {
        let zone = |config| match plan("CRON", config).unwrap().timetable {
            Timetable::Cron { zone, .. } => zone,
            Timetable::Once(_) => panic!("a CRON rule has many slots"),
        };
        assert_eq!(zone(serde_json::json!({"cron": "0 9 * * *", "timezone": "Europe/Berlin"})), Tz::Europe__Berlin);
        assert_eq!(zone(serde_json::json!({"cron": "0 9 * * *"})), Tz::Asia__Tokyo);
        assert_eq!(zone(serde_json::json!({"cron": "0 9 * * *", "timezone": null})), Tz::Asia__Tokyo);
    }

    #[test]
    fn a_one_shot_rule_has_an_instant_or_a_civil_time() {
        let time = |text: &str| once(serde_json::json!({"schedule_time": text}));
        assert_eq!(time("2026-03-01T09:00:00+01:00").unwrap(), "2026-03-01T08:00:00.000000Z");
        assert_eq!(time("2026-03-01T09:00:00").unwrap(), "2026-03-01T00:00:00.000000Z");
        assert_eq!(time("2026-03-01T09:00:00.001Z").unwrap(), "2026-03-01T09:00:01.000000Z");
        let berlin = |text: &str| once(serde_json::json!({"schedule_time": text, "timezone": "Europe/Berlin"}));
        assert_eq!(berlin("2026-10-25T02:30:00").unwrap(), "2026-10-25T00:30:00.000000Z");
        assert!(matches!(berlin("2026-03-29T02:30:00"), Err(PlanError::Skipped(..))));
    }

    #[test]
    fn a_rule_may_say_what_becomes_of_missed_slots() {
        let misfire = |config| plan("CRON", config).unwrap().misfire;
        assert_eq!(misfire(serde_json::json!({"cron": "0 9 * * *"})), DEFAULTS.misfire);
        let own = misfire(serde_json::json!({"cron": "0 9 * * *", "misfire": "all", "misfire_window_seconds": 60}));
        assert_eq!(own, Misfire { policy: Policy::All, window: Duration::from_secs(60) });
    }

    #[test]
    fn what_a_job_carries_comes_back_within_limits_and_an_unknown_zone_is_named() {
        let policy = Policy::Skip;
        let own = Defaults { zone: Tz::UTC, misfire: Misfire { policy, window: Duration::ZERO } };
        let taken = own.with_those_of(&DEFAULTS.of_job()).unwrap();
        assert_eq!(taken, Defaults { misfire: Misfire { policy, ..DEFAULTS.misfire }, ..DEFAULTS });
        let of = |timezone: &str, misfire_window_ms| {
            own.with_those_of(&RuleDefaults { timezone: timezone.to_owned(), misfire_window_ms })
        };
        assert_eq!(of("UTC", u64::MAX).unwrap().misfire.window, WINDOW_MAX);
        assert!(of("Mars/Base", 0).unwrap_err().to_string().contains("\"Mars/Base\""));
    }

    #[test]
    fn a_rule_that_is_switched_off_is_no_mistake() {
        let off = plan("CRON", serde_json::json!({"cron": "0 9 * * *", "enabled": false})).unwrap();
        assert_eq!(off.asleep, Some(Asleep::Disabled));
        assert_eq!(plan("CRON", serde_json::json!({"cron": "0 9 * * *", "enabled": true})).unwrap().asleep, None);
    }

    #[test]
    fn a_mistake_is_named_with_its_field_and_value() {
        let cron = |config: Value| ("CRON", config);
        let cases = [
            (("EVENT", serde_json::json!({})), "trigger_type \"EVENT\""),
            (cron(Value::Null), "must be a JSON object"),
            (cron(serde_json::json!([])), "must be a JSON object"),
            (cron(serde_json::json!({})), "needs cron"),
            (cron(serde_json::json!({"cron": 5})), "as text"),
            (cron(serde_json::json!({"cron": "61 * * * *"})), "minutes \"61\""),
            (cron(serde_json::json!({"cron": "0 9 * * *", "timezone": "Mars/Base"})), "timezone \"Mars/Base\""),
            (cron(serde_json::json!({"cron": "0 9 * * *", "enabled": "yes"})), "enabled must be"),
            (cron(serde_json::json!({"cron": "0 9 * * *", "misfire": "never"})), "misfire \"never\""),
            (cron(serde_json::json!({"cron": "0 9 * * *", "misfire_window_seconds": -1})), "misfire_window_seconds"),
            (cron(serde_json::json!({"cron": "0 9 * * *", "misfire_window_seconds": 604_801})), "to 604800"),
            (("SCHEDULE", serde_json::json!({"cron": "0 9 * * *"})), "needs schedule_time"),
            (("SCHEDULE", serde_json::json!({"schedule_time": "tomorrow"})), "schedule_time \"tomorrow\""),
            (("SCHEDULE", serde_json::json!({"schedule_time": "infinity"})), "schedule_time \"infinity\""),
        ];
        for ((trigger_type, config), want) in cases {
            let error = plan(trigger_type, config.clone()).unwrap_err().to_string();
            assert!(error.contains(want), "{config}: {error}");
        }
        let mut orphan = rule("CRON", serde_json::json!({"cron": "0 9 * * *"}));
        orphan.workflow = None;
        assert_eq!(Plan::of(&orphan, &DEFAULTS), Err(PlanError::Rule(RuleError::NoWorkflow)));
    }
}
