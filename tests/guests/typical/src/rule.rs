//! The rule itself. The bench compiles this file a second time, for the machine it runs on.

use serde::Deserialize;

/// What the operator sets.
#[derive(Deserialize)]
pub(crate) struct Settings {
    threshold: f64,
    tiers: Vec<String>,
}

/// What the rule reads of a payload; there is more in it.
#[derive(Deserialize)]
pub(crate) struct Payload {
    customer: Customer,
    lines: Vec<Line>,
}

#[derive(Deserialize)]
struct Customer {
    tier: String,
    country: String,
}

#[derive(Deserialize)]
struct Line {
    amount: f64,
    quantity: u32,
}

/// The better the tier and the larger the order, the more urgent; below the threshold it is not sent.
pub(crate) fn priority(payload: &Payload, settings: &Settings) -> Option<u32> {
    let total: f64 = payload.lines.iter().map(|line| line.amount * f64::from(line.quantity)).sum();
    let tier = settings.tiers.iter().position(|tier| *tier == payload.customer.tier)?;
    let abroad = u32::from(payload.customer.country != "CN");
    (total >= settings.threshold).then(|| (100 * tier as u32 + total.log10() as u32 + abroad).min(1000))
}
