//! An SQS queue.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName, SendMessageBatchRequestEntry,
};

use crate::AwsError;
use crate::error::{Cause, Failure, Kind};

/// The most messages that SQS sends or receives in one request.
const MAX_BATCH: usize = 10;
/// The size of a batch that every queue accepts, regardless of its `MaximumMessageSize`.
const MAX_BATCH_BYTES: usize = 256 * 1024 - MAX_BATCH * ATTRIBUTE_BYTES;
/// More than a trace takes with its name and type; SQS counts them too.
const ATTRIBUTE_BYTES: usize = 128;
/// The attribute of a message with the trace that it belongs to (W3C Trace Context).
const TRACEPARENT: &str = "traceparent";
/// The longest delay in SQS.
const MAX_DELAY: Duration = Duration::from_secs(900);
/// SQS hides a message for at most twelve hours *after it was received*, and rejects more. Up to a quarter of an hour,
/// the longest Lambda invocation, may have passed since.
const MAX_HIDDEN: Duration = Duration::from_secs(12 * 60 * 60 - 15 * 60);

/// An SQS queue. Delivery is at least once: a repeated request may send a message twice.
#[derive(Debug, Clone)]
pub struct Queue {
    client: Client,
    url: Arc<str>,
    /// The trace that messages belong to.
    traceparent: Option<MessageAttributeValue>,
}

/// A received message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What was sent.
    pub body: String,
    /// Identifies this receive when hiding or deleting the message.
    pub receipt_handle: String,
    /// How often it was received, including this time.
    pub receives: u32,
    /// The trace that it belongs to, in W3C's format.
    pub traceparent: Option<String>,
}

/// An entry of a batch that SQS rejected.
struct Rejected<'a> {
    body: &'a str,
    cause: Cause,
}

impl Queue {
    /// Its name, the end of its address.
    pub fn name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or_default()
    }

    pub(crate) fn new(client: Client, url: &str) -> Self {
        Self { client, url: url.into(), traceparent: None }
    }

    /// The same queue, with the trace that what is sent to it belongs to, in W3C's format.
    #[must_use]
    pub fn in_trace(&self, traceparent: Option<String>) -> Self {
        let attribute = |text| MessageAttributeValue::builder().data_type("String").string_value(text).build().ok();
        Self { traceparent: traceparent.and_then(attribute), ..self.clone() }
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends messages, ten per request. Entries of a batch that SQS rejects are sent once more.
    ///
    /// # Errors
    /// When messages are rejected a second time, or SQS fails. Earlier messages may have been sent.
    pub async fn send(&self, bodies: &[String]) -> Result<(), AwsError> {
        let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
        let mut lost = Vec::new();
        for batch in batches(&bodies) {
            let refused = self.send_batch(batch).await?;
            if !refused.is_empty() {
                let again: Vec<&str> = refused.iter().map(|lost| lost.body).collect();
                lost.extend(self.send_batch(&again).await?);
            }
        }
        let count = lost.len();
        match lost.into_iter().next() {
            None => Ok(()),
            Some(Rejected { cause, .. }) => {
                Err(AwsError::Undelivered { url: self.url.to_string(), lost: count, all: bodies.len(), source: cause })
            }
        }
    }

    /// Sends a message that arrives after a delay of at most 15 minutes.
    ///
    /// # Errors
    /// When SQS fails or refuses the request.
    pub async fn send_with(&self, body: &str, delay: Duration) -> Result<(), AwsError> {
        let mut request = self.client.send_message().queue_url(&*self.url).message_body(body);
        if let Some(attribute) = &self.traceparent {
            request = request.message_attributes(TRACEPARENT, attribute.clone());
        }
        let sent = request.delay_seconds(seconds(delay, MAX_DELAY)).send().await;
        sent.map_err(|error| self.error("sqs:SendMessage", error))?;
        Ok(())
    }

    /// Makes a received message visible again after this time, counted from now, at most 11 hours and 45 minutes.
    ///
    /// # Errors
    /// When the receiver no longer holds the message, or SQS fails.
    pub async fn hide(&self, receipt_handle: &str, duration: Duration) -> Result<(), AwsError> {
        let request = self.client.change_message_visibility().queue_url(&*self.url).receipt_handle(receipt_handle);
        let hidden = request.visibility_timeout(seconds(duration, MAX_HIDDEN)).send().await;
        hidden.map_err(|error| self.error("sqs:ChangeMessageVisibility", error))?;
        Ok(())
    }

    /// Receives up to `max` messages, at most ten, without waiting. An empty result does not prove that the queue is
    /// empty: SQS asks only some of its servers.
    ///
    /// # Errors
    /// When SQS fails or refuses the request.
    pub async fn receive(&self, max: u8) -> Result<Vec<Message>, AwsError> {
        let request = self.client.receive_message().queue_url(&*self.url);
        let received = request
            .max_number_of_messages(i32::from(max).clamp(1, 10))
            .wait_time_seconds(0)
            .message_attribute_names(TRACEPARENT)
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .send()
            .await
            .map_err(|error| self.error("sqs:ReceiveMessage", error))?;
        Ok(received.messages.unwrap_or_default().into_iter().map(message).collect())
    }

    /// Removes a received message.
    ///
    /// # Errors
    /// When the receipt handle is invalid, or SQS fails.
    pub async fn delete(&self, receipt_handle: &str) -> Result<(), AwsError> {
        let request = self.client.delete_message().queue_url(&*self.url).receipt_handle(receipt_handle);
        request.send().await.map_err(|error| self.error("sqs:DeleteMessage", error))?;
        Ok(())
    }

    /// The approximate number of messages that can be received. Hidden and delayed ones do not count.
    ///
    /// # Errors
    /// When SQS fails or refuses the request.
    pub async fn depth(&self) -> Result<u64, AwsError> {
        let name = QueueAttributeName::ApproximateNumberOfMessages;
        let request = self.client.get_queue_attributes().queue_url(&*self.url).attribute_names(name.clone());
        let answer = request.send().await.map_err(|error| self.error("sqs:GetQueueAttributes", error))?;
        let depth = answer.attributes().and_then(|attributes| attributes.get(&name));
        // SQS always returns a requested attribute.
        Ok(depth.and_then(|depth| depth.parse().ok()).unwrap_or_default())
    }

    /// Sends up to ten messages and returns those that were rejected.
    async fn send_batch<'a>(&self, bodies: &[&'a str]) -> Result<Vec<Rejected<'a>>, AwsError> {
        let action = "sqs:SendMessage";
        let mut request = self.client.send_message_batch().queue_url(&*self.url);
        for (id, body) in bodies.iter().enumerate() {
            let mut entry = SendMessageBatchRequestEntry::builder().id(id.to_string()).message_body(*body);
            if let Some(attribute) = &self.traceparent {
                entry = entry.message_attributes(TRACEPARENT, attribute.clone());
            }
            request = request.entries(entry.build().map_err(|error| self.error(action, error))?);
        }
        let answer = request.send().await.map_err(|error| self.error(action, error))?;
        let lost = answer.failed().iter().filter_map(|failed| {
            let body = *bodies.get(failed.id().parse::<usize>().ok()?)?;
            Some(Rejected { body, cause: Cause::of_response(Some(failed.code()), failed.message()) })
        });
        Ok(lost.collect())
    }

    fn error(&self, action: &'static str, error: impl Into<Failure>) -> AwsError {
        let failure = error.into();
        let url = || self.url.to_string();
        match failure.kind {
            Kind::Missing => AwsError::QueueNotFound { url: url(), source: failure.cause },
            Kind::Denied => AwsError::QueueDenied { url: url(), action, source: failure.cause },
            Kind::Expired => AwsError::ReceiptExpired { url: url(), source: failure.cause },
            _ => failure.into_error(action, &self.url),
        }
    }
}

fn message(message: aws_sdk_sqs::types::Message) -> Message {
    let receives = message
        .attributes()
        .and_then(|attributes| attributes.get(&MessageSystemAttributeName::ApproximateReceiveCount))
        .and_then(|count| count.parse().ok());
    let attributes = message.message_attributes.unwrap_or_default();
    let traceparent = attributes.get(TRACEPARENT).and_then(|attribute| attribute.string_value.clone());
    Message {
        traceparent,
        body: message.body.unwrap_or_default(),
        receipt_handle: message.receipt_handle.unwrap_or_default(),
        // This receive counts.
        receives: receives.unwrap_or(1),
    }
}

/// Splits a list so that every part fits into one request. SQS rejects a message that is too large for any request.
fn batches<'a, 'b>(bodies: &'a [&'b str]) -> Vec<&'a [&'b str]> {
    let mut batches = Vec::new();
    let mut rest = bodies;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fitting = rest.iter().take(MAX_BATCH).take_while(|body| {
            bytes += body.len();
            bytes <= MAX_BATCH_BYTES
        });
        let (batch, others) = rest.split_at(fitting.count().max(1));
        batches.push(batch);
        rest = others;
    }
    batches
}

/// Whole seconds, rounded up so that nothing arrives too early.
fn seconds(duration: Duration, max: Duration) -> i32 {
    let duration = duration.min(max);
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(bodies: &[&str]) -> Vec<usize> {
        batches(bodies).into_iter().map(<[_]>::len).collect()
    }

    #[test]
    fn a_batch_holds_at_most_ten_messages() {
        assert_eq!(sizes(&["x"; 23]), [10, 10, 3]);
        assert_eq!(sizes(&[]), [0; 0]);
    }

    #[test]
    fn batches_stay_within_the_sqs_size_limit() {
        let half = "x".repeat(MAX_BATCH_BYTES / 2);
        let whole = "x".repeat(MAX_BATCH_BYTES + 1);
        assert_eq!(sizes(&[&half, &half, "x", &whole, "x"]), [2, 1, 1, 1]);
    }

    #[test]
    fn durations_are_capped_and_rounded_up_to_seconds() {
        assert_eq!(seconds(Duration::from_millis(1), MAX_DELAY), 1);
        assert_eq!(seconds(Duration::from_secs(900), MAX_DELAY), 900);
        assert_eq!(seconds(Duration::from_secs(901), MAX_DELAY), 900);
        assert_eq!(seconds(Duration::MAX, MAX_HIDDEN), 42_300);
    }
}
