//! A program's own webhook: the body of a Standard Webhook, <https://www.standardwebhooks.com>.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::message::Message;

/// As the specification advises.
const MOST_BYTES: usize = 20_000;

/// The body of a message of a kind at an instant.
pub fn webhook(message: &Message, kind: &str, at: DateTime<Utc>) -> Value {
    let body = |message: &Message| {
        let timestamp = at.to_rfc3339_opts(SecondsFormat::Secs, true);
        json!({ "type": kind, "timestamp": timestamp, "data": message })
    };
    message.fitted(body, |body| body.to_string().len() <= MOST_BYTES)
}
