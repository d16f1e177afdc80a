//! A rule of the usual kind, to measure what the sandbox costs: it reads its settings and the payload and answers a priority.

mod rule;

use xnovu_sdk::prelude::*;

use rule::{Payload, Settings};

struct Typical;

#[xnovu_sdk::rules]
impl Rules for Typical {
    type Config = Settings;
    type Payload = Payload;

    fn admit(&self, event: &Event<Payload>, settings: &Settings) -> Result<Verdict, RuleError> {
        let priority = rule::priority(event.payload()?, settings);
        Ok(priority.map_or_else(|| Verdict::drop("below the threshold"), Verdict::deliver_at))
    }
}
