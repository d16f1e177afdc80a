//! A cron expression, as rules write it.
//!
//! Owns which expressions are understood: five fields, or six with the seconds first, as the original's library had them. Days of the week
//! are POSIX's (0 and 7 are Sunday), and a day must fit both the day of the month and the day of the week. Knows civil time only: no zone, no
//! summer time. The `cron` crate counts weekdays from Sunday as 1 and wants six fields, so both are translated first.

use std::collections::BTreeSet;
use std::str::FromStr;

use ::cron::Schedule;
use chrono::{NaiveDateTime, TimeDelta};
use thiserror::Error;

/// Longest expression, in bytes.
const BYTES_MAX: usize = 256;

/// What each field may hold, for errors.
const FIELDS: [(&str, &str); 6] = [
    ("seconds", "0 to 59"),
    ("minutes", "0 to 59"),
    ("hours", "0 to 23"),
    ("day of the month", "1 to 31"),
    ("month", "1 to 12 or JAN to DEC"),
    ("day of the week", "0 to 7 or SUN to SAT, 0 and 7 are Sunday"),
];

const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// Why an expression is not understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ExpressionError {
    /// Too long to be one.
    #[error("the expression has more than {BYTES_MAX} bytes")]
    Long,
    /// Not five or six fields.
    #[error("{expression:?} has {count} fields: 5 or, with seconds first, 6 are understood")]
    Fields {
        /// The expression.
        expression: String,
        /// How many fields it has.
        count: usize,
    },
    /// A field that is not understood.
    #[error("{name} {field:?} of {expression:?} is not understood: values are {values}, with , - * and /")]
    Field {
        /// The expression.
        expression: String,
        /// Which field.
        name: &'static str,
        /// Its text.
        field: String,
        /// What it may hold.
        values: &'static str,
    },
    /// No day fits.
    #[error("{0:?} names a time that never comes")]
    Never(String),
}

/// A cron expression that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    schedule: Schedule,
    repeats: bool,
}

impl Expression {
    /// The civil times after `after`, in order, until the year 2100.
    pub fn after(&self, after: NaiveDateTime) -> impl Iterator<Item = NaiveDateTime> + '_ {
        // Civil time is handed over as if it were UTC, where no hour is missing or comes twice.
        self.schedule.after(&after.and_utc()).map(|at| at.naive_utc())
    }

    /// Whether the expression counts time that passes rather than naming times of the day: its seconds, minutes or hours begin with `*`.
    #[must_use]
    pub fn repeats(&self) -> bool {
        self.repeats
    }
}

impl FromStr for Expression {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Self, ExpressionError> {
        if text.len() > BYTES_MAX {
            return Err(ExpressionError::Long);
        }
        let mut fields: Vec<&str> = text.split_whitespace().collect();
        match fields.len() {
            5 => fields.insert(0, "0"),
            6 => {}
            count => return Err(ExpressionError::Fields { expression: text.to_owned(), count }),
        }
        let translated = translate(text, &fields)?;
        let schedule =
            Schedule::from_str(&translated.join(" ")).map_err(|_| ExpressionError::Never(text.to_owned()))?;
        let expression = Self { schedule, repeats: fields[..3].iter().any(|field| field.starts_with('*')) };
        // Any four hundred years hold every day there is; the calendar of the crate begins in 1970 and ends in 2100.
        if expression.after(NaiveDateTime::default() - TimeDelta::seconds(1)).next().is_none() {
            return Err(ExpressionError::Never(text.to_owned()));
        }
        Ok(expression)
    }
}

/// The fields as the crate wants them, each of them checked by itself so that an error can name it.
fn translate(expression: &str, fields: &[&str]) -> Result<Vec<String>, ExpressionError> {
    let check = |(index, field): (usize, &&str)| {
        let (name, values) = FIELDS[index];
        let translated = if index == 5 { weekdays(field) } else { Some((*field).to_owned()) };
        let is_understood = |field: &String| {
            let mut alone = ["*"; 6];
            alone[index] = field;
            Schedule::from_str(&alone.join(" ")).is_ok()
        };
        translated.filter(is_understood).ok_or_else(|| ExpressionError::Field {
            expression: expression.to_owned(),
            name,
            field: (*field).to_owned(),
            values,
        })
    };
    fields.iter().enumerate().map(check).collect()
}

/// The days of the week by name, or `*` for all of them.
fn weekdays(field: &str) -> Option<String> {
    let mut days = BTreeSet::new();
    for item in field.split(',') {
        days.extend(weekday_item(item)?.into_iter().map(|day| day % 7));
    }
    if days.len() == 7 {
        return Some("*".to_owned());
    }
    Some(days.into_iter().map(|day| WEEKDAYS[day]).collect::<Vec<_>>().join(","))
}

/// `*`, `a` or `a-b`, each with or without `/step`.
fn weekday_item(item: &str) -> Option<Vec<usize>> {
    let (range, step) = match item.split_once('/') {
        Some((range, step)) => (range, step.parse().ok().filter(|step| (1..=7).contains(step))?),
        None => (item, 1),
    };
    let (first, last) = match range.split_once('-') {
        _ if range == "*" || range == "?" => (0, 6),
        Some((first, last)) => {
            let last = weekday(last)?;
            // A week that ends on Sunday: SAT-SUN.
            (weekday(first)?, if last == 0 { 7 } else { last })
        }
        // A step from a day on goes to the end of the week.
        None => (weekday(range)?, if step > 1 { 6 } else { weekday(range)? }),
    };
    (first <= last).then(|| (first..=last).step_by(step).collect())
}

fn weekday(text: &str) -> Option<usize> {
    if let Ok(number) = text.parse::<usize>() {
        return (number <= 7 && text.len() == 1).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let full = ["SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY"];
    WEEKDAYS.iter().zip(full).position(|(short, full)| upper == **short || upper == full)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(expression: &str, count: usize) -> Vec<String> {
        let expression: Expression = expression.parse().unwrap();
        // A Thursday.
        let start = "2026-01-01T00:00:00".parse::<NaiveDateTime>().unwrap() - TimeDelta::seconds(1);
        expression.after(start).take(count).map(|at| at.format("%a %d %b %H:%M:%S").to_string()).collect()
    }

    #[test]
    fn five_fields_begin_with_the_minute_and_six_with_the_second() {
        assert_eq!(first("30 9 * * *", 2), ["Thu 01 Jan 09:30:00", "Fri 02 Jan 09:30:00"]);
        assert_eq!(first("15 30 9 * * *", 2), ["Thu 01 Jan 09:30:15", "Fri 02 Jan 09:30:15"]);
        assert_eq!(first(" */20  *\t* * * * ", 2), ["Thu 01 Jan 00:00:00", "Thu 01 Jan 00:00:20"]);
    }

    #[test]
    fn days_of_the_week_are_those_of_posix() {
        let cases = [
            ("0 0 * * 0", "Sun"),
            ("0 0 * * 7", "Sun"),
            ("0 0 * * 1", "Mon"),
            ("0 0 * * sun", "Sun"),
            ("0 0 * * Friday", "Fri"),
            ("0 0 * * 1-5", "Thu Fri Mon Tue Wed"),
            ("0 0 * * MON-FRI", "Thu Fri Mon Tue Wed"),
            ("0 0 * * 5-7", "Fri Sat Sun"),
            ("0 0 * * SAT-SUN", "Sat Sun"),
            ("0 0 * * 0-6", "Thu Fri Sat Sun Mon Tue Wed"),
            ("0 0 * * */2", "Thu Sat Sun Tue"),
            ("0 0 * * 1-5/2", "Fri Mon Wed"),
            ("0 0 * * 6,0", "Sat Sun"),
            ("0 0 * * ?", "Thu Fri Sat Sun Mon Tue Wed"),
        ];
        for (expression, want) in cases {
            let days = want.split(' ').count();
            let fired: Vec<String> = first(expression, days).iter().map(|at| at[..3].to_owned()).collect();
            assert_eq!(fired.join(" "), want, "{expression}");
        }
    }

    #[test]
    fn a_day_must_fit_both_the_month_and_the_week() {
        // Vixie's cron would fire on every 13th and on every Friday.
        assert_eq!(first("0 0 13 * 5", 2), ["Fri 13 Feb 00:00:00", "Fri 13 Mar 00:00:00"]);
    }

    #[test]
    fn what_is_not_understood_is_named_with_its_field() {
        let cases = [
            ("60 * * * *", "minutes \"60\""),
            ("* 24 * * *", "hours \"24\""),
            ("* * 0 * *", "day of the month \"0\""),
            ("* * 32 * *", "day of the month \"32\""),
            ("* * L * *", "day of the month \"L\""),
            ("* * * 13 *", "month \"13\""),
            ("* * * * 8", "day of the week \"8\""),
            ("* * * * 5-1", "day of the week \"5-1\""),
            ("* * * * 5#2", "day of the week \"5#2\""),
            ("* * * * 1,", "day of the week \"1,\""),
            ("* * * * */0", "day of the week \"*/0\""),
            ("*/0 * * * *", "minutes \"*/0\""),
            ("5-1 * * * *", "minutes \"5-1\""),
            ("x * * * * *", "seconds \"x\""),
            ("* * * *", "has 4 fields"),
            ("* * * * * * 2026", "has 7 fields"),
            ("@daily", "has 1 fields"),
            ("", "has 0 fields"),
            ("0 0 30 2 *", "never comes"),
            ("0 0 31 4,6 *", "never comes"),
        ];
        for (expression, want) in cases {
            let error = expression.parse::<Expression>().unwrap_err().to_string();
            assert!(error.contains(want), "{expression:?}: {error}");
        }
        assert_eq!("1 ".repeat(200).parse::<Expression>(), Err(ExpressionError::Long));
    }

    #[test]
    fn a_leap_day_comes() {
        assert_eq!(first("0 12 29 2 *", 1), ["Tue 29 Feb 12:00:00"]);
    }

    #[test]
    fn an_expression_repeats_where_its_time_begins_with_a_star() {
        for (expression, want) in [
            ("*/15 * * * *", true),
            ("0 * * * *", true),
            ("*/15 1 * * *", true),
            ("* 30 1 * * *", true),
            ("30 1 * * *", false),
            ("0,30 0-23 * * *", false),
            ("30 1 */2 * *", false),
        ] {
            assert_eq!(expression.parse::<Expression>().unwrap().repeats(), want, "{expression}");
        }
    }
}
