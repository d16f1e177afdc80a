//! Civil time for native tests, from time zone data compiled into them. No component contains this file.

use chrono::{DateTime, Datelike, Days, MappedLocalTime, NaiveTime, TimeZone, Timelike};
use chrono_tz::Tz;

use super::Civil;
use crate::Timestamp;

/// Days searched for a time of day: two in a row without it have happened, more than these cannot.
const DAYS_SEARCHED: u64 = 8;

pub(super) fn local(at: Timestamp, zone: &str) -> Result<Civil, String> {
    let local = shown(at, parse(zone)?)?;
    let narrow = |number: u32| u8::try_from(number).expect("months, days, hours and weekdays fit a byte");
    Ok(Civil {
        year: local.year(),
        month: narrow(local.month()),
        day: narrow(local.day()),
        hour: narrow(local.hour()),
        minute: narrow(local.minute()),
        second: narrow(local.second()),
        weekday: narrow(local.weekday().number_from_monday()),
    })
}

pub(super) fn next(after: Timestamp, zone: &str, hour: u8, minute: u8) -> Result<Timestamp, String> {
    let zone = parse(zone)?;
    let time = NaiveTime::from_hms_opt(hour.into(), minute.into(), 0)
        .ok_or_else(|| format!("{hour}:{minute:02} is no time of day"))?;
    let today = shown(after, zone)?.date_naive();
    // Where clocks go back over midnight, an instant's date may be a day ahead of what is still to come.
    let first_day = today.pred_opt().unwrap_or(today);
    (0..DAYS_SEARCHED)
        .filter_map(|days| first_day.checked_add_days(Days::new(days)))
        .filter_map(|day| match zone.from_local_datetime(&day.and_time(time)) {
            MappedLocalTime::Single(at) | MappedLocalTime::Ambiguous(at, _) => Some(at.timestamp_millis()),
            MappedLocalTime::None => None,
        })
        .map(Timestamp::from_millis)
        .find(|at| *at >= after)
        .filter(|at| shown(*at, zone).is_ok())
        .ok_or_else(|| format!("the clock of {zone} does not show {hour}:{minute:02} within the years 1900 to 9999"))
}

fn shown(at: Timestamp, zone: Tz) -> Result<DateTime<Tz>, String> {
    DateTime::from_timestamp_millis(at.millis())
        .map(|instant| instant.with_timezone(&zone))
        .filter(|local| (1900..=9999).contains(&local.year()))
        .ok_or_else(|| format!("{} is not an instant of the years 1900 to 9999", at.millis()))
}

fn parse(zone: &str) -> Result<Tz, String> {
    zone.parse().map_err(|_| format!("{zone:?} is no time zone of the IANA database"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_clock_of_a_zone_is_read() {
        let civil = local(at("2026-01-01T16:30:05Z"), "Asia/Shanghai").unwrap();
        let want = Civil { year: 2026, month: 1, day: 2, hour: 0, minute: 30, second: 5, weekday: 5 };
        assert_eq!(civil, want);
    }

    #[test]
    fn the_next_time_of_day_is_found_across_changes_of_the_clock() {
        let check = |after: &str, zone: &str, hour, minute, want: &str| {
            assert_eq!(next(at(after), zone, hour, minute), Ok(at(want)), "{after} {zone}");
        };
        check("2026-01-02T00:00:00Z", "Asia/Shanghai", 8, 0, "2026-01-02T00:00:00Z");
        check("2026-01-02T00:00:01Z", "Asia/Shanghai", 8, 0, "2026-01-03T00:00:00Z");
        // 02:30 is skipped on 8 March and comes twice on 1 November.
        check("2026-03-08T05:00:00Z", "America/New_York", 2, 30, "2026-03-09T06:30:00Z");
        check("2026-11-01T04:00:00Z", "America/New_York", 1, 30, "2026-11-01T05:30:00Z");
        check("2026-11-01T05:31:00Z", "America/New_York", 1, 30, "2026-11-02T06:30:00Z");
    }

    #[test]
    fn what_cannot_be_answered_says_why() {
        assert_eq!(
            local(at("2026-01-01T00:00:00Z"), "Mars/Base").unwrap_err(),
            "\"Mars/Base\" is no time zone of the IANA database"
        );
        assert_eq!(next(at("2026-01-01T00:00:00Z"), "UTC", 24, 0).unwrap_err(), "24:00 is no time of day");
        assert!(local(Timestamp::from_millis(i64::MAX), "UTC").unwrap_err().contains("1900 to 9999"));
    }
}
