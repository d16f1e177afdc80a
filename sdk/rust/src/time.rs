//! Instants as whole milliseconds, read and written without a library of their own: a component pays for its size.

use std::error::Error;
use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const DAY_MS: i64 = 86_400_000;

/// Milliseconds since the Unix epoch, UTC. As text and in JSON it is RFC 3339, such as `2026-01-02T03:04:05Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

/// Text that is no RFC 3339 timestamp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotATimestamp(String);

impl Timestamp {
    /// The instant that many milliseconds after the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// The time from `earlier` to this instant; zero where it is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// From the contract's number. Exact: the host sends whole numbers.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the host sends whole numbers, and a float conversion saturates"
    )]
    pub(crate) fn from_contract(millis: f64) -> Self {
        Self(millis as i64)
    }

    /// As the contract's number, exact below 2^53, which is the year 287396.
    #[cfg(target_arch = "wasm32")]
    #[allow(clippy::cast_precision_loss, reason = "the contract carries instants as doubles")]
    pub(crate) fn to_contract(self) -> f64 {
        self.0 as f64
    }
}

/// Later by that much, cut to the millisecond; saturates.
impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// Earlier by that much, cut to the millisecond; saturates.
impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date(self.0.div_euclid(DAY_MS));
        let ms = self.0.rem_euclid(DAY_MS);
        let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if ms % 1000 != 0 {
            write!(f, ".{:03}", ms % 1000)?;
        }
        f.write_str("Z")
    }
}

impl FromStr for Timestamp {
    type Err = NotATimestamp;

    /// Reads RFC 3339 with any offset. Digits after the third of a second do not count.
    fn from_str(text: &str) -> Result<Self, NotATimestamp> {
        parse(text).map(Self).ok_or_else(|| NotATimestamp(text.to_owned()))
    }
}

impl fmt::Display for NotATimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no RFC 3339 timestamp such as 2026-01-02T03:04:05Z", self.0)
    }
}

impl Error for NotATimestamp {}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

fn parse(text: &str) -> Option<i64> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let zone_at = rest.find(['Z', 'z', '+', '-'])?;
    let (time, zone) = rest.split_at(zone_at);
    let [year, month, day] = fields(date, '-', [4, 2, 2])?;
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [hour, minute, second] = fields(clock, ':', [2, 2, 2])?;
    let valid = (1..=12).contains(&month)
        && (1..=month_days(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    let offset_minutes = offset(zone)?;
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset_minutes * 60;
    Some(seconds * 1000 + fraction_ms(fraction)?).filter(|_| valid)
}

/// Numbers of exactly these many digits.
fn fields(text: &str, separator: char, digits: [usize; 3]) -> Option<[i64; 3]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; 3];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        *number = parts.next().filter(|part| part.len() == digits).and_then(digits_only)?;
    }
    parts.next().is_none().then_some(numbers)
}

fn digits_only(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn fraction_ms(text: &str) -> Option<i64> {
    digits_only(text)?;
    let first_three: String = text.chars().chain("00".chars()).take(3).collect();
    first_three.parse().ok()
}

/// Minutes east of UTC.
fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) =
        zone.get(1..)?.split_once(':').filter(|(hours, minutes)| hours.len() == 2 && minutes.len() == 2)?;
    let (hours, minutes) = (digits_only(hours)?, digits_only(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

fn month_days(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from the epoch to a date of the Gregorian calendar. Years are counted from March, so that the leap day comes last, in eras
/// of 400 years, which all have 146,097 days.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days`].
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Datelike};

    use super::*;

    #[test]
    fn every_day_of_four_centuries_is_as_in_chrono() {
        for day in (-150_000..150_000).step_by(7) {
            let at = Timestamp(day * DAY_MS + 12_345_678);
            let reference = DateTime::from_timestamp_millis(at.0).unwrap();
            let day = format!("{:04}-{:02}-{:02}", reference.year(), reference.month(), reference.day());
            assert_eq!(at.to_string(), format!("{day}T03:25:45.678Z"));
            assert_eq!(at.to_string().parse(), Ok(at));
        }
    }

    #[test]
    fn one_instant_has_many_spellings() {
        let spellings = [
            "2026-01-02T03:04:05.1Z",
            "2026-01-02t03:04:05.100999z",
            "2026-01-02 03:04:05.100+00:00",
            "2026-01-02T11:04:05.1+08:00",
            "2026-01-01T21:34:05.1-05:30",
        ];
        for text in spellings {
            assert_eq!(text.parse(), Ok(Timestamp(1_767_323_045_100)), "{text}");
        }
        assert_eq!(Timestamp(1_767_323_045_000).to_string(), "2026-01-02T03:04:05Z");
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        let texts = [
            "",
            "2026-01-02",
            "2026-01-02T03:04:05",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-02T24:00:00Z",
            "2026-01-02T03:04Z",
            "2026-1-02T03:04:05Z",
            "2026-01-02T03:04:05.Z",
            "2026-01-02T03:04:05+8:00",
            "2026-01-02T03:04:05é",
            "2026-01-02T+3:04:05Z",
            "2026-01-02T03:04:05.é1Z",
        ];
        for text in texts {
            assert_eq!(text.parse::<Timestamp>(), Err(NotATimestamp(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn spans_saturate() {
        let at = Timestamp(5_000);
        assert_eq!(at + Duration::from_secs(1), Timestamp(6_000));
        assert_eq!(at - Duration::from_secs(1), Timestamp(4_000));
        assert_eq!(at.since(Timestamp(9_000)), Duration::ZERO);
        assert_eq!(at + Duration::MAX, Timestamp(i64::MAX));
    }
}
