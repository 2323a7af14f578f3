//! Deliveries of a webhook: signed, and as often and in the order that a test wants.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::FakeGitHub;

/// A webhook of a repository or an organization.
#[derive(Debug)]
pub struct FakeWebhook {
    url: String,
    secret: String,
    deliveries: AtomicU64,
}

/// A delivery. Sending it again is what GitHub does on request: it keeps its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeDelivery {
    /// Its id, a GUID.
    pub id: String,
    /// The event, such as `pull_request`.
    pub event: String,
    /// The body, as it is signed.
    pub body: String,
}

impl FakeWebhook {
    /// A webhook that sends to this address, with this secret.
    pub fn new(url: &str, secret: &str) -> Self {
        Self { url: url.to_owned(), secret: secret.to_owned(), deliveries: AtomicU64::new(1) }
    }

    /// A delivery of an event with this body.
    pub fn delivery(&self, event: &str, body: &Value) -> FakeDelivery {
        let number = self.deliveries.fetch_add(1, Ordering::Relaxed);
        let id = format!("72d3162e-cc78-11e3-81ab-{number:012x}");
        FakeDelivery { id, event: event.to_owned(), body: body.to_string() }
    }

    /// Sends a delivery. Returns the status of the answer.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn send(&self, delivery: &FakeDelivery) -> io::Result<u16> {
        let FakeDelivery { id, event, body } = delivery;
        let signature = self.signature(body.as_bytes());
        let headers = format!(
            "content-type: application/json\r\nuser-agent: GitHub-Hookshot/044aadd\r\nx-github-event: {event}\r\nx-github-delivery: \
             {id}\r\nx-github-hook-id: 292430182\r\nx-github-hook-installation-target-type: repository\r\n\
             x-hub-signature-256: sha256={signature}\r\n"
        );
        let (status, _) = request("POST", &self.url, &headers, body).await?;
        Ok(status)
    }

    /// The signature of a body, in hexadecimal digits.
    pub fn signature(&self, body: &[u8]) -> String {
        Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).map_or_else(
            |_| String::new(),
            |mac| mac.chain_update(body).finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect(),
        )
    }
}

impl FakeGitHub {
    /// The body of an event about an object of a repository, as the API shows both now. `object` is its name in the body, and its
    /// path below the repository.
    ///
    /// # Errors
    /// When the API does not have them.
    pub async fn event(&self, repository: &str, action: &str, object: Option<(&str, &str)>) -> io::Result<Value> {
        let mut body = json!({
            "action": action,
            "repository": self.shown(&format!("/repos/{repository}")).await?,
            "sender": self.shown("/user").await?,
        });
        if let Some((name, path)) = object {
            body[name] = self.shown(&format!("/repos/{repository}/{path}")).await?;
        }
        Ok(body)
    }

    /// The body of a `deployment_status` event about one of a deployment's statuses, counted from the newest.
    ///
    /// # Errors
    /// When the API does not have them.
    pub async fn deployment_status_event(&self, repository: &str, id: i64, nth: usize) -> io::Result<Value> {
        let path = format!("deployments/{id}");
        let mut body = self.event(repository, "created", Some(("deployment", &path))).await?;
        let statuses = self.shown(&format!("/repos/{repository}/{path}/statuses")).await?;
        let status = statuses.get(nth).ok_or_else(|| io::Error::other(format!("{id} has no status {nth}")))?;
        body["deployment_status"] = status.clone();
        Ok(body)
    }

    async fn shown(&self, path: &str) -> io::Result<Value> {
        let headers = format!("authorization: Bearer {}\r\nuser-agent: fake\r\n", self.accepted_token());
        let (status, body) = request("GET", &format!("{}{path}", self.url()), &headers, "").await?;
        if status != 200 {
            return Err(io::Error::other(format!("{path} answered {status}")));
        }
        Ok(serde_json::from_str(&body)?)
    }
}

async fn request(method: &str, url: &str, headers: &str, body: &str) -> io::Result<(u16, String)> {
    let address = url.strip_prefix("http://").ok_or_else(|| io::Error::other("only http:// is sent to"))?;
    let (host, path) = address.find('/').map_or((address, "/"), |at| address.split_at(at));
    let mut stream = TcpStream::connect(host).await?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| io::Error::other("an answer without a head"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or_else(|| io::Error::other("an answer without a status"))?, body.to_owned()))
}
