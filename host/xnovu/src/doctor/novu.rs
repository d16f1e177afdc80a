//! The key of Novu.

use super::{Finding, chain};
use crate::config::Config;
use crate::gateway::novu::NovuGateway;
use crate::gateway::{GatewayError, NotificationGateway};

/// A transaction nobody has: cancelling it changes nothing, and only who has the right key is told so.
const NOBODYS: &str = "xnovu-doctor";

const CHECK: &str = "novu key";

pub(super) async fn examine(config: &Config) -> Finding {
    let gateway = match NovuGateway::new(&config.novu) {
        Ok(gateway) => gateway,
        Err(error) => return Finding::fail(CHECK, chain(&error), "check NOVU_API_URL and NOVU_SECRET_KEY"),
    };
    match gateway.cancel(NOBODYS).await {
        Ok(_) => Finding::ok(CHECK, format!("{} accepts it", config.novu.url)),
        Err(GatewayError::Refused { status: status @ (401 | 403), .. }) => {
            let hint = "set NOVU_SECRET_KEY to the API key of the environment; it belongs to the region of NOVU_API_URL (EU: https://eu.api.novu.co)";
            Finding::fail(CHECK, format!("it is refused (HTTP {status})"), hint)
        }
        Err(error @ GatewayError::NoAnswer(_)) => Finding::fail(
            CHECK,
            chain(&error),
            format!("check NOVU_API_URL and that this machine reaches {}", config.novu.url),
        ),
        Err(error) => Finding::warn(
            CHECK,
            chain(&error),
            "Novu answers and something is wrong there; try again, see its status page",
        ),
    }
}
