//! Properties that hold for every delivery, for any bytes. The fuzz target and the corpus test call them.

#[cfg(test)]
mod corpus;

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;

use serde_json::value::RawValue;

use crate::{Carried, Delivery, IncidentMessage, Meaning, Message, Plugin, SignedWith, Unusable, WebhookSecrets};

const SECRET: &str = "a secret that nobody guesses";

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It means something.
    Taken,
    /// It means nothing.
    Ignored,
    /// It cannot be used.
    Unusable,
}

/// Receives bytes as a delivery: the name of a plugin, headers, an empty line and the body. Returns what became of it once it is
/// signed.
///
/// # Panics
/// If it is accepted without the right signature, if the right one is refused or a second reading differs, and if a message has texts
/// that cannot be stored or shown.
pub fn webhook(bytes: &[u8]) -> Seen {
    let (head, body) = split(bytes);
    let mut lines = head.lines();
    let plugin = lines.next().and_then(|name| name.trim().parse().ok()).unwrap_or(Plugin::GitHub);
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.trim()), HeaderValue::try_from(value.trim())) {
            headers.append(name, value);
        }
    }
    let received_at = DateTime::from_timestamp(1_780_000_000, 0).unwrap_or_default();
    let secrets = serde_json::json!({ <&str>::from(plugin): [SECRET] }).to_string();
    let Ok(secrets) = WebhookSecrets::from_vars(|_| Some(secrets.clone())) else {
        panic!("secrets that cannot be read")
    };
    let unsigned = Delivery { plugin, headers: &headers, body, received_at };
    assert!(unsigned.verify(&secrets).is_err(), "it is accepted, although the secret is not known");
    assert!(unsigned.verify(&WebhookSecrets::default()).is_err(), "it is accepted without a secret");
    sign(plugin, &mut headers, body, received_at);
    let delivery = Delivery { plugin, headers: &headers, body, received_at };
    assert_eq!(delivery.verify(&secrets).ok(), Some(SignedWith::Current), "the right signature is refused");
    let read = delivery.read();
    assert_eq!(read, delivery.read(), "the second reading differs");
    match read {
        Ok(message) => check(&message, received_at),
        Err(unusable) => {
            check_text(&unusable.to_string(), 400);
            if let Unusable::Header(name) = unusable {
                assert!(!headers.contains_key(name) || headers[name].to_str().is_err(), "{name} is there");
            }
            Seen::Unusable
        }
    }
}

/// The head as text, and the body.
fn split(bytes: &[u8]) -> (String, &[u8]) {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = end.map_or((bytes, &[][..]), |end| (&bytes[..end], &bytes[end + 2..]));
    (String::from_utf8_lossy(head).into_owned(), body)
}

/// Adds the headers of the right signature.
fn sign(plugin: Plugin, headers: &mut HeaderMap, body: &[u8], now: DateTime<Utc>) {
    let at = now.timestamp().to_string();
    let mac = |parts: &[&[u8]]| {
        let Ok(mac) = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()) else { panic!("a key of any length is taken") };
        parts.iter().fold(mac, Mac::chain_update).finalize().into_bytes().to_vec()
    };
    let hex = |bytes: Vec<u8>| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    let mut set = |name: &'static str, value: String| {
        let Ok(value) = HeaderValue::try_from(value) else { panic!("a header that cannot be written") };
        headers.insert(name, value);
    };
    match plugin {
        Plugin::GitHub => set("x-hub-signature-256", format!("sha256={}", hex(mac(&[body])))),
        Plugin::Generic => set("x-mergeline-signature-256", format!("sha256={}", hex(mac(&[body])))),
        Plugin::PagerDuty => set("x-pagerduty-signature", format!("v1={}", hex(mac(&[body])))),
        Plugin::Grafana => {
            set("x-grafana-alerting-signature-timestamp", at.clone());
            set("x-grafana-alerting-signature", hex(mac(&[at.as_bytes(), b":", body])));
        }
        Plugin::IncidentIo => {
            let signature = BASE64_STANDARD.encode(mac(&[b"msg_1.", at.as_bytes(), b".", body]));
            set("webhook-id", "msg_1".to_owned());
            set("webhook-timestamp", at);
            set("webhook-signature", format!("v1,{signature}"));
        }
    }
}

fn check(message: &Message, now: DateTime<Utc>) -> Seen {
    match &message.meaning {
        Meaning::Nothing => return Seen::Ignored,
        Meaning::Changed(changed) => {
            assert!(changed.name.as_str().contains('/'), "{changed:?}");
            assert!(message.id.is_some(), "GitHub gives each delivery an id");
            if let Some(Carried { event, body }) = &changed.carried {
                let objects: BTreeMap<String, BTreeMap<String, &RawValue>> = match serde_json::from_str(body) {
                    Ok(objects) => objects,
                    Err(error) => panic!("{event} carries {body:?}: {error}"),
                };
                let mut values = objects.values().flat_map(BTreeMap::values);
                assert!(values.all(|value| !value.get().starts_with(['{', '['])), "{body} has objects of others");
            }
        }
        Meaning::Incidents(incidents) => {
            assert!(!incidents.is_empty(), "incidents without one");
            for IncidentMessage { incident, change } in incidents {
                if let Some(change) = change {
                    assert!(change.clone().no_later_than(now).state().0 <= now, "{change:?} lies in the future");
                }
                // What is still wrong is said about a field, in one line.
                for invalid in incident.clone().check(now).err().unwrap_or_default() {
                    check_text(&invalid.parameter, 40);
                    check_text(&invalid.message, 400);
                }
            }
        }
    }
    Seen::Taken
}

/// That a text may be shown: in a header, a log or a terminal.
fn check_text(text: &str, longest: usize) {
    assert!(!text.is_empty() && text.chars().count() <= longest, "{text:?}");
    assert!(!text.chars().any(char::is_control), "a terminal would obey {text:?}");
}
