//! Civil time, asked of the host.

use super::bindings::xnovu::rules::calendar;
use crate::Timestamp;
use crate::calendar::Civil;

pub(crate) fn local(at: Timestamp, zone: &str) -> Result<Civil, String> {
    let shown = calendar::local(at.to_contract(), zone)?;
    Ok(Civil {
        year: shown.year,
        month: shown.month,
        day: shown.day,
        hour: shown.hour,
        minute: shown.minute,
        second: shown.second,
        weekday: shown.weekday,
    })
}

pub(crate) fn next(after: Timestamp, zone: &str, hour: u8, minute: u8) -> Result<Timestamp, String> {
    calendar::next(after.to_contract(), zone, hour, minute).map(Timestamp::from_contract)
}
