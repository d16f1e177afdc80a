//! The key of Novu.
//!
//! Owns the one question. Triggers nothing and changes nothing.

use std::time::Duration;

use super::{Finding, Findings, chain, within};
use crate::config::{self, Config};
use crate::gateway::novu::NovuGateway;
use crate::gateway::{GatewayError, NotificationGateway};

/// A transaction nobody has: cancelling it changes nothing, and only who has the right key is told so.
const NOBODYS: &str = "xnovu-doctor";

const CHECK: &str = "novu key";

/// Longest wait for the answer.
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) async fn examine(config: &Config) -> Findings {
    vec![within(PATIENCE, CHECK, REACH, key(config)).await]
}

/// What to do where nobody answers.
const REACH: &str = "check NOVU_API_URL, and that this machine reaches it";

async fn key(config: &Config) -> Finding {
    let url = config::place(&config.novu.url).unwrap_or_default();
    let gateway = match NovuGateway::new(&config.novu) {
        Ok(gateway) => gateway,
        Err(error) => return Finding::failed(CHECK, chain(&error), "check NOVU_API_URL and NOVU_SECRET_KEY"),
    };
    match gateway.cancel(NOBODYS).await {
        Ok(_) => Finding::ok(CHECK, format!("{url} accepts it")),
        Err(GatewayError::Refused { status: status @ (401 | 403), .. }) => {
            let hint = "set NOVU_SECRET_KEY to the API key of the environment; it belongs to the region of NOVU_API_URL (EU: https://eu.api.novu.co)";
            Finding::failed(CHECK, format!("it is refused (HTTP {status})"), hint)
        }
        Err(error @ GatewayError::NoAnswer(_)) => Finding::failed(CHECK, chain(&error), REACH),
        Err(error) => Finding::warning(
            CHECK,
            chain(&error),
            "Novu answers and something is wrong there; try again, see its status page",
        ),
    }
}
