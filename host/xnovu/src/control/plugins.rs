//! The admin routes of the rules.
//!
//! Owns `GET /admin/plugins`, `POST /admin/plugins/reload`, `POST /admin/plugins/rollback` and `POST /admin/plugins/undo-rollback`, and the
//! bodies they speak. The rules and their reloads belong to others; this only asks them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use xnovu_rules::{
    BindingOutcome, Hinted, PluginOutcome, Report, RollbackError, RolledBack, Runtime, Standing, Subject,
};

use super::routes::Failure;
use crate::reloading::Reloads;
use crate::telemetry::Chain;

/// What the routes work with.
pub struct Rules {
    /// The rules.
    pub rules: Arc<Runtime>,
    /// Where a reload is asked for.
    pub reloads: Reloads,
}

/// What came of a reload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Number of the set that decides from now on.
    pub generation: u64,
    /// Whether anything changed.
    pub changed: bool,
    /// Whether everything there runs as it is written.
    pub clean: bool,
    /// A line for each note, plugin and enterprise.
    pub outcomes: Vec<Outcome>,
}

/// What became of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// `plugin <name>`, `enterprise <id>` or `note`.
    pub what: String,
    /// Whether it is as it is written.
    pub good: bool,
    /// What became of it, in words.
    pub outcome: String,
    /// What mends it.
    pub hint: Option<String>,
}

/// Whose rules a route is about.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Whose {
    /// The enterprise, or `*`.
    pub enterprise: String,
}

/// The routes.
pub fn routes(rules: Rules) -> Router {
    Router::new()
        .route("/admin/plugins", get(list))
        .route("/admin/plugins/reload", post(reload))
        .route("/admin/plugins/rollback", post(rollback))
        .route("/admin/plugins/undo-rollback", post(undo))
        .with_state(Arc::new(rules))
}

async fn list(State(state): State<Arc<Rules>>) -> Json<Vec<Standing>> {
    Json(state.rules.standings())
}

async fn reload(State(state): State<Arc<Rules>>) -> Result<Json<Reloaded>, Failure> {
    let report = state.reloads.reload().await;
    report
        .map(|report| Json(Reloaded::of(&report)))
        .ok_or_else(|| Failure::new(StatusCode::SERVICE_UNAVAILABLE, "the process is stopping"))
}

async fn rollback(State(state): State<Arc<Rules>>, Json(whose): Json<Whose>) -> Result<Json<RolledBack>, Failure> {
    let subject = subject(&whose)?;
    state.rules.rollback(&subject).await.map(Json).map_err(|error| refused(&error))
}

async fn undo(State(state): State<Arc<Rules>>, Json(whose): Json<Whose>) -> Result<Json<Reloaded>, Failure> {
    let subject = subject(&whose)?;
    let report = state.rules.undo_rollback(&subject).await.map_err(|error| refused(&error))?;
    Ok(Json(Reloaded::of(&report)))
}

fn subject(whose: &Whose) -> Result<Subject, Failure> {
    whose.enterprise.parse().map_err(|error| {
        Failure::new(StatusCode::BAD_REQUEST, format!("{error}"))
            .hint("name an enterprise as bindings.toml does, or '*' for those without a binding of their own")
    })
}

fn refused(error: &RollbackError) -> Failure {
    let failure = Failure::new(StatusCode::CONFLICT, Chain(error).to_string());
    match error {
        RollbackError::NotBound(_) => failure.hint("xnovu plugin list shows who is bound; '*' is bound as a whole"),
        RollbackError::NothingRuns(_) => failure.hint("xnovu plugin list says why"),
        RollbackError::NoPrevious(_) | RollbackError::ComponentLost(_) => failure.hint("put the component that is wanted into the plugin's directory"),
        RollbackError::Already(subject, _) => failure.hint(format!("xnovu plugin rollback {subject} --undo")),
        RollbackError::NotRolledBack(_) => failure.hint("xnovu plugin list shows who is"),
        RollbackError::Unwritable { .. } => failure.hint(
            "make the plugins' directory writable for this process, or put the older component into the plugin's directory",
        ),
        RollbackError::Unreadable(hinted) => match &hinted.hint {
            Some(hint) => Failure::new(StatusCode::CONFLICT, hinted.reason.clone()).hint(hint.clone()),
            None => failure,
        },
    }
}

impl Reloaded {
    /// What a report says.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        let notes = report.notes.iter().map(|note| told("note".to_owned(), note.reason.clone(), Some(note)));
        let plugins = report.plugins.iter().map(|(name, outcome)| {
            let why = match outcome {
                PluginOutcome::Refused { why, .. } => Some(why),
                PluginOutcome::Loaded { .. } | PluginOutcome::Unbound => None,
            };
            told(format!("plugin {name}"), outcome.to_string(), why)
        });
        let bindings = report.bindings.iter().map(|(subject, outcome)| {
            let why = match outcome {
                BindingOutcome::LastGood(_, why) | BindingOutcome::NotLoaded(why) => Some(why),
                BindingOutcome::Ready(_) | BindingOutcome::RolledBack(..) => None,
            };
            told(format!("enterprise {subject}"), outcome.to_string(), why)
        });
        Self {
            generation: report.generation,
            changed: report.changed,
            clean: report.is_clean(),
            outcomes: notes.chain(plugins).chain(bindings).collect(),
        }
    }
}

/// An outcome; `why` is there where it is not as it should be. The words end before the hint, which has a place of its own.
fn told(what: String, words: String, why: Option<&Hinted>) -> Outcome {
    let hint = why.and_then(|why| why.hint.clone());
    let outcome = words.lines().next().unwrap_or_default().to_owned();
    Outcome { what, good: why.is_none(), outcome, hint }
}
