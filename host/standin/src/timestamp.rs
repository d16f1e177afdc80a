//! PostgreSQL's `timestamptz`: what its input accepts and how PostgREST prints it.
//!
//! Instants are whole microseconds since the Unix epoch; `infinity` and `-infinity` are the ends of the range. The session's time
//! zone is UTC. Input in words (`now`, `today`, `epoch`) and ISO 8601 are accepted, other date styles are not.

use std::fmt;

use chrono::{DateTime, Datelike, NaiveDate, Timelike};

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// The widest offset PostgreSQL accepts is just below 16 hours.
const OFFSET_SECONDS_MAX: i64 = 16 * 3_600;

/// An instant, or one of the two infinities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Timestamp(i64);

/// Why a text is no timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimestampError {
    /// The text has another shape.
    Malformed,
    /// The shape is right, a field is not (month 13).
    OutOfRange,
}

impl Timestamp {
    pub(crate) const INFINITY: Self = Self(i64::MAX);
    pub(crate) const NEG_INFINITY: Self = Self(i64::MIN);

    pub(crate) const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch; the ends of the range stand for the infinities.
    pub(crate) const fn micros(self) -> i64 {
        self.0
    }

    /// The instant `millis` milliseconds before this one.
    pub(crate) const fn minus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_sub_unsigned(millis.saturating_mul(1_000)))
    }

    /// Reads what PostgreSQL's input function for `timestamptz` reads. `now` is the start of the transaction.
    pub(crate) fn parse(text: &str, now: Timestamp) -> Result<Self, TimestampError> {
        let text = text.trim();
        if let Some(word) = parse_word(text, now) {
            return Ok(word);
        }
        let mut scan = Scan { rest: text.as_bytes() };
        let date = scan.date()?;
        let (mut seconds, mut micros) = (0, 0);
        if scan.eat(b'T') || scan.eat(b't') || scan.eat(b' ') {
            (seconds, micros) = scan.time()?;
        }
        let offset = scan.offset()?;
        if !scan.rest.is_empty() {
            return Err(TimestampError::Malformed);
        }
        let days = i64::from(date.to_epoch_days());
        (days * SECONDS_PER_DAY + seconds - offset)
            .checked_mul(MICROS_PER_SECOND)
            .and_then(|whole| whole.checked_add(micros))
            .map(Self)
            .ok_or(TimestampError::OutOfRange)
    }

    /// The form of `commit_timestamp` in Realtime: milliseconds and `Z`.
    pub(crate) fn realtime(self) -> String {
        DateTime::from_timestamp_micros(self.0)
            .unwrap_or(DateTime::UNIX_EPOCH)
            .to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
    }
}

impl fmt::Display for Timestamp {
    /// The form `to_json` gives in a session whose time zone is UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::INFINITY {
            return f.write_str("infinity");
        }
        let Some(at) = DateTime::from_timestamp_micros(self.0) else {
            return f.write_str("-infinity");
        };
        let (date, time) = (at.date_naive(), at.time());
        write!(f, "{:04}-{:02}-{:02}", date.year(), date.month(), date.day())?;
        write!(f, "T{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())?;
        let mut micros = at.timestamp_subsec_micros();
        if micros != 0 {
            let mut digits = 6;
            while micros % 10 == 0 {
                micros /= 10;
                digits -= 1;
            }
            write!(f, ".{micros:0digits$}")?;
        }
        f.write_str("+00:00")
    }
}

fn parse_word(text: &str, now: Timestamp) -> Option<Timestamp> {
    const DAY: i64 = SECONDS_PER_DAY * MICROS_PER_SECOND;
    let midnight = now.0 - now.0.rem_euclid(DAY);
    Some(match text.to_ascii_lowercase().as_str() {
        "now" => now,
        "infinity" | "+infinity" => Timestamp::INFINITY,
        "-infinity" => Timestamp::NEG_INFINITY,
        "epoch" => Timestamp(0),
        "today" => Timestamp(midnight),
        "tomorrow" => Timestamp(midnight + DAY),
        "yesterday" => Timestamp(midnight - DAY),
        _ => return None,
    })
}

/// Reads fields off the front of a text.
struct Scan<'a> {
    rest: &'a [u8],
}

impl Scan<'_> {
    fn date(&mut self) -> Result<NaiveDate, TimestampError> {
        let year = self.number(4, 6)?;
        self.expect(b'-')?;
        let month = self.number(1, 2)?;
        self.expect(b'-')?;
        let day = self.number(1, 2)?;
        NaiveDate::from_ymd_opt(year as i32, month, day).ok_or(TimestampError::OutOfRange)
    }

    /// Seconds since midnight and microseconds.
    fn time(&mut self) -> Result<(i64, i64), TimestampError> {
        let hour = self.number(1, 2)?;
        self.expect(b':')?;
        let minute = self.number(2, 2)?;
        let (mut second, mut micros) = (0, 0);
        if self.eat(b':') {
            second = self.number(2, 2)?;
            if self.eat(b'.') {
                micros = self.fraction()?;
            }
        }
        // PostgreSQL lets 24:00:00 and second 60 roll over, and nothing past them.
        let past_midnight = hour == 24 && (minute, second, micros) != (0, 0, 0);
        if hour > 24 || minute > 59 || second > 60 || past_midnight {
            return Err(TimestampError::OutOfRange);
        }
        Ok((i64::from(hour) * 3_600 + i64::from(minute) * 60 + i64::from(second), micros))
    }

    /// Microseconds, rounded from any number of digits.
    fn fraction(&mut self) -> Result<i64, TimestampError> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (fraction, rest) = self.rest.split_at(digits);
        self.rest = rest;
        let mut micros = 0;
        for place in 0..6 {
            micros = micros * 10 + fraction.get(place).map_or(0, |digit| i64::from(digit - b'0'));
        }
        if fraction.get(6).is_some_and(|digit| *digit >= b'5') {
            micros += 1;
        }
        Ok(micros)
    }

    /// Seconds east of Greenwich; none means UTC.
    fn offset(&mut self) -> Result<i64, TimestampError> {
        self.eat(b' ');
        if self.rest.eq_ignore_ascii_case(b"z") || self.rest.eq_ignore_ascii_case(b"utc") {
            self.rest = &[];
            return Ok(0);
        }
        let sign = if self.eat(b'-') {
            -1
        } else if self.eat(b'+') {
            1
        } else {
            return Ok(0);
        };
        let hours = self.number(1, 2)?;
        let colon = self.eat(b':');
        let minutes = if colon || !self.rest.is_empty() { self.number(2, 2)? } else { 0 };
        let seconds = if self.eat(b':') { self.number(2, 2)? } else { 0 };
        let offset = i64::from(hours) * 3_600 + i64::from(minutes) * 60 + i64::from(seconds);
        if minutes > 59 || seconds > 59 || offset >= OFFSET_SECONDS_MAX {
            return Err(TimestampError::OutOfRange);
        }
        Ok(sign * offset)
    }

    fn number(&mut self, digits_min: usize, digits_max: usize) -> Result<u32, TimestampError> {
        let digits = self.rest.iter().take(digits_max).take_while(|byte| byte.is_ascii_digit()).count();
        if digits < digits_min {
            return Err(TimestampError::Malformed);
        }
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        Ok(number.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')))
    }

    fn eat(&mut self, byte: u8) -> bool {
        let eaten = self.rest.first() == Some(&byte);
        if eaten {
            self.rest = &self.rest[1..];
        }
        eaten
    }

    fn expect(&mut self, byte: u8) -> Result<(), TimestampError> {
        if self.eat(byte) { Ok(()) } else { Err(TimestampError::Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_767_322_800_000_000);

    fn round_trip(text: &str) -> String {
        Timestamp::parse(text, NOW).map_or_else(|error| format!("{error:?}"), |at| at.to_string())
    }

    #[test]
    fn one_instant_in_many_spellings_prints_one_way() {
        for text in [
            "2026-01-02T03:04:05.12Z",
            "2026-01-02 03:04:05.120000+00",
            "2026-01-02T08:34:05.12+05:30",
            "2026-01-01t22:04:05.1200004-0500",
            "2026-01-02 03:04:05.12 UTC",
        ] {
            assert_eq!(round_trip(text), "2026-01-02T03:04:05.12+00:00", "{text}");
        }
    }

    #[test]
    fn trailing_zeros_of_the_fraction_are_trimmed() {
        assert_eq!(round_trip("2026-01-02T03:04:05.000"), "2026-01-02T03:04:05+00:00");
        assert_eq!(round_trip("2026-01-02T03:04:05.000010"), "2026-01-02T03:04:05.00001+00:00");
        assert_eq!(round_trip("2026-01-02T03:04:05.1234565"), "2026-01-02T03:04:05.123457+00:00");
        assert_eq!(round_trip("2026-01-02"), "2026-01-02T00:00:00+00:00");
    }

    #[test]
    fn words_and_infinities_are_read() {
        assert_eq!(round_trip("now"), NOW.to_string());
        assert_eq!(round_trip("infinity"), "infinity");
        assert_eq!(round_trip("-Infinity"), "-infinity");
        assert_eq!(round_trip("epoch"), "1970-01-01T00:00:00+00:00");
    }

    #[test]
    fn a_field_out_of_range_is_told_from_a_malformed_text() {
        for text in ["2026-13-01", "2026-02-30", "2026-01-01T25:00", "2026-01-01T00:00:61", "2026-01-01T00:00+16"] {
            assert_eq!(Timestamp::parse(text, NOW), Err(TimestampError::OutOfRange), "{text}");
        }
        for text in ["", "tomorrowish", "2026-01", "2026-01-01T", "2026-01-01T00:00:00 00:00", "2026-01-01x"] {
            assert_eq!(Timestamp::parse(text, NOW), Err(TimestampError::Malformed), "{text}");
        }
    }

    #[test]
    fn realtime_prints_milliseconds() {
        assert_eq!(Timestamp::from_micros(1_767_322_800_123_456).realtime(), "2026-01-02T03:00:00.123Z");
    }
}
