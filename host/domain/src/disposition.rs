//! What an answer of Novu means for a notification.
//!
//! Owns the whole table; nobody else decides whether something is tried again. The body's status decides, not the HTTP status alone:
//! Novu answers 201 to triggers it will never run.

/// What came back from one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// An HTTP answer.
    Http {
        /// The HTTP status.
        status: u16,
        /// `status` of the body, where the body could be read.
        word: Option<String>,
        /// The answer is a replay of an earlier one (`Idempotency-Replay: true`).
        replayed: bool,
    },
    /// The call was not sent: no connection.
    Unsent,
    /// The call was sent and no answer came: it may have been carried out.
    Lost,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Novu has it.
    Accepted,
    /// Novu judged this call, and would judge it the same again: FAILED.
    Refused,
    /// Novu judged this call and may judge otherwise: spends an attempt. The next call carries the next idempotency generation, because
    /// Novu would replay this answer for 24 hours.
    Retry,
    /// Nobody judged this call: try later without spending an attempt.
    Postpone {
        /// The next call must carry the next idempotency generation: this answer was definitive.
        next_generation: bool,
        /// The call may have been carried out.
        uncertain: bool,
    },
    /// The key is refused: stop fetching, whatever the notification.
    Locked,
}

/// The table. `outage` says that Novu has been failing for others too, so a 5xx does not judge this notification.
#[must_use]
pub fn disposition(answer: &Answer, outage: bool) -> Disposition {
    use Disposition::{Locked, Postpone, Refused, Retry};
    match answer {
        Answer::Unsent => Postpone { next_generation: false, uncertain: false },
        Answer::Lost => Postpone { next_generation: false, uncertain: true },
        Answer::Http { status, word, replayed } => match status {
            200..=299 => accepted(word.as_deref(), *replayed),
            401 | 403 => Locked,
            _ if *replayed => Retry,
            409 | 408 => Postpone { next_generation: false, uncertain: true },
            425 | 429 => Postpone { next_generation: true, uncertain: false },
            500..=599 if outage => Postpone { next_generation: true, uncertain: false },
            500..=599 => Retry,
            _ => Refused,
        },
    }
}

/// A 2xx whose body cannot be read may still have been carried out; the same key asks again for free.
fn accepted(word: Option<&str>, replayed: bool) -> Disposition {
    const REFUSALS: [&str; 5] = [
        "trigger_not_active",
        "no_workflow_active_steps_defined",
        "no_workflow_steps_defined",
        "no_tenant_found",
        "invalid_recipients",
    ];
    match word {
        Some(word) if REFUSALS.contains(&word) => {
            if replayed {
                Disposition::Retry
            } else {
                Disposition::Refused
            }
        }
        Some("error") => Disposition::Retry,
        Some(_) => Disposition::Accepted,
        None => Disposition::Postpone { next_generation: false, uncertain: true },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Disposition::{Accepted, Locked, Postpone, Refused, Retry};

    fn http(status: u16, word: Option<&str>) -> Answer {
        Answer::Http { status, word: word.map(str::to_owned), replayed: false }
    }

    const LATER_SAME_KEY: Disposition = Postpone { next_generation: false, uncertain: true };
    const LATER_NEXT_KEY: Disposition = Postpone { next_generation: true, uncertain: false };

    #[test]
    fn the_bodys_status_decides() {
        let cases = [
            (Some("processed"), Accepted),
            (Some("a_word_of_next_year"), Accepted),
            (Some("trigger_not_active"), Refused),
            (Some("no_workflow_active_steps_defined"), Refused),
            (Some("no_workflow_steps_defined"), Refused),
            (Some("no_tenant_found"), Refused),
            (Some("invalid_recipients"), Refused),
            (Some("error"), Retry),
            (None, LATER_SAME_KEY),
        ];
        for (word, want) in cases {
            assert_eq!(disposition(&http(201, word), false), want, "{word:?}");
        }
    }

    #[test]
    fn every_http_status_has_its_place() {
        for status in [400, 402, 404, 405, 413, 414, 415, 422, 301] {
            assert_eq!(disposition(&http(status, None), true), Refused, "{status}");
        }
        for status in [408, 409] {
            assert_eq!(disposition(&http(status, None), false), LATER_SAME_KEY, "{status}");
        }
        for status in [425, 429] {
            assert_eq!(disposition(&http(status, None), false), LATER_NEXT_KEY, "{status}");
        }
        for status in [401, 403] {
            assert_eq!(disposition(&http(status, None), false), Locked, "{status}");
        }
        for status in [500, 502, 503, 504, 599] {
            assert_eq!(disposition(&http(status, None), false), Retry, "{status}");
            assert_eq!(disposition(&http(status, None), true), LATER_NEXT_KEY, "{status}");
        }
    }

    #[test]
    fn a_replayed_error_judges_an_earlier_call_and_is_asked_again() {
        for (status, word) in [(422, None), (500, None), (201, Some("trigger_not_active"))] {
            let answer = Answer::Http { status, word: word.map(str::to_owned), replayed: true };
            assert_eq!(disposition(&answer, false), Retry, "{status}");
        }
        let accepted = Answer::Http { status: 201, word: Some("processed".to_owned()), replayed: true };
        assert_eq!(disposition(&accepted, false), Accepted);
    }

    #[test]
    fn silence_keeps_the_key() {
        assert_eq!(disposition(&Answer::Lost, false), LATER_SAME_KEY);
        assert_eq!(disposition(&Answer::Unsent, true), Postpone { next_generation: false, uncertain: false });
    }
}
