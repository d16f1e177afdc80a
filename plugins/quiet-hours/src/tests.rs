use xnovu_sdk::testing;

use super::*;

fn settings(from: &str, to: &str) -> Settings {
    testing::config(&json!({"timezone": "Asia/Shanghai", "from": from, "to": to})).unwrap()
}

#[test]
fn an_overnight_window_lasts_over_midnight() {
    let night = settings("22:00", "07:30");
    let quiet = [(21 * 60 + 59, false), (22 * 60, true), (0, true), (7 * 60 + 29, true), (7 * 60 + 30, false)];
    for (minute, want) in quiet {
        assert_eq!(night.is_quiet_at(minute), want, "minute {minute}");
    }
}

#[test]
fn a_window_within_a_day_ends_before_it_begins_again() {
    let siesta = settings("12:00", "14:00");
    let quiet = [(11 * 60 + 59, false), (12 * 60, true), (13 * 60 + 59, true), (14 * 60, false), (0, false)];
    for (minute, want) in quiet {
        assert_eq!(siesta.is_quiet_at(minute), want, "minute {minute}");
    }
}

#[test]
fn the_last_instant_of_the_window_is_put_off_by_a_whole_second() {
    let event = Event::builder().at("2026-01-01T23:29:59.900Z").build();
    let want =
        Verdict::defer_until("2026-01-01T23:30:00.900Z".parse().unwrap(), "quiet hours until 07:30 in Asia/Shanghai");
    assert_eq!(QuietHours.admit(&event, &settings("22:00", "07:30")), Ok(want));
}

#[test]
fn a_config_that_makes_no_sense_is_refused() {
    let refusal = |config: Value| match testing::config::<Settings>(&config) {
        Ok(settings) => QuietHours.validate_config(&settings).unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    let with = |zone: &str, from: &str, to: &str| refusal(json!({"timezone": zone, "from": from, "to": to}));
    assert!(with("Asia/Shanghai", "7:00", "08:00").contains("config.from: \"7:00\" is no time of day"));
    assert!(with("Asia/Shanghai", "24:00", "08:00").contains("is no time of day"));
    assert!(with("Asia/Shanghai", "08:00", "08:00").contains("never or always"));
    assert!(with("Mars/Base", "07:00", "08:00").contains("Mars/Base"));
    assert!(
        refusal(json!({"timezone": "UTC", "from": "07:00", "to": "08:00", "tz": 1})).contains("unknown field `tz`")
    );
}
