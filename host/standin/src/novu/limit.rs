//! Novu's rate limit: a token bucket over windows of five seconds with a burst of ten percent.

use std::time::Instant;

const WINDOW_S: u32 = 5;
const BURST_PERCENT: u32 = 10;

/// The bucket of one organization.
#[derive(Debug)]
pub(super) struct Bucket {
    rate_per_second: u32,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(rate_per_second: u32) -> Self {
        // A rate of zero would never let anything pass and never say when to come back.
        let rate_per_second = rate_per_second.max(1);
        Self { rate_per_second, tokens: f64::from(capacity(rate_per_second)), filled: Instant::now() }
    }

    /// Takes `cost` tokens. `Err` tells after how many seconds they will be there.
    pub(super) fn take(&mut self, cost: u32) -> Result<(), u64> {
        self.take_at(cost, Instant::now())
    }

    /// The headers Novu adds to every answer.
    pub(super) fn headers(&self, cost: u32) -> [(&'static str, String); 4] {
        let limit = self.rate_per_second * WINDOW_S;
        let kind = if cost == 1 { "single" } else { "bulk" };
        let missing = f64::from(capacity(self.rate_per_second)) - self.tokens;
        let reset = (missing / f64::from(self.rate_per_second)).ceil();
        let policy = format!(
            "{limit};w={WINDOW_S};burst={};comment=\"token bucket\";category=\"trigger\";cost=\"{kind}\"",
            capacity(self.rate_per_second)
        );
        [
            ("ratelimit-limit", limit.to_string()),
            ("ratelimit-remaining", format!("{:.0}", self.tokens.floor())),
            ("ratelimit-reset", format!("{reset:.0}")),
            ("ratelimit-policy", policy),
        ]
    }

    fn take_at(&mut self, cost: u32, now: Instant) -> Result<(), u64> {
        let rate = f64::from(self.rate_per_second);
        let gained = now.saturating_duration_since(self.filled).as_secs_f64() * rate;
        self.filled = now;
        self.tokens = (self.tokens + gained).min(f64::from(capacity(self.rate_per_second)));
        let cost = f64::from(cost);
        if self.tokens >= cost {
            self.tokens -= cost;
            return Ok(());
        }
        // A cost above the capacity is told the time to fill the bucket, as if that helped.
        Err(((cost - self.tokens) / rate).ceil().max(1.0) as u64)
    }
}

fn capacity(rate_per_second: u32) -> u32 {
    let limit = rate_per_second.saturating_mul(WINDOW_S);
    limit.saturating_add(limit / 100 * BURST_PERCENT + limit % 100 * BURST_PERCENT / 100)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_full_bucket_lets_a_window_and_its_burst_pass_then_says_when_to_come_back() {
        let mut bucket = Bucket::new(60);
        let start = bucket.filled;
        let passed = (0..1_000).take_while(|_| bucket.take_at(1, start).is_ok()).count();
        assert_eq!(passed, 330);
        assert_eq!(bucket.take_at(1, start), Err(1));
        assert_eq!(bucket.take_at(100, start), Err(2));
        assert_eq!(bucket.take_at(100, start + Duration::from_secs(2)), Ok(()));
    }

    #[test]
    fn the_policy_names_window_burst_and_cost() {
        let headers = Bucket::new(60).headers(100);
        assert_eq!(headers[0].1, "300");
        assert_eq!(headers[1].1, "330");
        assert_eq!(headers[3].1, "300;w=5;burst=330;comment=\"token bucket\";category=\"trigger\";cost=\"bulk\"");
    }
}
