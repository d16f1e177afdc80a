//! Whether an installation can work, and what to do where it cannot.
//!
//! Owns the checks and their verdicts. Reads what is there and asks what a daemon would ask; the one write matches no row. Every check has a
//! bound in time, all parts run beside each other, and none that fails hides another. Never shows a key, a payload or a recipient.

mod database;
mod key;
mod local;
mod machine;
mod novu;
mod redis;
mod supabase;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use serde::Serialize;
use tokio::sync::watch;
use xnovu_domain::EnterpriseId;

use crate::config::{Config, Mistakes};

/// Longest a part may take, but for the plugins, whose components may have to be compiled.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longest the plugins may take.
const PLUGINS_PATIENCE: Duration = Duration::from_secs(120);

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Nobody could look.
    NotChecked,
    /// It works, and somebody will be surprised.
    Warning,
    /// It cannot work like that.
    Failed,
}

impl Verdict {
    /// The words people read.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotChecked => "not checked",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// What it came to.
    pub verdict: Verdict,
    /// What was found.
    pub what: String,
    /// What to do, where there is something to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Finding {
    pub(crate) fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, what: what.into(), hint: None }
    }

    pub(crate) fn not_checked(check: &'static str, why: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::NotChecked, what: why.into(), hint: None }
    }

    pub(crate) fn warning(check: &'static str, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Warning, what: what.into(), hint: Some(hint.into()) }
    }

    pub(crate) fn failed(check: &'static str, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Failed, what: what.into(), hint: Some(hint.into()) }
    }
}

/// What a part has found.
type Findings = Vec<Finding>;

/// Whom the settings or the bindings name; None until that is known, and for ever where it cannot be.
type Served = watch::Receiver<Option<Vec<EnterpriseId>>>;

/// Looks at everything that the settings let us look at, and tells what was found, part by part.
pub async fn examine(config: &Config, mistakes: &Mistakes, mut tell: impl FnMut(Finding)) {
    let (known, served) = watch::channel(None);
    let right =
        |settings: &[&str]| !mistakes.0.iter().any(|mistake| settings.iter().any(|s| mistake.name.starts_with(s)));
    let mut parts: FuturesOrdered<Pin<Box<dyn Future<Output = Findings> + '_>>> = FuturesOrdered::new();
    parts.push_back(Box::pin(async { settings(config, mistakes) }));
    parts.push_back(Box::pin(async { machine::examine(config) }));
    parts.push_back(part(
        "plugins",
        right(&["XNOVU_PLUGINS", "plugins."]),
        PLUGINS_PATIENCE,
        local::examine(config, known),
    ));
    let redis_settings = right(&["REDIS_", "QUEUE_PREFIX", "redis.", "queue.prefix"]);
    parts.push_back(part("redis", redis_settings, PATIENCE, redis::examine(config)));
    let supabase_settings = right(&["NEXT_PUBLIC_SUPABASE", "SUPABASE_", "supabase."]);
    // It waits for the plugins, which tell whose rows to look at.
    let patience = PATIENCE + PLUGINS_PATIENCE;
    parts.push_back(part("supabase", supabase_settings, patience, supabase::examine(config, served)));
    parts.push_back(part("database", right(&["DATABASE_URL"]), PATIENCE, database::examine(config)));
    parts.push_back(part("novu", right(&["NOVU_", "novu."]), PATIENCE, novu::examine(config)));
    while let Some(findings) = parts.next().await {
        findings.into_iter().for_each(&mut tell);
    }
}

/// A part, which is not looked at where its own settings are wrong, and given up where it takes too long.
fn part<'a>(
    check: &'static str,
    right: bool,
    patience: Duration,
    look: impl Future<Output = Findings> + 'a,
) -> Pin<Box<dyn Future<Output = Findings> + 'a>> {
    if !right {
        let why = "its settings are missing or wrong, as told above";
        return Box::pin(async move { vec![Finding::not_checked(check, why)] });
    }
    Box::pin(async move {
        let late = || {
            vec![Finding::failed(
                check,
                format!("no end within {} s", patience.as_secs()),
                "try again; see the log of the service",
            )]
        };
        tokio::time::timeout(patience, look).await.unwrap_or_else(|_| late())
    })
}

/// The check, given up after a while.
async fn within(patience: Duration, check: &'static str, hint: &str, look: impl Future<Output = Finding>) -> Finding {
    let late = || Finding::failed(check, format!("no answer within {} s", patience.as_secs()), hint);
    tokio::time::timeout(patience, look).await.unwrap_or_else(|_| late())
}

fn settings(config: &Config, mistakes: &Mistakes) -> Findings {
    let check = "settings";
    let wrong = mistakes
        .0
        .iter()
        .map(|mistake| Finding::failed(check, format!("{}: {}", mistake.name, mistake.what), mistake.hint.clone()));
    let risky = config
        .warnings
        .iter()
        .map(|warning| Finding::warning(check, format!("{}: {}", warning.name, warning.what), warning.hint.clone()));
    let mut findings: Findings = wrong.chain(risky).collect();
    if mistakes.0.is_empty() {
        findings.insert(0, Finding::ok(check, "they can be read; `xnovu config show` tells where each comes from"));
    }
    findings
}

/// The whole chain of an error as one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    crate::telemetry::Chain(error).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_part_that_hangs_is_given_up_and_one_with_wrong_settings_is_not_begun() {
        let hangs = async { std::future::pending::<Findings>().await };
        let findings = part("redis", true, PATIENCE, hangs).await;
        assert_eq!((findings[0].verdict, findings[0].what.as_str()), (Verdict::Failed, "no end within 30 s"));
        let unwanted = async { panic!("it was begun") };
        assert_eq!(part("redis", false, PATIENCE, unwanted).await[0].verdict, Verdict::NotChecked);
        let quick = async { vec![Finding::ok("redis", "fine")] };
        assert_eq!(part("redis", true, PATIENCE, quick).await, [Finding::ok("redis", "fine")]);
    }
}
