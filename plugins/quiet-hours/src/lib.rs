//! Nobody is woken for what can wait.
//!
//! During the enterprise's quiet hours a notification is put off until they end, unless its payload says that it is urgent.

use std::time::Duration;

use xnovu_sdk::prelude::*;

mod time_of_day;
use time_of_day::TimeOfDay;

/// `[enterprises."...".config]` of `bindings.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// IANA time zone whose clock counts.
    timezone: String,
    /// Begin of the quiet hours.
    from: TimeOfDay,
    /// Their end. Earlier than the begin: they last over midnight.
    to: TimeOfDay,
    /// The least `payload.severity` that passes at any hour.
    #[serde(default = "high")]
    urgent: Severity,
}

fn high() -> Severity {
    Severity::High
}

struct QuietHours;

#[xnovu_sdk::rules]
impl Rules for QuietHours {
    type Config = Settings;

    fn validate_config(&self, config: &Settings) -> Result<(), RuleError> {
        if config.from == config.to {
            return Err("config: `from` and `to` are the same, so it is never or always quiet".into());
        }
        // The host knows which zones exist; an unknown one is refused here rather than at the first event.
        calendar::local(Timestamp::from_millis(0), &config.timezone).map(drop)
    }

    fn admit(&self, event: &Event, config: &Settings) -> Result<Verdict, RuleError> {
        let Settings { timezone, to, .. } = config;
        let clock = calendar::local(event.now(), timezone)?;
        if !config.is_quiet_at(clock.minute_of_day()) || event.severity()? >= Some(config.urgent) {
            return Ok(Verdict::deliver());
        }
        let end = calendar::next(event.now(), timezone, to.hour, to.minute)?;
        // The host refuses to put anything off by less than a second.
        let until = end.max(event.now() + Duration::from_secs(1));
        Ok(Verdict::defer_until(until, format!("quiet hours until {to} in {timezone}")))
    }
}

impl Settings {
    fn is_quiet_at(&self, minute: u16) -> bool {
        let (from, to) = (self.from.minute_of_day(), self.to.minute_of_day());
        if from < to { (from..to).contains(&minute) } else { minute >= from || minute < to }
    }
}

#[cfg(test)]
mod tests;
