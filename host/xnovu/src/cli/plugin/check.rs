//! `xnovu plugin check`: whether a built plugin is fit to be given to an operator.
//!
//! Owns the list of what is looked at: that the component is of these sources' version, imports only what it may have, is not too large, passes
//! its cases, answers the same event alike, stays within its limits, and has a schema its settings fit. Every finding is told, not only the
//! first; one that is wrong ends with exit code 1.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use serde_json::{Value, json};
use xnovu_rules::{BINDINGS_FILE, BindingsFile, ConfigSchema, Decided, Limits, Tried, Workbench, inspect};

use super::bench::share;
use super::case::{self, Case, CaseFile};
use super::component::{self, label};
use super::project::{Project, projects, relative};
use super::test::{self, Report};
use super::{Places, ProjectArgs, usual_limits};
use crate::cli::output::Output;

/// The part of a limit from which on a plugin is told that it comes near, in percent.
const NEAR: f64 = 50.0;

/// How often each case is asked to see whether the answer is always the same.
const REPEATS: usize = 2;

/// Something that was looked at.
#[derive(Debug, PartialEq)]
struct Finding {
    what: &'static str,
    how: Outcome,
    says: String,
    hint: Option<String>,
}

/// How it was found.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    Right,
    /// Right, but worth knowing.
    Note,
    Wrong,
}

impl Finding {
    fn new(what: &'static str, how: Outcome, says: impl Into<String>) -> Self {
        Self { what, how, says: says.into(), hint: None }
    }

    fn right(what: &'static str, says: impl Into<String>) -> Self {
        Self::new(what, Outcome::Right, says)
    }

    fn wrong(what: &'static str, says: impl Into<String>) -> Self {
        Self::new(what, Outcome::Wrong, says)
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

pub(super) fn run(args: &ProjectArgs, places: &Places, output: Output) -> anyhow::Result<ExitCode> {
    let bench = places.sandbox()?;
    let (mut told, mut wrong) = (Vec::new(), false);
    for project in projects(args, places)? {
        let findings = check(&bench, &project).with_context(|| format!("checking the plugin {}", project.name()))?;
        wrong |= findings.iter().any(|finding| finding.how == Outcome::Wrong);
        if output.json() {
            told.push(json!({"plugin": project.name(), "version": project.manifest.version.to_string(),
                "findings": findings.iter().map(Finding::to_json).collect::<Vec<_>>()}));
        } else {
            tell(&project, &findings, output);
        }
    }
    if output.json() {
        output.line(&format!("{:#}", json!({"ok": !wrong, "plugins": told})));
    }
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Looks at everything about a plugin.
///
/// # Errors
/// It has no component or no case, or a file cannot be read.
fn check(bench: &Workbench, project: &Project) -> anyhow::Result<Vec<Finding>> {
    let wasm = fs::read(project.built()?).context("reading the component")?;
    let mut findings = bytes(&wasm, project);
    if findings.iter().any(|finding| finding.how == Outcome::Wrong && finding.what != "version") {
        findings.push(Finding::new("rest", Outcome::Note, "not looked at: the host does not load the component"));
        return Ok(findings);
    }
    let reports = test::test(bench, project)?;
    findings.push(cases(&reports));
    findings.push(determinism(bench, &wasm, project)?);
    findings.extend(limits(&reports));
    findings.extend(settings(project, &wasm)?);
    Ok(findings)
}

/// What can be seen from the component alone.
fn bytes(wasm: &[u8], project: &Project) -> Vec<Finding> {
    let inspection = match inspect(wasm) {
        Ok(inspection) => inspection,
        Err(error) => return vec![Finding::wrong("component", error.to_string()).hint(build(project))],
    };
    let mut findings = Vec::new();
    let limit = Limits::default().component_bytes;
    let size =
        format!("{} bytes, {:.1} % of the {limit} a binding allows", inspection.bytes, share(inspection.bytes, limit));
    findings.push(if inspection.bytes <= limit {
        Finding::right("size", size)
    } else {
        Finding::wrong("size", size)
            .hint("leave out what the rule does not need; an operator may allow more (component_bytes)")
    });
    findings.push(match inspection.check() {
        Ok(()) => {
            let used = inspection.imports.iter().filter(|import| !import.functions.is_empty()).map(ToString::to_string);
            let used: Vec<_> = used.collect();
            Finding::right("imports", if used.is_empty() { "nothing".to_owned() } else { used.join(", ") })
        }
        Err(error) => Finding::wrong("imports", error.to_string())
            .hint("a rule has no files, no network and no clock; docs/plugins.md says what it may have"),
    });
    let version = project.manifest.version.to_string();
    findings.push(match label(wasm) {
        Some(label) if label.version == version => Finding::right("version", version),
        Some(label) => {
            let says = format!("plugin.toml says {version}, but the component was built as {}", label.version);
            Finding::wrong("version", says).hint(build(project))
        }
        None => Finding::new(
            "version",
            Outcome::Note,
            "the component says nothing of itself: it was not made by xnovu plugin build",
        ),
    });
    findings
}

fn cases(reports: &[Report]) -> Finding {
    let failed: Vec<_> = reports.iter().filter(|it| !it.failures.is_empty()).map(|it| it.name.as_str()).collect();
    if failed.is_empty() {
        return Finding::right("cases", format!("{} pass", reports.len()));
    }
    let says = format!("{} of {} fail: {}", failed.len(), reports.len(), failed.join("; "));
    Finding::wrong("cases", says).hint("xnovu plugin test says what differs")
}

/// Asks every case again, each time in a fresh instance.
fn determinism(bench: &Workbench, wasm: &[u8], project: &Project) -> anyhow::Result<Finding> {
    let mut asked = 0;
    for file in case::read_all(&project.dir)? {
        let Ok((event, case)) = file.case else { continue };
        let trial = bench.trial(wasm, &case.config, usual_limits()).context("loading the component")?;
        let answers: Vec<_> = (0..REPEATS).map(|_| comparable(trial.decide(event.clone()))).collect();
        if answers.iter().any(|answer| *answer != answers[0]) {
            let says = format!("{}: the same event got {} and {}", file.name, answers[0], answers[REPEATS - 1]);
            return Ok(Finding::wrong("determinism", says));
        }
        asked += 1;
    }
    Ok(Finding::right(
        "determinism",
        format!("{asked} cases asked {REPEATS} times: the same answers for the same fuel"),
    ))
}

/// An answer with all it consists of.
fn comparable(tried: Tried<Decided>) -> String {
    format!("{:?} for {} fuel and {} bytes", tried.answer, tried.fuel, tried.memory_bytes)
}

fn limits(reports: &[Report]) -> Vec<Finding> {
    let limits = Limits::default();
    let of = |what: &'static str, most: Option<(u64, &str)>, limit: u64, unit: &str| {
        let (most, case) = most?;
        let part = share(most, limit);
        let says = format!("at most {most}{unit}, {part:.1} % of the limit, in: {case}");
        let near = "the limit is for the worst event, and cases are rarely that; an operator may allow more";
        Some(if part < NEAR { Finding::right(what, says) } else { Finding::new(what, Outcome::Note, says).hint(near) })
    };
    let most = |figure: fn(&Report) -> u64| {
        reports.iter().map(|report| (figure(report), report.name.as_str())).max_by_key(|(figure, _)| *figure)
    };
    let fuel = of("fuel", most(|report| report.fuel_most), limits.fuel, "");
    let memory = of("memory", most(|report| report.memory_bytes), limits.memory_bytes, " bytes");
    [fuel, memory].into_iter().flatten().collect()
}

/// Whether the schema is one, whether it is the one the component carries, and whether all settings there are fit it.
fn settings(project: &Project, wasm: &[u8]) -> anyhow::Result<Vec<Finding>> {
    let text = match component::config_schema(project) {
        Err(error) => return Ok(vec![Finding::wrong("schema", format!("{error:#}"))]),
        Ok(None) => {
            let says = "plugin.toml names no config_schema, so nobody can see what may be set";
            return Ok(vec![Finding::new("schema", Outcome::Note, says)]);
        }
        Ok(Some(schema)) => schema,
    };
    let carried = label(wasm).and_then(|label| label.config_schema);
    if carried.as_ref() != Some(&text) {
        let says = "the component was built with another schema, and the host applies what the component carries";
        return Ok(vec![Finding::wrong("schema", says).hint(build(project))]);
    }
    let schema = ConfigSchema::new(&text).context("reading the schema")?;
    let (mut findings, mut fitting) = (Vec::new(), 0);
    let mut compare = |at: &str, config: &Value| {
        let mistakes = schema.mistakes(config);
        fitting += usize::from(mistakes.is_empty());
        findings.extend(mistakes.into_iter().map(|mistake| Finding::wrong("schema", format!("{at}: {mistake}"))));
    };
    for file in case::read_all(&project.dir)? {
        if let Some(config) = accepted_config(&file) {
            compare(&relative(&file.path).display().to_string(), config);
        }
    }
    for (enterprise, config) in bound(project)? {
        compare(&format!("{BINDINGS_FILE}, enterprises.{enterprise:?}.config"), &config);
    }
    if findings.is_empty() {
        let says = format!("{fitting} settings fit it: those of the cases and of {BINDINGS_FILE}");
        findings.push(Finding::right("schema", says));
    }
    Ok(findings)
}

/// The settings of a case whose rules take them. Those that are to be refused may be refused by schema or rule.
fn accepted_config(file: &CaseFile) -> Option<&Value> {
    let (_, case): &(_, Case) = file.case.as_ref().ok()?;
    case.expect.config.is_none().then_some(&case.config)
}

/// The settings enterprises give the plugin in the `bindings.toml` beside its directory, if there is one.
fn bound(project: &Project) -> anyhow::Result<Vec<(String, Value)>> {
    let Some(path) = project.dir.parent().map(|dir| dir.join(BINDINGS_FILE)).filter(|path| path.exists()) else {
        return Ok(Vec::new());
    };
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    // A mistake in the operator's file is not the plugin's; whoever loads it tells it.
    let Ok(file) = BindingsFile::parse(&path.display().to_string(), &text, &Limits::default()) else {
        return Ok(Vec::new());
    };
    let ours = file.entries.iter().filter_map(|(subject, entry)| Some((subject, entry.as_ref().ok()?)));
    let ours = ours.filter(|(_, entry)| entry.plugin == project.name());
    ours.map(|(subject, entry)| {
        let config = serde_json::from_str(entry.config.json()).context("reading a config back")?;
        Ok((subject.to_string(), config))
    })
    .collect()
}

fn build(project: &Project) -> String {
    format!("xnovu plugin build {}", relative(Path::new(&project.dir)).display())
}

impl Finding {
    fn to_json(&self) -> Value {
        let how = match self.how {
            Outcome::Right => "ok",
            Outcome::Note => "note",
            Outcome::Wrong => "wrong",
        };
        json!({"check": self.what, "outcome": how, "says": self.says, "hint": self.hint})
    }
}

fn tell(project: &Project, findings: &[Finding], output: Output) {
    output.line(&format!("{} {}", project.name(), project.manifest.version));
    for Finding { what, how, says, hint } in findings {
        let (word, color) = match how {
            Outcome::Right => ("ok", 32),
            Outcome::Note => ("note", 33),
            Outcome::Wrong => ("WRONG", 31),
        };
        let padded = format!("{word:<5}");
        let painted = if output.color() { format!("\x1b[{color}m{padded}\x1b[0m") } else { padded };
        output.line(&format!("{painted}  {what:<12}{says}"));
        if let Some(hint) = hint {
            output.line(&format!("       {:<12}hint: {hint}", ""));
        }
    }
}
