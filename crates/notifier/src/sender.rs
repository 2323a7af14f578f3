//! The way to a channel.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use hmac::{Hmac, KeyInit, Mac};
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use lettre::message::Mailbox;
use mergeline_domain::messages::ChannelKind;
use mergeline_domain::{ChannelId, Problem};
use mergeline_http_client::{HttpClient, NoAuthorities, Proxy, guarded_client};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use sha2::Sha256;
use tokio::time::timeout;

use crate::addresses::{Address, Addresses, key_of};
use crate::answers::Answer;
use crate::mail::Mail;
use crate::message::Message;
use crate::smtp::Smtp;
use crate::{discord, mail, slack, teams, webhook};

/// How long a chat may take to answer.
const CHAT_TIME: Duration = Duration::from_secs(10);
/// How long a program that takes webhooks may.
const WEBHOOK_TIME: Duration = Duration::from_secs(15);
/// More of an answer is not read.
const MOST_READ: usize = 64 * 1024;
/// The longest wait that a service can ask for.
const MOST_ASKED: Duration = Duration::from_secs(12 * 60 * 60);

/// What is said where there is no way for mail.
const NO_MAIL: &str = "mail needs MAIL_FROM, and SMTP_URL or SES (see docs/messages.md)";

/// A service that takes mail.
pub trait MailService: Send + Sync + fmt::Debug {
    /// Sends a mail from an address to others.
    fn send<'a>(&'a self, from: &'a Mailbox, to: &'a [Mailbox], mail: &'a Mail) -> BoxFuture<'a, Answer>;
}

/// The way to channels: addresses, connections, and the server that takes mail.
#[derive(Debug, Clone)]
pub struct Sender {
    addresses: Addresses,
    client: HttpClient<Full<Bytes>>,
    has_proxy: bool,
    mail: Option<(Mailbox, Arc<dyn MailService>)>,
}

/// Why there is no way to channels.
#[derive(Debug, thiserror::Error)]
pub enum SenderError {
    /// A setting cannot be used.
    #[error(transparent)]
    Problems(#[from] mergeline_domain::Problems),
    /// No server can be trusted.
    #[error(transparent)]
    NoAuthorities(#[from] NoAuthorities),
}

impl From<Problem> for SenderError {
    fn from(problem: Problem) -> Self {
        Self::Problems(problem.into())
    }
}

impl Sender {
    /// Reads `CHANNELS`, `CHANNEL_HOSTS`, `MAIL_FROM`, `SMTP_URL` and the proxy. Mail goes by SMTP if there is a server, else by
    /// `other`, if there is one.
    ///
    /// # Errors
    /// For settings that cannot be used, and when no server can be trusted.
    pub fn from_vars(
        lookup: impl Fn(&str) -> Option<String>,
        other: Option<Arc<dyn MailService>>,
    ) -> Result<Self, SenderError> {
        let addresses = Addresses::from_vars(&lookup)?;
        let proxy = Proxy::from_vars(&lookup)?;
        let client = guarded_client(proxy.as_ref(), addresses.guard())?;
        let set = |name: &str| lookup(name).filter(|text| !text.trim().is_empty());
        let smtp = set("SMTP_URL").map(|url| Smtp::at(&SecretString::from(url))).transpose()?;
        let service = smtp.map(|smtp| Arc::new(smtp) as Arc<dyn MailService>).or(other);
        let from = set("MAIL_FROM").map(|text| {
            let help = "write an e-mail address, `Mergeline <mergeline@example.com>` for example";
            text.trim()
                .parse::<Mailbox>()
                .map_err(|_| Problem::setting("config.mail_from", "MAIL_FROM", "it is not an e-mail address", help))
        });
        Ok(Self { addresses, client, has_proxy: proxy.is_some(), mail: from.transpose()?.zip(service) })
    }

    /// The addresses.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Why nothing can be sent to a channel; `None` if it can.
    pub fn problem_of(&self, channel: &ChannelId, kind: ChannelKind) -> Option<String> {
        if let Err(why) = self.addresses.of(channel, kind, self.has_proxy) {
            return Some(why);
        }
        let lacks_mail = kind == ChannelKind::Email && self.mail.is_none();
        lacks_mail.then(|| NO_MAIL.to_owned())
    }

    /// Sends a message once. `id` is the same for a repetition; `event` is what a webhook calls it.
    pub async fn send(
        &self,
        channel: &ChannelId,
        kind: ChannelKind,
        message: &Message,
        event: &str,
        id: &str,
        now: DateTime<Utc>,
    ) -> Answer {
        let address = match self.addresses.of(channel, kind, self.has_proxy) {
            Ok(address) => address,
            Err(why) => return Answer::Gone(why),
        };
        match address {
            Address::Mail(to) => {
                let Some((from, service)) = &self.mail else {
                    return Answer::Gone(NO_MAIL.to_owned());
                };
                service.send(from, to, &mail(message)).await
            }
            Address::Signed(url, secrets) => {
                let body = body_of(kind, message, event, now);
                match signature_headers(id, now, &body, secrets) {
                    Some(headers) => self.post(url, body, headers, kind).await,
                    None => Answer::Gone("its secret cannot sign".to_owned()),
                }
            }
            Address::Url(url) => self.post(url, body_of(kind, message, event, now), HeaderMap::new(), kind).await,
        }
    }

    async fn post(&self, url: &SecretString, body: String, headers: HeaderMap, kind: ChannelKind) -> Answer {
        let mut address = url.expose_secret().to_owned();
        if kind == ChannelKind::Discord {
            // Else it answers before it has looked.
            address.push_str(if address.contains('?') { "&wait=true" } else { "?wait=true" });
        }
        let Ok(mut request) = Request::post(address).body(Full::from(body)) else {
            return Answer::Gone("its address is not a URL".to_owned());
        };
        request.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        request.headers_mut().insert(USER_AGENT, http::HeaderValue::from_static("mergeline"));
        request.headers_mut().extend(headers);
        let time = if kind == ChannelKind::Webhook { WEBHOOK_TIME } else { CHAT_TIME };
        let asking = async {
            match self.client.request(request).await {
                Ok(response) => Box::pin(answer_of(response, kind)).await,
                // Before a connection, nothing was sent. Errors may contain names of hosts, so only their kind is said.
                Err(error) if error.is_connect() => Answer::Later(None, no_connection(&error)),
                Err(_) => Answer::Unknown("the connection broke".to_owned()),
            }
        };
        let late = || Answer::Unknown(format!("no answer within {} s", time.as_secs()));
        timeout(time, asking).await.unwrap_or_else(|_| late())
    }
}

/// What is sent to a channel: a JSON body, or the text of mail. `event` is what a webhook calls it.
pub fn body_of(kind: ChannelKind, message: &Message, event: &str, now: DateTime<Utc>) -> String {
    match kind {
        ChannelKind::Slack => slack(message).to_string(),
        ChannelKind::Teams => teams(message).to_string(),
        ChannelKind::Discord => discord(message).to_string(),
        ChannelKind::Email => mail(message).text,
        ChannelKind::Webhook => webhook(message, event, now).to_string(),
    }
}

/// Why there is no connection, without any name.
fn no_connection(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let kind = causes.filter_map(|error| error.downcast_ref::<std::io::Error>()).last().map(std::io::Error::kind);
    match kind {
        Some(std::io::ErrorKind::PermissionDenied) => "no connection: its name leads to no public address".to_owned(),
        Some(std::io::ErrorKind::InvalidData) => "no connection: its certificate is not trusted".to_owned(),
        Some(kind) => format!("no connection: {kind}"),
        None => "no connection".to_owned(),
    }
}

/// What a response means. Its body may be anything, so of it only what is known to be harmless is repeated.
async fn answer_of(response: http::Response<Incoming>, kind: ChannelKind) -> Answer {
    let status = response.status();
    let asked = retry_after(response.headers());
    let why = format!("it answered {}", status.as_u16());
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => {
            Answer::Later(asked, why)
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE => {
            Answer::Gone(format!("{why}: its address is not valid any more, or may not be used from here"))
        }
        _ if status.is_server_error() => Answer::Later(asked, why),
        _ if status.is_redirection() => Answer::Refused(format!("{why}: it leads elsewhere, which is not followed")),
        _ if !status.is_success() => Answer::Refused(why),
        // Slack says so in its body. A page that says something else with this status is not Slack's.
        _ if kind == ChannelKind::Slack => {
            let body = Limited::new(response.into_body(), MOST_READ).collect().await;
            match body.map(http_body_util::Collected::to_bytes) {
                Ok(body) if body.trim_ascii() == b"ok" => Answer::Taken,
                Ok(_) => Answer::Unknown(format!("{why}, but not `ok`")),
                Err(_) => Answer::Unknown("its answer broke off".to_owned()),
            }
        }
        _ if kind == ChannelKind::Discord => {
            let body = Limited::new(response.into_body(), MOST_READ).collect().await;
            let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            let has_id = serde_json::from_slice::<Value>(&body).is_ok_and(|body| body["id"].is_string());
            if has_id { Answer::Taken } else { Answer::Unknown(format!("{why}, but with no message")) }
        }
        _ => Answer::Taken,
    }
}

/// Seconds, with fractions at Discord; or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = text.parse::<f64>().ok().filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
    // A date is rare here; the usual waits do.
    seconds.map(|seconds| Duration::from_secs_f64(seconds.min(MOST_ASKED.as_secs_f64())))
}

/// The headers of Standard Webhooks: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.
fn signature_headers(id: &str, now: DateTime<Utc>, body: &str, secrets: &[SecretString]) -> Option<HeaderMap> {
    let timestamp = now.timestamp().to_string();
    let signatures: Option<Vec<String>> =
        secrets.iter().map(|secret| signature(secret.expose_secret(), id, &timestamp, body)).collect();
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", id.parse().ok()?);
    headers.insert("webhook-timestamp", timestamp.parse().ok()?);
    headers.insert("webhook-signature", signatures?.join(" ").parse().ok()?);
    Some(headers)
}

fn signature(secret: &str, id: &str, timestamp: &str, body: &str) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&key_of(secret)?).ok()?;
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        let signed = signature(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signed.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn a_wait_that_is_asked_for_is_read_with_fractions_and_has_an_end() {
        let asked = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().expect("a header"));
            retry_after(&headers)
        };
        assert_eq!(asked("30"), Some(Duration::from_secs(30)));
        assert_eq!(asked("0.25"), Some(Duration::from_millis(250)));
        assert_eq!(asked("1e99"), Some(MOST_ASKED));
        assert_eq!(asked("-1"), None);
        assert_eq!(asked("soon"), None);
    }
}
