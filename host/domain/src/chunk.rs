//! Recipients of a message, in calls Novu accepts.
//!
//! Owns the split. It depends on the message only, so a retry splits as the first attempt did.

use crate::{JobId, Message};

/// Most recipients Novu takes in one trigger.
pub const CHUNK_RECIPIENTS_MAX: usize = 100;

/// One call to Novu: a slice of the recipients of one message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chunk<'a> {
    /// Index of the message in the rule's answer.
    pub message_index: usize,
    /// Index of the slice within the message.
    pub chunk_index: usize,
    /// The message.
    pub message: &'a Message,
    /// 1 to 100 of its recipients.
    pub recipients: &'a [String],
}

impl Chunk<'_> {
    /// Novu's `transactionId`: one for each call, because Novu's worker refuses a second trigger that carries the same one.
    #[must_use]
    pub fn transaction_id(&self, job: &JobId) -> String {
        format!("{job}-m{}-c{}", self.message_index, self.chunk_index)
    }
}

/// All calls the messages need, in order.
pub fn chunks(messages: &[Message]) -> impl Iterator<Item = Chunk<'_>> {
    messages.iter().enumerate().flat_map(|(message_index, message)| {
        let slices = message.recipients.chunks(CHUNK_RECIPIENTS_MAX).enumerate();
        slices.map(move |(chunk_index, recipients)| Chunk { message_index, chunk_index, message, recipients })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Json, Micros, NotificationId};

    fn message(recipients: usize) -> Message {
        Message {
            workflow_key: "w".into(),
            recipients: (0..recipients).map(|n| n.to_string()).collect(),
            payload: Json::object("{}".to_owned()).unwrap(),
            overrides: None,
            tenant: None,
            actor: None,
            extra: None,
        }
    }

    #[test]
    fn two_hundred_and_fifty_recipients_are_three_calls_with_three_names() {
        let messages = [message(250), message(1)];
        let job = JobId::new("e".parse().unwrap(), NotificationId::new(7).unwrap(), Micros::new(5));
        let calls: Vec<_> =
            chunks(&messages).map(|chunk| (chunk.transaction_id(&job), chunk.recipients.len())).collect();
        let want = [("xn-e-7-5-m0-c0", 100), ("xn-e-7-5-m0-c1", 100), ("xn-e-7-5-m0-c2", 50), ("xn-e-7-5-m1-c0", 1)];
        assert_eq!(calls, want.map(|(id, count)| (id.to_owned(), count)));
    }

    #[test]
    fn a_message_to_nobody_is_no_call() {
        assert_eq!(chunks(&[message(0)]).count(), 0);
    }
}
