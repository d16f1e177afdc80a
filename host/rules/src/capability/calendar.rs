//! Civil time for components, from the time zone data compiled into the host.
//!
//! Owns what happens where a clock is put forward or back: a time of day that does not exist that day is skipped, one that comes
//! twice counts the first time. Pure: everything follows from the arguments.

use chrono::{DateTime, Datelike, Days, MappedLocalTime, NaiveDate, NaiveTime, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

use crate::bindings::contract::xnovu::rules::calendar;
use crate::instance::State;

/// Years in which civil time is answered.
const YEARS: std::ops::RangeInclusive<i32> = 1900..=9999;

/// Days searched for a time of day. Two in a row without it have happened (a gap, then a day left out at the date line); more than
/// this cannot.
const DAYS_SEARCHED: u64 = 8;

/// Longest part of an unknown zone's name that is repeated, in characters.
const ZONE_SHOWN: usize = 64;

/// The civil time of an instant.
///
/// # Errors
/// An unknown zone, an instant outside of the years 1900 to 9999.
fn local(at: f64, zone: &str) -> Result<calendar::Civil, String> {
    let local = instant(at)?.with_timezone(&parse(zone)?);
    in_range(local.year(), at)?;
    Ok(calendar::Civil {
        year: local.year(),
        month: narrow(local.month()),
        day: narrow(local.day()),
        hour: narrow(local.hour()),
        minute: narrow(local.minute()),
        second: narrow(local.second()),
        weekday: narrow(local.weekday().number_from_monday()),
    })
}

/// The first instant at or after `after` at which the zone's clock shows `hour`:`minute`:00.
///
/// # Errors
/// As [`local`], and for a time of day that is none.
fn next(after: f64, zone: &str, hour: u8, minute: u8) -> Result<f64, String> {
    let start = instant(after)?;
    let zone = parse(zone)?;
    let time = NaiveTime::from_hms_opt(hour.into(), minute.into(), 0)
        .ok_or_else(|| format!("{hour}:{minute:02} is no time of day"))?;
    let today = start.with_timezone(&zone).date_naive();
    in_range(today.year(), after)?;
    // Where clocks go back over midnight, an instant's date may be a day ahead of what is still to come.
    let first_day = today.pred_opt().unwrap_or(today);
    (0..DAYS_SEARCHED)
        .filter_map(|days| first_day.checked_add_days(Days::new(days)))
        .filter_map(|day| shown_first(zone, day, time))
        .find(|at| *at >= start)
        .filter(|at| YEARS.contains(&at.with_timezone(&zone).year()))
        .map(|at| millis(at.timestamp_millis()))
        .ok_or_else(|| format!("the clock of {zone} does not show {hour}:{minute:02} within the years 1900 to 9999"))
}

fn shown_first(zone: Tz, day: NaiveDate, time: NaiveTime) -> Option<DateTime<Utc>> {
    match zone.from_local_datetime(&day.and_time(time)) {
        MappedLocalTime::Single(at) | MappedLocalTime::Ambiguous(at, _) => Some(at.to_utc()),
        MappedLocalTime::None => None,
    }
}

fn instant(at: f64) -> Result<DateTime<Utc>, String> {
    // The bound is far inside of what a 64-bit integer and chrono hold, so neither conversion can fail below it.
    let within = at.is_finite() && at.abs() < 1e15;
    let whole = within.then_some(at.floor() as i64);
    whole.and_then(DateTime::from_timestamp_millis).ok_or_else(|| out_of_range(at))
}

fn in_range(year: i32, at: f64) -> Result<(), String> {
    if YEARS.contains(&year) { Ok(()) } else { Err(out_of_range(at)) }
}

fn out_of_range(at: f64) -> String {
    format!("{at} is not an instant of the years 1900 to 9999")
}

fn parse(zone: &str) -> Result<Tz, String> {
    zone.parse().map_err(|_| {
        let shown: String = zone.chars().take(ZONE_SHOWN).collect();
        format!("{shown:?} is no time zone of the IANA database")
    })
}

/// Months, days, hours and weekdays fit a byte.
fn narrow(number: u32) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

fn millis(at: i64) -> f64 {
    at as f64
}

impl calendar::Host for State {
    fn local(&mut self, at: f64, zone: String) -> wasmtime::Result<Result<calendar::Civil, String>> {
        Ok(local(at, &zone))
    }

    fn next(&mut self, after: f64, zone: String, hour: u8, minute: u8) -> wasmtime::Result<Result<f64, String>> {
        Ok(next(after, &zone, hour, minute))
    }
}

#[cfg(test)]
mod tests;
