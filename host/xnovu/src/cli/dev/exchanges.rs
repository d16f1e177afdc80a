//! A line for each exchange of rules.
//!
//! Owns how a person who edits a rule sees that it is live, or why it is not.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use xnovu_rules::{Runtime, Standing, State};

use crate::cli::output::Output;

/// Tells whose rules are others than before, until `stop` is cancelled.
pub(super) async fn tell(rules: Arc<Runtime>, output: Output, stop: CancellationToken) {
    let mut changes = rules.changes();
    let mut known = by_enterprise(&rules);
    while let Some(Ok(())) = stop.run_until_cancelled(changes.changed()).await {
        let now = by_enterprise(&rules);
        for (enterprise, line) in &now {
            if known.get(enterprise) != Some(line) {
                output.line(line);
            }
        }
        for enterprise in known.keys().filter(|enterprise| !now.contains_key(*enterprise)) {
            output.line(&format!("rules    {} has none any more", short(enterprise)));
        }
        known = now;
    }
}

fn by_enterprise(rules: &Runtime) -> BTreeMap<String, String> {
    rules.standings().into_iter().map(|standing| (standing.enterprise.clone(), line(&standing))).collect()
}

fn line(standing: &Standing) -> String {
    let Standing { enterprise, plugin, version, digest, state, reason, .. } = standing;
    let version = version.as_deref().unwrap_or("of no version");
    let digest = digest.map(|digest| digest.short()).unwrap_or_default();
    let reason = reason.as_deref().unwrap_or("nobody knows why");
    match state {
        State::Ready => {
            format!("rules    {} is decided by {plugin} {version} ({digest}) from now on", short(enterprise))
        }
        State::NotLoaded => format!("rules    {} is held: {reason}", short(enterprise)),
        state => format!(
            "rules    {} stays with {plugin} {version} ({digest}), {}: {reason}",
            short(enterprise),
            state.word()
        ),
    }
}

/// As the lines of notifications begin.
fn short(enterprise: &str) -> &str {
    enterprise.get(..8).unwrap_or(enterprise)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decides_and_what_does_not_is_said_with_the_reason() {
        let standing = |state, reason: Option<&str>| Standing {
            enterprise: "44444444-4444-4444-8444-444444444444".to_owned(),
            plugin: "night-desk".to_owned(),
            version: Some("0.2.0".to_owned()),
            digest: None,
            state,
            reason: reason.map(str::to_owned),
            since_ms: None,
            previous: None,
            counted: xnovu_rules::Counted::default(),
            failing: Vec::new(),
        };
        assert_eq!(
            line(&standing(State::Ready, None)),
            "rules    44444444 is decided by night-desk 0.2.0 () from now on"
        );
        let bad = line(&standing(State::LastGood, Some("it is not WebAssembly")));
        assert_eq!(bad, "rules    44444444 stays with night-desk 0.2.0 (), last-good: it is not WebAssembly");
        assert_eq!(
            line(&standing(State::NotLoaded, Some("it is not there"))),
            "rules    44444444 is held: it is not there"
        );
    }
}
