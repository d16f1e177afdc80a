//! Whether an installation can work, and what to do where it cannot.
//!
//! Owns the checks and their verdicts. Reads what is there and asks what a daemon would ask; the one write matches no row. Never shows a key,
//! a payload or a recipient.

mod database;
mod local;
mod novu;
mod redis;
mod supabase;

use serde::Serialize;

use crate::config::Config;

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Nobody could look.
    NotChecked,
    /// It works, and somebody will be surprised.
    Warn,
    /// It cannot work like that.
    Fail,
}

impl Verdict {
    /// The word people read.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotChecked => "not checked",
            Self::Warn => "warn",
            Self::Fail => "fail",
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

    pub(crate) fn not_checked(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::NotChecked, what: what.into(), hint: None }
    }

    pub(crate) fn warn(check: &'static str, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Warn, what: what.into(), hint: Some(hint.into()) }
    }

    pub(crate) fn fail(check: &'static str, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Fail, what: what.into(), hint: Some(hint.into()) }
    }
}

/// Looks at everything, one after another. Tells before each part what it is about, and then what it found.
pub async fn examine(config: &Config, mut begin: impl FnMut(&'static str), mut tell: impl FnMut(Finding)) {
    begin("Redis");
    redis::examine(config).await.into_iter().for_each(&mut tell);
    begin("the plugins, which may have to be compiled");
    let (findings, enterprises) = local::examine(config).await;
    findings.into_iter().for_each(&mut tell);
    begin("Supabase");
    supabase::examine(config, &enterprises).await.into_iter().for_each(&mut tell);
    begin("the database itself");
    database::examine(config).await.into_iter().for_each(&mut tell);
    begin("Novu");
    tell(novu::examine(config).await);
}

/// The whole chain of an error as one line.
fn chain(error: &dyn std::error::Error) -> String {
    crate::telemetry::Chain(error).to_string()
}
