//! One firing of a rule.
//!
//! Owns how the rule's slot names the work: the queue's job and the row it makes are both called after it, so that two daemons, a restart or
//! a clock that was set fire a slot once. A slot is a whole second in UTC: local time repeats itself at the end of summer time.

use std::fmt;

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};

use crate::{EnterpriseId, IdError, Micros, RuleId};

/// How a slot stands in a job's id, which must not hold a colon.
const SLOT_FORMAT: &str = "%Y%m%dT%H%M%SZ";

/// One firing of a rule: which rule of whom, and for which second.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleSlot {
    text: Box<str>,
    enterprise: EnterpriseId,
    rule: RuleId,
    at: Micros,
}

impl RuleSlot {
    /// The firing of a rule at an instant, cut to its second. None outside the years 0 to 9999, which are no slots.
    #[must_use]
    pub fn new(enterprise: EnterpriseId, rule: RuleId, at: Micros) -> Option<Self> {
        let at = Micros::from_millis(at.millis().div_euclid(1_000).checked_mul(1_000)?);
        let slot = utc(at).format(SLOT_FORMAT).to_string();
        let fits = slot.len() == "20260102T030405Z".len() && slot.as_bytes()[0].is_ascii_digit();
        fits.then(|| Self { text: format!("rule-{rule}-{slot}").into(), enterprise, rule, at })
    }

    /// Reads the id of a job of this enterprise back.
    ///
    /// # Errors
    /// Names the text that is not of this form.
    pub fn parse(enterprise: EnterpriseId, text: &str) -> Result<Self, IdError> {
        let parse = || {
            let (rule, slot) = text.strip_prefix("rule-")?.split_once('-')?;
            let at = NaiveDateTime::parse_from_str(slot, SLOT_FORMAT).ok()?.and_utc();
            let slot = Self::new(enterprise, rule.parse().ok()?, at.into())?;
            (&*slot.text == text).then_some(slot)
        };
        parse().ok_or_else(|| IdError::Slot(text.to_owned()))
    }

    /// The id of its job: `rule-<id>-<slot>`, the slot as `20260102T030405Z`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name of its row: `rule-<id> @ <slot>`, the slot as `2026-01-02T03:04:05Z`. Unique within the enterprise.
    #[must_use]
    pub fn row_name(&self) -> String {
        format!("rule-{} @ {}", self.rule, utc(self.at).to_rfc3339_opts(SecondsFormat::Secs, true))
    }

    /// The enterprise the rule belongs to.
    #[must_use]
    pub fn enterprise(&self) -> &EnterpriseId {
        &self.enterprise
    }

    /// The rule.
    #[must_use]
    pub fn rule(&self) -> RuleId {
        self.rule
    }

    /// The slot, a whole second.
    #[must_use]
    pub fn at(&self) -> Micros {
        self.at
    }
}

impl fmt::Display for RuleSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn utc(at: Micros) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at.get()).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(text: &str) -> Option<RuleSlot> {
        RuleSlot::new("ent1".parse().unwrap(), RuleId::new(17).unwrap(), Micros::parse(text).unwrap())
    }

    #[test]
    fn a_slot_names_its_job_and_its_row() {
        let slot = slot("2026-01-02T11:04:05.999999+08:00").unwrap();
        assert_eq!(slot.as_str(), "rule-17-20260102T030405Z");
        assert_eq!(slot.row_name(), "rule-17 @ 2026-01-02T03:04:05Z");
        assert_eq!(slot.at(), Micros::parse("2026-01-02T03:04:05Z").unwrap());
        assert_eq!(RuleSlot::parse("ent1".parse().unwrap(), slot.as_str()), Ok(slot));
    }

    #[test]
    fn a_job_id_that_is_not_of_this_form_is_named() {
        for text in
            ["", "rule-17", "rule-17-", "rule-0-20260102T030405Z", "rule-017-20260102T030405Z", "rule-17-1767323045000"]
        {
            assert_eq!(RuleSlot::parse("ent1".parse().unwrap(), text), Err(IdError::Slot(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn the_end_of_time_is_no_slot() {
        assert_eq!(slot("infinity"), None);
        assert_eq!(slot("-infinity"), None);
    }
}
