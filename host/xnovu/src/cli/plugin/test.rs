//! `xnovu plugin test`: the cases of a plugin, run in the very sandbox the daemon uses.
//!
//! Owns how an answer is compared with what a case expects and how the difference is told. Never uses other limits than those a
//! binding without limits has, but for wall time.

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use xnovu_domain::{Event, Message, Verdict};
use xnovu_rules::{LogLine, Tried, Workbench};

use super::case::{self, Admit, Case, CaseFile, Refusal, Transform};
use super::difference::differences;
use super::project::{Project, projects, relative};
use super::{Places, ProjectArgs, usual_limits};
use crate::cli::output::Output;

/// How one case went.
pub(super) struct Report {
    plugin: String,
    file: String,
    pub(super) name: String,
    /// What is not as the case expects. Empty: it passed.
    pub(super) failures: Vec<String>,
    /// What the rules answered, in words; None where they were not asked.
    answer: Option<String>,
    /// Fuel of all evaluations together.
    fuel: u64,
    /// The most fuel one evaluation used.
    pub(super) fuel_most: u64,
    /// The most linear memory one evaluation had, in bytes.
    pub(super) memory_bytes: u64,
    duration: Duration,
    log: Vec<LogLine>,
}

pub(super) fn run(args: &ProjectArgs, places: &Places, output: Output) -> anyhow::Result<ExitCode> {
    let bench = places.sandbox()?;
    let mut reports = Vec::new();
    for project in projects(args, places)? {
        for report in test(&bench, &project)? {
            if !output.json() {
                tell(&report, output);
            }
            reports.push(report);
        }
    }
    let failed = reports.iter().filter(|report| !report.failures.is_empty()).count();
    if output.json() {
        let cases: Vec<_> = reports.iter().map(Report::to_json).collect();
        output.line(&format!("{:#}", json!({"passed": reports.len() - failed, "failed": failed, "cases": cases})));
    } else {
        output.line(&format!("{} passed, {failed} failed", reports.len() - failed));
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs every case of a plugin.
///
/// # Errors
/// There is no component, or no case.
pub(super) fn test(bench: &Workbench, project: &Project) -> anyhow::Result<Vec<Report>> {
    let component = project.built()?;
    let wasm = fs::read(&component).with_context(|| format!("reading {}", component.display()))?;
    let cases = case::read_all(&project.dir)?;
    cases.into_iter().map(|case| perform(bench, project, &wasm, case)).collect()
}

fn perform(bench: &Workbench, project: &Project, wasm: &[u8], file: CaseFile) -> anyhow::Result<Report> {
    let mut report = Report {
        plugin: project.name().to_owned(),
        file: relative(&file.path).display().to_string(),
        name: file.name,
        failures: Vec::new(),
        answer: None,
        fuel: 0,
        fuel_most: 0,
        memory_bytes: 0,
        duration: Duration::ZERO,
        log: Vec::new(),
    };
    match file.case {
        Err(error) => report.failures.push(format!("the case cannot be read: {error:#}")),
        Ok((event, case)) => report.compare(bench, wasm, &case, event)?,
    }
    Ok(report)
}

impl Report {
    /// Asks the component and notes what is not as the case expects.
    ///
    /// # Errors
    /// The component cannot be loaded.
    fn compare(&mut self, bench: &Workbench, wasm: &[u8], case: &Case, event: Event) -> anyhow::Result<()> {
        let trial = bench.trial(wasm, &case.config, usual_limits()).context("loading the component")?;
        let accepted = self.take(trial.validate_config());
        let accepted = accepted.and_then(|answer| answer);
        if let Some(refusal) = &case.expect.config {
            self.answer = accepted.as_ref().err().map(|words| format!("refuses the config: {words}"));
            self.failures.extend(not_refused("config", refusal, accepted.map(|()| "that it is accepted".to_owned())));
            return Ok(());
        }
        if let Err(words) = accepted {
            self.failures.push(format!("config: refused: {words}"));
            return Ok(());
        }
        let admitted = self.take(trial.admit(event.clone()));
        if let Some(wanted) = &case.expect.admit {
            self.failures.extend(admit_differs(wanted, &admitted));
        }
        let delivers = matches!(admitted, Ok(Verdict::Deliver { .. }));
        let mapped = delivers.then(|| self.take(trial.decide(event)).map(|it| it.messages.unwrap_or_default()));
        self.answer = Some(shown_answer(&admitted, mapped.as_ref()));
        match (&case.expect.transform, mapped) {
            (Some(wanted), Some(mapped)) => self.failures.extend(transform_differs(wanted, mapped)),
            (Some(_), None) if case.expect.admit.is_none() => {
                self.failures.push(format!("admit: wanted that it delivers, got {}", shown_admit(&admitted)));
            }
            // Nothing is expected, or what `admit` should have said has been told already.
            _ => {}
        }
        Ok(())
    }

    /// The answer, or in words how the evaluation failed; what it took is added up.
    fn take<T>(&mut self, tried: Tried<T>) -> Result<T, String> {
        self.fuel = self.fuel.saturating_add(tried.fuel);
        self.fuel_most = self.fuel_most.max(tried.fuel);
        self.memory_bytes = self.memory_bytes.max(tried.memory_bytes);
        self.duration += tried.duration;
        self.log.extend(tried.log);
        tried.answer.map_err(|(kind, reason)| format!("{}: {reason}", kind.word()))
    }

    /// What the rules answered, in words that follow on "it".
    pub(super) fn answer(&self) -> Option<&str> {
        self.answer.as_deref()
    }

    pub(super) fn to_json(&self) -> Value {
        json!({"plugin": self.plugin, "file": self.file, "name": self.name, "passed": self.failures.is_empty(),
            "failures": self.failures, "answer": self.answer, "fuel": self.fuel, "duration_us": self.duration.as_micros(),
            "log": self.log.iter().map(|line| line.text.as_str()).collect::<Vec<_>>()})
    }
}

/// A line a case, and below a case that failed why, and what the component logged meanwhile.
pub(super) fn tell(report: &Report, output: Output) {
    let paint =
        |code: u8, word: &str| if output.color() { format!("\x1b[{code}m{word}\x1b[0m") } else { word.to_owned() };
    if report.failures.is_empty() {
        return output.line(&format!("{}    {}  {}", paint(32, "ok"), report.plugin, report.name));
    }
    output.line(&format!("{}  {}  {}", paint(31, "FAIL"), report.plugin, report.name));
    output.line(&format!("      {}", report.file));
    for failure in &report.failures {
        output.line(&format!("      {failure}"));
    }
    for line in &report.log {
        output.line(&format!("      it logged: {}", line.text));
    }
}

fn admit_differs(wanted: &Admit, found: &Result<Verdict, String>) -> Vec<String> {
    let wanted_words = match wanted {
        Admit::Error(part) => return not_refused("admit", &Refusal { error: part.clone() }, shown_ok(found)),
        Admit::Deliver(delivery) => json!({"deliver": {"priority": delivery.priority}}),
        Admit::Defer(deferral) => json!({"defer": {"until": deferral.until, "reason": deferral.reason}}),
        Admit::Drop(reason) => json!({ "drop": reason }),
    };
    match found {
        Err(words) => vec![format!("admit: wanted {wanted_words}, got the error {words}")],
        Ok(verdict) => {
            let any_reason = matches!(wanted, Admit::Defer(deferral) if deferral.reason.is_none());
            differences("admit", &wanted_words, &verdict_json(verdict, any_reason))
        }
    }
}

fn transform_differs(wanted: &Transform, found: Result<Vec<Message>, String>) -> Vec<String> {
    match (wanted, found) {
        (Transform::Refusal(refusal), found) => {
            not_refused("transform", refusal, found.map(|messages| format!("{} messages", messages.len())))
        }
        (Transform::Messages(_), Err(words)) => vec![format!("transform: got the error {words}")],
        (Transform::Messages(wanted), Ok(found)) => {
            let found: Vec<_> = found.iter().map(message_json).collect();
            differences("transform", &Value::Array(wanted.clone()), &Value::Array(found))
        }
    }
}

/// Nothing, if there is an error that has the wanted part in it.
fn not_refused(what: &str, wanted: &Refusal, found: Result<String, String>) -> Vec<String> {
    match found {
        Err(words) if words.contains(&wanted.error) => Vec::new(),
        Err(words) => vec![format!("{what}: wanted an error with {:?} in it, got {words:?}", wanted.error)],
        Ok(answer) => vec![format!("{what}: wanted an error with {:?} in it, got {answer}", wanted.error)],
    }
}

fn shown_ok(found: &Result<Verdict, String>) -> Result<String, String> {
    found.as_ref().map(|verdict| verdict_json(verdict, false).to_string()).map_err(Clone::clone)
}

/// What the rules answered, as a person would say it.
fn shown_answer(admitted: &Result<Verdict, String>, mapped: Option<&Result<Vec<Message>, String>>) -> String {
    let verdict = match admitted {
        Ok(Verdict::Deliver { priority: None }) => "delivers".to_owned(),
        Ok(Verdict::Deliver { priority: Some(priority) }) => format!("delivers at {}", priority.get()),
        Ok(Verdict::Defer { until, reason }) => format!("defers until {until}: {reason}"),
        Ok(Verdict::Drop { reason }) => format!("drops: {reason}"),
        Err(words) => format!("fails: {words}"),
    };
    let sent = |message: &Message| format!("{} to {}", message.workflow_key, message.recipients.join(", "));
    match mapped {
        None => verdict,
        Some(Err(words)) => format!("{verdict}; the mapping fails: {words}"),
        Some(Ok(messages)) if messages.is_empty() => format!("{verdict}, and sends nothing"),
        Some(Ok(messages)) => format!("{verdict}: {}", messages.iter().map(sent).collect::<Vec<_>>().join("; ")),
    }
}

fn shown_admit(found: &Result<Verdict, String>) -> String {
    shown_ok(found).unwrap_or_else(|words| format!("the error {words}"))
}

/// The verdict as a case would write it.
fn verdict_json(verdict: &Verdict, any_reason: bool) -> Value {
    match verdict {
        Verdict::Deliver { priority } => json!({"deliver": {"priority": priority.map(|priority| priority.get())}}),
        Verdict::Defer { until, reason } => {
            json!({"defer": {"until": until, "reason": (!any_reason).then(|| reason.as_str())}})
        }
        Verdict::Drop { reason } => json!({ "drop": reason.as_str() }),
    }
}

/// The message as a case would write it: without the parts it does not have.
fn message_json(message: &Message) -> Value {
    serde_json::to_value(message).unwrap_or_else(|error| json!({ "unreadable": error.to_string() }))
}

#[cfg(test)]
mod tests {
    use xnovu_domain::{Micros, Priority};

    use super::*;

    fn differs(wanted: Value, found: Result<Verdict, String>) -> Vec<String> {
        admit_differs(&serde_json::from_value(wanted).unwrap(), &found)
    }

    #[test]
    fn a_verdict_is_as_expected_or_the_difference_is_told() {
        let deliver =
            |priority: Option<u32>| Ok(Verdict::Deliver { priority: priority.map(|it| Priority::new(it).unwrap()) });
        assert!(differs(json!({"deliver": {}}), deliver(None)).is_empty());
        assert!(differs(json!({"deliver": {"priority": 5}}), deliver(Some(5))).is_empty());
        assert_eq!(differs(json!({"deliver": {}}), deliver(Some(5))), ["admit.deliver.priority: wanted null, got 5"]);
        let dropped = Ok(Verdict::Drop { reason: "muted".into() });
        assert!(differs(json!({"drop": "muted"}), dropped.clone()).is_empty());
        assert_eq!(differs(json!({"drop": "Muted"}), dropped), ["admit.drop: wanted \"Muted\", got \"muted\""]);
        let broken = differs(json!({"drop": "x"}), Err("trap: panicked".to_owned()));
        assert_eq!(broken, ["admit: wanted {\"drop\":\"x\"}, got the error trap: panicked"]);
    }

    #[test]
    fn a_deferral_without_a_reason_in_the_case_has_any_reason() {
        let deferred =
            || Ok(Verdict::Defer { until: Micros::parse("2026-01-02T00:00:00Z").unwrap(), reason: "night".into() });
        assert!(differs(json!({"defer": {"until": "2026-01-02T08:00:00+08:00"}}), deferred()).is_empty());
        assert!(!differs(json!({"defer": {"until": "2026-01-02T00:00:00Z", "reason": "day"}}), deferred()).is_empty());
        assert!(!differs(json!({"defer": {"until": "2026-01-02T00:00:01Z"}}), deferred()).is_empty());
    }

    #[test]
    fn an_expected_error_is_a_part_of_the_text() {
        assert!(differs(json!({"error": "floor"}), Err("rule-error: payload.floor: missing".to_owned())).is_empty());
        assert!(!differs(json!({"error": "kind"}), Err("rule-error: payload.floor: missing".to_owned())).is_empty());
        assert!(!differs(json!({"error": "floor"}), Ok(Verdict::Deliver { priority: None })).is_empty());
    }
}
