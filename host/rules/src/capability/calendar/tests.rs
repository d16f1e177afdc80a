//! Civil time, against chrono and at the borders where clocks change.

use super::*;

/// Milliseconds of an RFC 3339 time.
fn at(text: &str) -> f64 {
    millis(DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis())
}

#[track_caller]
fn next_is(after: &str, zone: &str, time: (u8, u8), want: &str) {
    let found = next(at(after), zone, time.0, time.1).unwrap();
    assert_eq!(DateTime::from_timestamp_millis(found as i64), DateTime::from_timestamp_millis(at(want) as i64));
}

#[test]
fn civil_time_is_chronos() {
    for zone in ["Asia/Shanghai", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia", "UTC", "America/New_York"]
    {
        // Every 37 hours over two years: all times of day, all changes of clocks nearby.
        for step in 0..470 {
            let instant = at("2011-06-01T00:00:00Z") + f64::from(step) * 37.0 * 3_600_000.0 + 999.0;
            let civil = local(instant, zone).unwrap();
            let want =
                DateTime::from_timestamp_millis(instant as i64).unwrap().with_timezone(&zone.parse::<Tz>().unwrap());
            let found = (civil.year, civil.month, civil.day, civil.hour, civil.minute, civil.second, civil.weekday);
            let shown = format!(
                "{:04}-{:02}-{:02} {:02}:{:02}:{:02} {}",
                found.0, found.1, found.2, found.3, found.4, found.5, found.6
            );
            assert_eq!(shown, want.format("%Y-%m-%d %H:%M:%S %u").to_string(), "{zone}");
        }
    }
}

#[test]
fn the_next_time_of_day_is_at_or_after_the_instant() {
    next_is("2026-03-10T01:29:59.999Z", "Asia/Shanghai", (9, 30), "2026-03-10T09:30:00+08:00");
    next_is("2026-03-10T01:30:00Z", "Asia/Shanghai", (9, 30), "2026-03-10T09:30:00+08:00");
    next_is("2026-03-10T01:30:00.001Z", "Asia/Shanghai", (9, 30), "2026-03-11T09:30:00+08:00");
    next_is("2026-03-10T23:59:59Z", "UTC", (0, 0), "2026-03-11T00:00:00Z");
}

#[test]
fn a_day_on_which_summer_time_skips_the_time_is_skipped() {
    // New York leaves out 02:00 to 03:00 on 8 March 2026.
    next_is("2026-03-08T00:00:00-05:00", "America/New_York", (2, 30), "2026-03-09T02:30:00-04:00");
    next_is("2026-03-08T00:00:00-05:00", "America/New_York", (3, 0), "2026-03-08T03:00:00-04:00");
}

#[test]
fn a_time_that_comes_twice_counts_the_first_time() {
    // New York has 01:00 to 02:00 twice on 1 November 2026.
    next_is("2026-11-01T00:00:00-04:00", "America/New_York", (1, 30), "2026-11-01T01:30:00-04:00");
    next_is("2026-11-01T01:30:00.001-04:00", "America/New_York", (1, 30), "2026-11-02T01:30:00-05:00");
}

#[test]
fn a_day_the_date_line_left_out_is_skipped() {
    // Samoa had no 30 December 2011.
    next_is("2011-12-29T12:00:00-10:00", "Pacific/Apia", (9, 0), "2011-12-31T09:00:00+14:00");
}

#[test]
fn where_clocks_go_back_over_midnight_the_day_before_is_searched_too() {
    // Newfoundland went back from 00:01 to 23:01 on 6 November 2011; 23:30 had been at -02:30 already.
    next_is("2011-11-06T02:29:00Z", "America/St_Johns", (23, 30), "2011-11-06T23:30:00-03:30");
    next_is("2011-11-06T01:59:00Z", "America/St_Johns", (23, 30), "2011-11-05T23:30:00-02:30");
}

#[test]
fn an_unknown_zone_is_named_and_its_name_cut() {
    assert_eq!(local(0.0, "Asia/Atlantis").unwrap_err(), "\"Asia/Atlantis\" is no time zone of the IANA database");
    assert!(next(0.0, &"x".repeat(10_000), 1, 1).unwrap_err().len() < 120);
}

#[test]
fn what_is_no_time_of_day_is_refused() {
    assert_eq!(next(0.0, "UTC", 24, 0).unwrap_err(), "24:00 is no time of day");
    assert_eq!(next(0.0, "UTC", 0, 60).unwrap_err(), "0:60 is no time of day");
}

#[test]
fn years_end_at_1900_and_9999() {
    assert_eq!(local(at("1900-01-01T00:00:00Z"), "UTC").unwrap().year, 1900);
    assert_eq!(local(at("9999-12-31T23:59:59Z"), "UTC").unwrap().year, 9999);
    let beyond = [
        f64::NAN,
        f64::INFINITY,
        f64::MIN,
        f64::MAX,
        at("1900-01-01T00:00:00Z") - 1.0,
        at("9999-12-31T23:59:59Z") + 1000.0,
    ];
    for instant in beyond {
        assert!(local(instant, "UTC").is_err(), "{instant}");
        assert!(next(instant, "UTC", 0, 0).is_err(), "{instant}");
    }
    assert!(next(at("9999-12-31T23:59:59Z"), "UTC", 9, 0).is_err(), "the next is in the year 10000");
}
