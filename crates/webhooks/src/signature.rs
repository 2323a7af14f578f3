//! Proofs of origin: HMAC-SHA256 over the bytes as they came, compared in constant time.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::{Delivery, Plugin, WebhookSecrets};

/// How far a signed time may be from now: a delivery that was recorded is not accepted later.
const TOLERANCE: TimeDelta = TimeDelta::minutes(5);
/// How secrets of Standard Webhooks begin. What follows is base64.
const STANDARD_PREFIX: &str = "whsec_";

/// The signature is missing or wrong, or no secret is configured. Which of these, the sender does not learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature is missing or wrong")]
pub struct Refused;

/// Whether a delivery was signed with the newest secret or with the one that it replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedWith {
    /// The newest one, or the only one.
    Current,
    /// The one before it.
    Previous,
}

impl Delivery<'_> {
    /// Checks its signature. Nothing of it is read before.
    ///
    /// # Errors
    /// If it was not signed with a live secret of its plugin.
    pub fn verify(&self, secrets: &WebhookSecrets) -> Result<SignedWith, Refused> {
        for (place, secret) in secrets.of(self.plugin).iter().enumerate() {
            if self.is_signed_with(secret) {
                return Ok(if place == 0 { SignedWith::Current } else { SignedWith::Previous });
            }
        }
        Err(Refused)
    }

    fn is_signed_with(&self, secret: &SecretString) -> bool {
        let (headers, key) = (self.headers, secret.expose_secret());
        match self.plugin {
            Plugin::GitHub => is_hex(headers, "x-hub-signature-256", "sha256=", key, &[self.body]),
            Plugin::Generic => is_hex(headers, "x-mergeline-signature-256", "sha256=", key, &[self.body]),
            // Several while a secret is exchanged.
            Plugin::PagerDuty => is_hex(headers, "x-pagerduty-signature", "v1=", key, &[self.body]),
            Plugin::Grafana => self.is_of_grafana(key),
            Plugin::IncidentIo => self.is_standard(key),
        }
    }

    /// Grafana signs the body, or a time, a colon and the body if it is set up to send a time.
    fn is_of_grafana(&self, key: &str) -> bool {
        const NAME: &str = "x-grafana-alerting-signature";
        match self.header("x-grafana-alerting-signature-timestamp") {
            None => is_hex(self.headers, NAME, "", key, &[self.body]),
            Some(at) => {
                is_recent(at, self.received_at)
                    && is_hex(self.headers, NAME, "", key, &[at.as_bytes(), b":", self.body])
            }
        }
    }

    /// Standard Webhooks: `id.time.body`, in base64, several separated by blanks.
    fn is_standard(&self, key: &str) -> bool {
        let read = || {
            let (id, at) = (self.header("webhook-id")?, self.header("webhook-timestamp")?);
            let key = match key.strip_prefix(STANDARD_PREFIX) {
                Some(encoded) => BASE64_STANDARD.decode(encoded).ok()?,
                None => key.as_bytes().to_vec(),
            };
            let signatures = self.header("webhook-signature")?;
            let parts = [id.as_bytes(), b".", at.as_bytes(), b".", self.body];
            let is_one = signatures.split(' ').filter_map(|one| BASE64_STANDARD.decode(one.strip_prefix("v1,")?).ok());
            Some(is_recent(at, self.received_at) && is_any(is_one, &key, &parts))
        };
        read().unwrap_or_default()
    }
}

/// Whether a header has the signature in hexadecimal digits, among others that are separated by commas.
fn is_hex(headers: &HeaderMap, name: &str, prefix: &str, key: &str, parts: &[&[u8]]) -> bool {
    let Some(value) = headers.get(name).and_then(|value| value.to_str().ok()) else { return false };
    let signatures = value.split(',').filter_map(|one| hex(one.trim().strip_prefix(prefix)?));
    is_any(signatures, key.as_bytes(), parts)
}

fn is_any(signatures: impl Iterator<Item = Vec<u8>>, key: &[u8], parts: &[&[u8]]) -> bool {
    /// A secret is exchanged for one other.
    const TRIED: usize = 4;
    let mut signatures = signatures.take(TRIED);
    // HMAC takes a key of any length.
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(key) else { return false };
    let mac = parts.iter().fold(mac, Mac::chain_update);
    signatures.any(|signature| mac.clone().verify_slice(&signature).is_ok())
}

/// The bytes of hexadecimal digits in either case.
fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let is_even = digits.len().is_multiple_of(2);
    is_even.then(|| digits.chunks_exact(2).map(|pair| Some(digit(pair[0])? * 16 + digit(pair[1])?)).collect())?
}

/// Whether a time in seconds since 1970 is about now.
fn is_recent(seconds: &str, now: DateTime<Utc>) -> bool {
    let at = seconds.parse().ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    at.is_some_and(|at| (now - at).abs() <= TOLERANCE)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_780_000_000, 0).expect("in range")
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a header's value"))
        });
        pairs.collect()
    }

    fn secrets(plugin: &str, secrets: &[&str]) -> WebhookSecrets {
        let text = serde_json::json!({ plugin: secrets }).to_string();
        WebhookSecrets::from_vars(|_| Some(text.clone())).expect("valid secrets")
    }

    fn verify(plugin: Plugin, pairs: &[(&'static str, &str)], body: &[u8], of: &WebhookSecrets) -> Option<SignedWith> {
        let headers = headers(pairs);
        Delivery { plugin, headers: &headers, body, received_at: now() }.verify(of).ok()
    }

    const SECRET: &str = "It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const SIGNATURE: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    #[test]
    fn the_published_answer_of_github_is_right() {
        let secrets = secrets("github", &[SECRET]);
        let signed = |value: &str| verify(Plugin::GitHub, &[("x-hub-signature-256", value)], BODY, &secrets);
        assert_eq!(signed(&format!("sha256={SIGNATURE}")), Some(SignedWith::Current));
        assert_eq!(signed(&format!("sha256={}", SIGNATURE.to_uppercase())), Some(SignedWith::Current));
        for wrong in [
            String::new(),
            SIGNATURE.to_owned(),
            "sha256=".to_owned(),
            format!("sha1={SIGNATURE}"),
            format!("sha256={}", &SIGNATURE[1..]),
            format!("sha256={}", &SIGNATURE[2..]),
            format!("sha256={}", SIGNATURE.replace('7', "g")),
            format!("sha256={}", SIGNATURE.replace('7', "8")),
        ] {
            assert_eq!(signed(&wrong), None, "{wrong}");
        }
        let header = format!("sha256={SIGNATURE}");
        assert_eq!(verify(Plugin::GitHub, &[("x-hub-signature", &header)], BODY, &secrets), None, "SHA-1's header");
        let pairs = [("x-hub-signature-256", header.as_str())];
        assert_eq!(verify(Plugin::GitHub, &pairs, b"Hello, World! ", &secrets), None, "one blank more");
        assert_eq!(verify(Plugin::GitHub, &pairs, BODY, &WebhookSecrets::default()), None, "no secret accepts nothing");
    }

    #[test]
    fn the_secret_that_is_being_exchanged_still_counts() {
        let header = format!("sha256={SIGNATURE}");
        let of = secrets("github", &["another secret of a length", SECRET]);
        let signed = verify(Plugin::GitHub, &[("x-hub-signature-256", &header)], BODY, &of);
        assert_eq!(signed, Some(SignedWith::Previous));
    }

    #[test]
    fn the_published_answer_of_standard_webhooks_is_right_for_some_minutes() {
        let of = secrets("incident-io", &["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]);
        let pairs = [
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", "v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ];
        let headers = headers(&pairs);
        let body = br#"{"test": 2432232314}"#;
        for (seconds, is_accepted) in [(0, true), (-299, true), (299, true), (-301, false), (301, false)] {
            let received_at = DateTime::from_timestamp(1_614_265_330 + seconds, 0).expect("in range");
            let delivery = Delivery { plugin: Plugin::IncidentIo, headers: &headers, body, received_at };
            assert_eq!(delivery.verify(&of).is_ok(), is_accepted, "{seconds}");
        }
    }

    #[test]
    fn the_other_plugins_have_their_own_headers() {
        let of = secrets("pagerduty", &[SECRET]);
        let several = format!("v1={},v1={SIGNATURE}", SIGNATURE.replace('7', "8"));
        assert!(verify(Plugin::PagerDuty, &[("x-pagerduty-signature", &several)], BODY, &of).is_some());
        let of = secrets("grafana", &[SECRET]);
        assert!(verify(Plugin::Grafana, &[("x-grafana-alerting-signature", SIGNATURE)], BODY, &of).is_some());
        let at = now().timestamp().to_string();
        let stale =
            [("x-grafana-alerting-signature", SIGNATURE), ("x-grafana-alerting-signature-timestamp", at.as_str())];
        assert!(verify(Plugin::Grafana, &stale, BODY, &of).is_none(), "the time is signed, too");
        let of = secrets("generic", &[SECRET]);
        let header = format!("sha256={SIGNATURE}");
        assert!(verify(Plugin::Generic, &[("x-mergeline-signature-256", &header)], BODY, &of).is_some());
    }

    proptest! {
        #[test]
        fn any_header_and_body_is_refused_without_a_panic(value in "[ -~]{0,120}", body in any::<Vec<u8>>()) {
            let names = ["x-hub-signature-256", "x-pagerduty-signature", "webhook-signature", "x-grafana-alerting-signature"];
            let pairs: Vec<(&'static str, &str)> = names.iter().map(|name| (*name, value.as_str())).collect();
            for plugin in Plugin::ALL {
                let name: &str = plugin.into();
                prop_assert_eq!(verify(*plugin, &pairs, &body, &secrets(name, &[SECRET])), None);
            }
        }
    }
}
