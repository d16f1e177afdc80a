//! Timetables against days that are known, and against a calculation of its own over twenty zones and ten years.

use chrono::{Datelike, NaiveDate, Timelike};

use super::*;

fn timetable(expression: &str, zone: &str) -> Timetable {
    Timetable::Cron { expression: Box::new(expression.parse().unwrap()), zone: zone.parse().unwrap() }
}

fn at(text: &str) -> Micros {
    Micros::parse(text).unwrap()
}

/// The slots from `from` on, before `to`.
fn slots(timetable: &Timetable, from: &str, to: &str) -> Vec<String> {
    let (mut after, to, mut slots) = (Micros::new(at(from).get() - 1), at(to), Vec::new());
    while let Some(slot) = timetable.after(after).filter(|slot| *slot < to) {
        assert!(slot > after, "{slot} is not after {after}");
        slots.push(slot.to_string()[..16].to_owned());
        after = slot;
    }
    slots
}

#[test]
fn a_time_that_a_change_skips_does_not_fire_that_day() {
    // New York has no 02:30 on 8 March 2026.
    let daily = timetable("30 2 * * *", "America/New_York");
    let want = ["2026-03-07T07:30", "2026-03-09T06:30"];
    assert_eq!(slots(&daily, "2026-03-07T00:00:00Z", "2026-03-10T00:00:00Z"), want);
}

#[test]
fn a_time_that_comes_twice_fires_the_first_time() {
    // New York has 01:30 twice on 1 November 2026: 05:30 and 06:30 UTC.
    let daily = timetable("30 1 * * *", "America/New_York");
    let want = ["2026-10-31T05:30", "2026-11-01T05:30", "2026-11-02T06:30"];
    assert_eq!(slots(&daily, "2026-10-31T00:00:00Z", "2026-11-03T00:00:00Z"), want);
}

#[test]
fn what_counts_time_that_passes_fires_through_both_hours() {
    let quarters = timetable("*/30 * * * *", "America/New_York");
    let want = [
        "2026-11-01T04:30",
        "2026-11-01T05:00",
        "2026-11-01T05:30",
        "2026-11-01T06:00",
        "2026-11-01T06:30",
        "2026-11-01T07:00",
    ];
    assert_eq!(slots(&quarters, "2026-11-01T04:30:00Z", "2026-11-01T07:01:00Z"), want);
    let want = ["2026-03-08T06:30", "2026-03-08T07:00"];
    assert_eq!(slots(&quarters, "2026-03-08T06:30:00Z", "2026-03-08T07:01:00Z"), want);
    let hour_one = timetable("*/30 1 * * *", "America/New_York");
    let want = [
        "2026-11-01T05:00",
        "2026-11-01T05:30",
        "2026-11-01T06:00",
        "2026-11-01T06:30",
        "2026-11-02T06:00",
        "2026-11-02T06:30",
    ];
    assert_eq!(slots(&hour_one, "2026-11-01T00:00:00Z", "2026-11-03T00:00:00Z"), want);
}

#[test]
fn one_instant_of_the_second_hour_is_followed_by_the_next_of_the_same_hour() {
    let quarters = timetable("*/15 * * * *", "America/New_York");
    assert_eq!(quarters.after(at("2026-11-01T06:10:00Z")), Some(at("2026-11-01T06:15:00Z")));
    assert_eq!(quarters.after(at("2026-11-01T05:59:59.5Z")), Some(at("2026-11-01T06:00:00Z")));
    assert!(quarters.includes(at("2026-11-01T06:15:00Z")));
    let daily = timetable("15 1 * * *", "America/New_York");
    assert!(daily.includes(at("2026-11-01T05:15:00Z")) && !daily.includes(at("2026-11-01T06:15:00Z")));
}

#[test]
fn a_slot_in_the_middle_of_a_second_belongs_to_the_next_one() {
    let every_second = timetable("* * * * * *", "UTC");
    assert_eq!(every_second.after(at("2026-01-01T00:00:00.999999Z")), Some(at("2026-01-01T00:00:01Z")));
    assert_eq!(every_second.after(at("2026-01-01T00:00:01Z")), Some(at("2026-01-01T00:00:02Z")));
}

#[test]
fn one_shot_fires_once() {
    let once = Timetable::Once(at("2026-01-01T00:00:00Z"));
    assert_eq!(once.after(at("2025-12-31T00:00:00Z")), Some(at("2026-01-01T00:00:00Z")));
    assert_eq!(once.after(at("2026-01-01T00:00:00Z")), None);
    assert!(once.includes(at("2026-01-01T00:00:00Z")));
}

#[test]
fn the_end_of_time_has_no_slot() {
    let daily = timetable("0 0 * * *", "Asia/Kathmandu");
    assert_eq!(daily.after(Micros::INFINITY), None);
    assert_eq!(daily.after(Micros::new(i64::MIN)), None);
}

/// Zones with half hours and quarters, changes at midnight, by half an hour and by two hours, twice a year around Ramadan, of a whole day's
/// standard time, and none.
const ZONES: [&str; 20] = [
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Dublin",
    "America/New_York",
    "America/Los_Angeles",
    "America/Sao_Paulo",
    "America/Santiago",
    "America/St_Johns",
    "America/Nuuk",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Tehran",
    "Asia/Kathmandu",
    "Asia/Pyongyang",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Antarctica/Troll",
];

/// Expressions that fire at quarters of an hour only, with the set each field stands for, written out by hand.
struct Expected {
    expression: &'static str,
    minutes: &'static [u32],
    hours: std::ops::RangeInclusive<u32>,
    hour_step: u32,
    days: std::ops::RangeInclusive<u32>,
    /// From Sunday as 0.
    weekdays: &'static [u32],
    repeats: bool,
}

const ALL_WEEK: &[u32] = &[0, 1, 2, 3, 4, 5, 6];

const EXPECTED: [Expected; 8] = [
    Expected {
        expression: "15 */3 * * *",
        minutes: &[15],
        hours: 0..=23,
        hour_step: 3,
        days: 1..=31,
        weekdays: ALL_WEEK,
        repeats: true,
    },
    Expected {
        expression: "*/15 1-2 * * 6-7",
        minutes: &[0, 15, 30, 45],
        hours: 1..=2,
        hour_step: 1,
        days: 1..=31,
        weekdays: &[0, 6],
        repeats: true,
    },
    Expected {
        expression: "30 */4 * * *",
        minutes: &[30],
        hours: 0..=23,
        hour_step: 4,
        days: 1..=31,
        weekdays: ALL_WEEK,
        repeats: true,
    },
    Expected {
        expression: "30 2 * * *",
        minutes: &[30],
        hours: 2..=2,
        hour_step: 1,
        days: 1..=31,
        weekdays: ALL_WEEK,
        repeats: false,
    },
    Expected {
        expression: "0 0 * * *",
        minutes: &[0],
        hours: 0..=0,
        hour_step: 1,
        days: 1..=31,
        weekdays: ALL_WEEK,
        repeats: false,
    },
    Expected {
        expression: "15,45 0-3 * * 0",
        minutes: &[15, 45],
        hours: 0..=3,
        hour_step: 1,
        days: 1..=31,
        weekdays: &[0],
        repeats: false,
    },
    Expected {
        expression: "0 45 23 28-31 * *",
        minutes: &[45],
        hours: 23..=23,
        hour_step: 1,
        days: 28..=31,
        weekdays: ALL_WEEK,
        repeats: false,
    },
    Expected {
        expression: "0 9 13 * FRI",
        minutes: &[0],
        hours: 9..=9,
        hour_step: 1,
        days: 13..=13,
        weekdays: &[5],
        repeats: false,
    },
];

impl Expected {
    fn fits(&self, civil: NaiveDateTime) -> bool {
        self.minutes.contains(&civil.minute())
            && self.hours.contains(&civil.hour())
            && (civil.hour() - self.hours.start()).is_multiple_of(self.hour_step)
            && self.days.contains(&civil.day())
            && self.weekdays.contains(&civil.weekday().num_days_from_sunday())
    }
}

/// Every quarter of an hour of ten years, as the zone's clock shows it, with whether the clock shows it for the first time.
fn quarters(zone: Tz) -> Vec<(i64, NaiveDateTime, bool)> {
    let start = NaiveDate::from_ymd_opt(2016, 1, 1).unwrap().and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp();
    let end = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap().and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp();
    let mut furthest = NaiveDateTime::MIN;
    let show = |second: i64| {
        let civil = DateTime::from_timestamp(second, 0).unwrap().with_timezone(&zone).naive_local();
        let is_new = civil > furthest;
        furthest = furthest.max(civil);
        (second, civil, is_new)
    };
    (start..end).step_by(900).map(show).collect()
}

#[test]
fn twenty_zones_over_ten_years_agree_with_a_walk_through_every_quarter_of_an_hour() {
    let mut compared = 0;
    for zone in ZONES {
        let quarters = quarters(zone.parse().unwrap());
        for expected in &EXPECTED {
            let timetable = timetable(expected.expression, zone);
            let (mut after, end) = (Micros::from_millis(quarters[0].0 * 1_000 - 1), quarters[quarters.len() - 1].0);
            for (second, ..) in
                quarters.iter().filter(|(_, civil, is_new)| expected.fits(*civil) && (*is_new || expected.repeats))
            {
                let slot = timetable.after(after).unwrap();
                assert_eq!(slot.millis(), second * 1_000, "{} in {zone}: {slot}", expected.expression);
                after = slot;
                compared += 1;
            }
            let beyond = timetable.after(after).unwrap();
            assert!(beyond.millis() > end * 1_000, "{} in {zone}: {beyond} was not expected", expected.expression);
        }
    }
    assert!(compared > 1_000_000, "{compared}");
}

/// The hours around each change of offset, minute by minute, for expressions the quarters cannot show.
#[test]
fn every_minute_around_each_change_agrees_with_the_clock_of_the_zone() {
    let every_minute = |_: NaiveDateTime| true;
    let seventh = |civil: NaiveDateTime| civil.minute() == 7 && civil.hour() <= 3;
    for zone in ZONES {
        let tz: Tz = zone.parse().unwrap();
        let quarters = quarters(tz);
        let offset = |(second, civil, _): &(i64, NaiveDateTime, bool)| civil.and_utc().timestamp() - second;
        for change in quarters.windows(2).filter(|pair| offset(&pair[0]) != offset(&pair[1])) {
            let (from, to) = (change[0].0 - 4 * 3_600, change[1].0 + 4 * 3_600);
            check_minutes("* * * * *", tz, (from, to), true, every_minute);
            check_minutes("7 0-3 * * *", tz, (from, to), false, seventh);
        }
    }
}

fn check_minutes(
    expression: &str,
    zone: Tz,
    (from, to): (i64, i64),
    repeats: bool,
    fits: impl Fn(NaiveDateTime) -> bool,
) {
    let timetable = Timetable::Cron { expression: Box::new(expression.parse().unwrap()), zone };
    let mut after = Micros::from_millis(from * 1_000 - 1);
    let mut furthest = NaiveDateTime::MIN;
    for second in (from..to).step_by(60) {
        let civil = DateTime::from_timestamp(second, 0).unwrap().with_timezone(&zone).naive_local();
        let is_new = civil > furthest;
        furthest = furthest.max(civil);
        if fits(civil) && (is_new || repeats) {
            let slot = timetable.after(after).unwrap();
            assert_eq!(slot.millis(), second * 1_000, "{expression} in {zone}: {slot}");
            after = slot;
        }
    }
    assert!(timetable.after(after).unwrap().millis() >= to * 1_000, "{expression} in {zone} after {after}");
}
