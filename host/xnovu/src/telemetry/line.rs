//! How one line of the log looks.
//!
//! Owns the specification's keys and its four components. In JSON: `level`, `timestamp`, `component`, `event`, `message`, then the fields of
//! the line, then `target`. A name with dots is written with underscores, so that `enterprise.id` is `enterprise_id`. As text: time, level,
//! component, message, fields; control characters of other sides become spaces.

use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// JSON.
    Json,
    /// Text, with or without colours.
    Text { color: bool },
}

/// Writes lines.
pub(super) struct Line(pub(super) Look);

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut fields = Fields::default();
        event.record(&mut fields);
        let meta = event.metadata();
        match self.0 {
            Look::Json => json(&mut out, &time, *meta.level(), meta.target(), fields),
            Look::Text { color } => text(&mut out, &time, *meta.level(), meta.target(), fields, color),
        }
    }
}

/// Which of the specification's components speaks, by the module of the line.
fn component(target: &str) -> &'static str {
    const ROOMS: [(&str, &str); 8] = [
        ("xnovu::source", "SubscriptionManager"),
        ("xnovu::health", "HealthMonitor"),
        ("xnovu::http", "HealthMonitor"),
        ("xnovu::admission", "NotificationQueue"),
        ("xnovu::worker", "NotificationQueue"),
        ("xnovu::re", "NotificationQueue"),
        ("xnovu::trail", "NotificationQueue"),
        ("xnovu_queue", "NotificationQueue"),
    ];
    ROOMS.iter().find(|(room, _)| target.starts_with(room)).map_or("DaemonManager", |(_, component)| component)
}

fn level_word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// The fields of a line, in their order.
#[derive(Default)]
struct Fields {
    message: String,
    component: Option<String>,
    event: Option<String>,
    others: Vec<(String, Value)>,
}

impl Fields {
    fn take(&mut self, field: &Field, value: Value) {
        match field.name() {
            "message" => self.message = word(&value),
            "component" => self.component = Some(word(&value)),
            "event" => self.event = Some(word(&value)),
            // A number, however the line says it.
            "notification_id" | "notification.id" => {
                let number = value.as_str().and_then(|text| text.parse::<i64>().ok());
                self.others.push(("notification_id".to_owned(), number.map_or(value, Value::from)));
            }
            name => self.others.push((name.replace('.', "_"), value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.take(field, value.into());
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.take(field, i64::try_from(value).map_or_else(|_| value.to_string().into(), Value::from));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.take(field, u64::try_from(value).map_or_else(|_| value.to_string().into(), Value::from));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.take(field, super::Chain(value).to_string().into());
    }
}

fn json(out: &mut Writer<'_>, time: &str, level: Level, target: &str, fields: Fields) -> fmt::Result {
    let component = fields.component.unwrap_or_else(|| component(target).to_owned());
    // Level and time are words of ours and need no escape.
    write!(out, r#"{{"level":"{}","timestamp":"{time}","component":{}"#, level_word(level), Value::from(component))?;
    if let Some(event) = fields.event {
        write!(out, r#","event":{}"#, Value::from(event))?;
    }
    write!(out, r#","message":{}"#, Value::from(fields.message))?;
    // A name that comes twice must not make an object that parsers read in two ways.
    let mut others = Map::new();
    for (name, value) in fields.others {
        if !["level", "timestamp", "target"].contains(&name.as_str()) && !others.contains_key(&name) {
            write!(out, ",{}:{value}", Value::from(name.as_str()))?;
            others.insert(name, Value::Null);
        }
    }
    writeln!(out, r#","target":"{target}"}}"#)
}

fn text(out: &mut Writer<'_>, time: &str, level: Level, target: &str, fields: Fields, color: bool) -> fmt::Result {
    let component = fields.component.as_deref().unwrap_or_else(|| component(target));
    // Whoever looks at a terminal knows the day: 10:30:00.123
    let clock = time.get(11..23).unwrap_or(time);
    let (paint, dim, plain) = match (color, level) {
        (false, _) => ("", "", ""),
        (true, Level::ERROR) => ("\u{1b}[31m", "\u{1b}[2m", "\u{1b}[0m"),
        (true, Level::WARN) => ("\u{1b}[33m", "\u{1b}[2m", "\u{1b}[0m"),
        (true, Level::INFO) => ("\u{1b}[32m", "\u{1b}[2m", "\u{1b}[0m"),
        (true, _) => ("\u{1b}[34m", "\u{1b}[2m", "\u{1b}[0m"),
    };
    write!(out, "{dim}{clock}{plain} {paint}{:5}{plain} {dim}{component}{plain} ", level_word(level))?;
    out.write_str(&printable(&fields.message))?;
    let event = fields.event.map(|event| ("event".to_owned(), Value::from(event)));
    for (name, value) in event.into_iter().chain(fields.others) {
        let value = printable(&word(&value));
        match value.contains(' ') {
            true => write!(out, " {dim}{name}={plain}\"{value}\"")?,
            false => write!(out, " {dim}{name}={plain}{value}")?,
        }
    }
    out.write_char('\n')
}

/// A value without the quotes of JSON.
fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn printable(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Heap(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Heap {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What the log says while `speak` runs.
    fn said(look: Look, speak: impl FnOnce()) -> String {
        let heap = Heap::default();
        let writer = heap.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(Level::TRACE)
            .with_writer(move || writer.clone())
            .event_format(Line(look))
            .finish();
        tracing::subscriber::with_default(subscriber, speak);
        String::from_utf8(heap.0.lock().unwrap().clone()).unwrap()
    }

    fn speak() {
        tracing::info!(
            target: "xnovu::source::realtime",
            event = "notification_received",
            enterprise.id = %"ent1",
            notification_id = %12_345,
            event_type = "INSERT",
            quote = "a \"b\"\nc\u{1b}[31m",
            wait_ms = 7_u128,
            "told"
        );
    }

    #[test]
    fn a_line_of_json_has_the_specifications_keys() {
        let said = said(Look::Json, speak);
        assert!(said.ends_with("}\n") && said.lines().count() == 1, "{said}");
        let line: Value = serde_json::from_str(&said).unwrap();
        let want: [(&str, Value); 9] = [
            ("level", "info".into()),
            ("component", "SubscriptionManager".into()),
            ("enterprise_id", "ent1".into()),
            ("event", "notification_received".into()),
            ("notification_id", 12_345.into()),
            ("event_type", "INSERT".into()),
            ("message", "told".into()),
            ("quote", "a \"b\"\nc\u{1b}[31m".into()),
            ("wait_ms", 7.into()),
        ];
        for (key, value) in want {
            assert_eq!(line[key], value, "{key} of {said}");
        }
        let timestamp = line["timestamp"].as_str().unwrap();
        assert!(chrono::DateTime::parse_from_rfc3339(timestamp).is_ok() && timestamp.ends_with('Z'), "{timestamp}");
    }

    #[test]
    fn a_line_of_text_is_one_line_and_cannot_paint_a_terminal() {
        let plain = said(Look::Text { color: false }, speak);
        let (_, rest) = plain.split_once(' ').unwrap();
        let want = "info  SubscriptionManager told event=notification_received enterprise_id=ent1 notification_id=12345 \
                    event_type=INSERT quote=\"a \"b\" c [31m\" wait_ms=7\n";
        assert_eq!(rest, want);
        let colored = said(Look::Text { color: true }, speak);
        assert!(colored.contains("\u{1b}[32minfo ") && !colored.contains("c\u{1b}"), "{colored:?}");
    }

    #[test]
    fn every_room_speaks_for_one_of_the_four_components() {
        let cases = [
            ("xnovu::source::sweep", "SubscriptionManager"),
            ("xnovu::worker::deliver", "NotificationQueue"),
            ("xnovu::reaper", "NotificationQueue"),
            ("xnovu_queue::redis::perform", "NotificationQueue"),
            ("xnovu::health", "HealthMonitor"),
            ("xnovu::cli::serve", "DaemonManager"),
            ("xnovu_rules::reload", "DaemonManager"),
            ("hyper::client", "DaemonManager"),
        ];
        for (target, want) in cases {
            assert_eq!(component(target), want, "{target}");
        }
    }

    #[test]
    fn a_field_that_comes_twice_stands_once_and_none_takes_the_place_of_a_key() {
        let said = said(Look::Json, || tracing::warn!(level = "high", a.b = 1, a_b = 2, component = "Own", "x"));
        assert_eq!(said.matches("\"a_b\"").count(), 1, "{said}");
        let line: Value = serde_json::from_str(&said).unwrap();
        assert_eq!((&line["level"], &line["a_b"], &line["component"]), (&"warn".into(), &1.into(), &"Own".into()));
    }
}
