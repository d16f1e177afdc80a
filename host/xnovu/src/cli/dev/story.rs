//! A line for each thing that happens to a notification.
//!
//! Owns how the way of a notification is told to a person. Shows no payload and no recipient.

use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio_util::sync::CancellationToken;

use crate::cli::output::Output;
use crate::trail::{Step, What};

/// Tells steps until `stop` is cancelled. With `count` it cancels `stop` itself once that many notifications have reached an end.
pub(super) async fn tell(
    mut steps: Receiver<Step>,
    count: Option<u64>,
    quiet: bool,
    output: Output,
    stop: CancellationToken,
) {
    let mut ended = 0;
    while count.is_none_or(|count| ended < count) {
        let step = match stop.run_until_cancelled(steps.recv()).await {
            Some(Ok(step)) => step,
            Some(Err(RecvError::Lagged(missed))) => {
                output.note(&format!("({missed} steps went by untold)"));
                continue;
            }
            Some(Err(RecvError::Closed)) | None => return,
        };
        if !quiet {
            output.line(&line(&step, output.color()));
        }
        if !matches!(step.what, What::Offered { .. }) {
            ended += 1;
        }
    }
    stop.cancel();
}

fn line(step: &Step, color: bool) -> String {
    let (sign, text) = words(&step.what);
    let enterprise: String = step.enterprise.as_str().chars().take(8).collect();
    let head = format!("{enterprise} #{:<5}", step.notification.to_string());
    if !color {
        return format!("{head} {text}");
    }
    format!("\u{1b}[2m{head}\u{1b}[0m \u{1b}[{sign}m{text}\u{1b}[0m")
}

/// The colour and the words of a step.
fn words(what: &What) -> (u8, String) {
    let by = |plugin: &Option<String>| plugin.as_deref().unwrap_or("no rules").to_owned();
    match what {
        What::Offered { plugin, priority } => (2, format!("queued   by {} at priority {}", by(plugin), priority.get())),
        What::Turned { plugin, verdict, reason } => (33, format!("{verdict:<8} by {}: {reason}", by(plugin))),
        What::Held { reason } => (35, format!("held     {reason}")),
        What::Sent { plugin, workflows, recipients, after } => {
            let workflows: Vec<&str> = workflows.iter().map(xnovu_domain::WorkflowKey::as_str).collect();
            let text = format!(
                "sent     by {}: {} to {recipients} recipient(s), {} ms after its last change",
                by(plugin),
                workflows.join(" + "),
                after.as_millis()
            );
            (32, text)
        }
        What::Failed { reason } => (31, format!("failed   {reason}")),
        What::Cancelled => (33, "cancelled at Novu".to_owned()),
    }
}
