//! Chat services and a program that takes webhooks. They keep the limits of the real ones, and also answer wrongly.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;

/// How a service answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelAnswer {
    /// As the real one does: it takes what keeps its limits.
    Real,
    /// With this status, and these seconds in `Retry-After`.
    Status(u16, Option<&'static str>),
    /// With a page of something else and the status 200.
    SomethingElse,
    /// It takes the message, and never answers.
    Nothing,
    /// It takes the message, and the connection breaks before the answer is complete.
    Breaks,
    /// One byte of the answer after the other, without an end.
    Drips,
}

/// What a service got.
#[derive(Debug, Clone)]
pub struct ChannelMessage {
    /// The address after the host.
    pub uri: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: String,
}

impl ChannelMessage {
    /// The body as JSON; null if it is not.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// Services at `/slack/…`, `/teams/…`, `/discord/…` and `/webhook/…` of one server.
#[derive(Debug, Clone)]
pub struct FakeChannels {
    host: String,
    answers: Arc<Mutex<HashMap<String, Vec<ChannelAnswer>>>>,
    got: Arc<Mutex<Vec<ChannelMessage>>>,
}

impl FakeChannels {
    /// Starts them.
    ///
    /// # Errors
    /// If they cannot listen.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let host = listener.local_addr()?.to_string();
        let fake = Self { host, answers: Arc::default(), got: Arc::default() };
        let router = Router::new().route("/{service}/{channel}", post(take)).with_state(fake.clone());
        tokio::spawn(async move {
            // It stops with the test's runtime.
            let _ = axum::serve(listener, router).await;
        });
        Ok(fake)
    }

    /// The host and port, for `CHANNEL_HOSTS`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The address of a channel of a service.
    pub fn url(&self, service: &str, channel: &str) -> String {
        format!("http://{}/{service}/{channel}", self.host)
    }

    /// Sets the next answers of a channel. After the last one it answers as the real one does.
    pub fn answer(&self, channel: &str, answers: &[ChannelAnswer]) {
        let answers = answers.iter().rev().copied().collect();
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).insert(channel.to_owned(), answers);
    }

    /// What a channel got, oldest first.
    pub fn got(&self, channel: &str) -> Vec<ChannelMessage> {
        let end = format!("/{channel}");
        let got = self.got.lock().unwrap_or_else(PoisonError::into_inner);
        got.iter().filter(|it| it.uri.split('?').next().is_some_and(|path| path.ends_with(&end))).cloned().collect()
    }
}

async fn take(
    State(fake): State<FakeChannels>,
    Path((service, channel)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body = String::from_utf8_lossy(&body).into_owned();
    let message = ChannelMessage { uri: uri.to_string(), headers, body };
    let value = message.json();
    let answer = {
        let mut answers = fake.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get_mut(&channel).and_then(Vec::pop).unwrap_or(ChannelAnswer::Real)
    };
    let is_taken = !matches!(answer, ChannelAnswer::Status(..));
    if is_taken {
        fake.got.lock().unwrap_or_else(PoisonError::into_inner).push(message);
    }
    match answer {
        ChannelAnswer::Status(status, after) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::IM_A_TEAPOT);
            let elsewhere = [(header::LOCATION, "http://127.0.0.1:1/elsewhere")];
            match after {
                Some(after) => (status, elsewhere, [(header::RETRY_AFTER, after)], "no").into_response(),
                None => (status, elsewhere, "no").into_response(),
            }
        }
        ChannelAnswer::SomethingElse => "<html>Please log in to the network</html>".into_response(),
        ChannelAnswer::Nothing => std::future::pending().await,
        ChannelAnswer::Breaks => {
            let broken = futures::stream::iter([Ok(Bytes::from("o")), Err(std::io::Error::other("broken"))]);
            Body::from_stream(broken).into_response()
        }
        ChannelAnswer::Drips => {
            let drops = futures::stream::unfold((), |()| async {
                tokio::time::sleep(Duration::from_millis(200)).await;
                Some((Ok::<_, std::io::Error>(Bytes::from(" ")), ()))
            });
            Body::from_stream(drops).into_response()
        }
        ChannelAnswer::Real => match service.as_str() {
            "slack" => real_slack(&value),
            // It answers before it has looked.
            "teams" => StatusCode::ACCEPTED.into_response(),
            "discord" => real_discord(&value, uri.query()),
            _ => StatusCode::OK.into_response(),
        },
    }
}

fn letters(value: &Value) -> usize {
    value.as_str().map_or(0, |text| text.chars().count())
}

/// <https://docs.slack.dev/reference/block-kit/blocks>
fn real_slack(body: &Value) -> Response {
    let blocks = body["blocks"].as_array().cloned().unwrap_or_default();
    let most = |block: &Value| match block["type"].as_str() {
        Some("header") => 150,
        _ => 3_000,
    };
    let is_right = (1..=50).contains(&blocks.len())
        && blocks.iter().all(|block| letters(&block["text"]["text"]) <= most(block))
        && body["text"].is_string()
        && body.to_string().chars().count() <= 10_000;
    if is_right { "ok".into_response() } else { (StatusCode::BAD_REQUEST, "invalid_blocks").into_response() }
}

/// <https://docs.discord.com/developers/resources/message#embed-object-embed-limits>
fn real_discord(body: &Value, query: Option<&str>) -> Response {
    let embeds = body["embeds"].as_array().cloned().unwrap_or_default();
    let is_right = (1..=10).contains(&embeds.len())
        && embeds.iter().all(|embed| {
            let fields = embed["fields"].as_array().cloned().unwrap_or_default();
            letters(&embed["title"]) <= 256
                && letters(&embed["description"]) <= 4_096
                && fields.len() <= 25
                && fields.iter().all(|it| letters(&it["name"]) <= 256 && (1..=1_024).contains(&letters(&it["value"])))
        });
    if !is_right {
        return (StatusCode::BAD_REQUEST, r#"{"code": 50035, "message": "Invalid Form Body"}"#).into_response();
    }
    if query == Some("wait=true") { r#"{"id": "1"}"#.into_response() } else { StatusCode::NO_CONTENT.into_response() }
}
