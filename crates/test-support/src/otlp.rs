//! An endpoint of OTLP over HTTP.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// An endpoint of OTLP that keeps what it gets, or never answers.
#[derive(Debug, Clone)]
pub struct FakeOtlp {
    url: String,
    hangs: bool,
    got: Arc<Mutex<Vec<Exported>>>,
    count: watch::Sender<usize>,
}

/// What came in one request.
#[derive(Debug, Clone)]
pub struct Exported {
    /// Its headers.
    pub headers: HeaderMap,
    /// An `ExportTraceServiceRequest`.
    pub body: Bytes,
}

impl FakeOtlp {
    /// Starts one that answers.
    ///
    /// # Errors
    /// If it cannot listen.
    pub async fn start() -> Result<Self> {
        Self::listening(false).await
    }

    /// Starts one that takes requests and never answers them.
    ///
    /// # Errors
    /// If it cannot listen.
    pub async fn hanging() -> Result<Self> {
        Self::listening(true).await
    }

    async fn listening(hangs: bool) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let fake = Self { url, hangs, got: Arc::default(), count: watch::Sender::new(0) };
        let router = Router::new().route("/v1/traces", post(take)).with_state(fake.clone());
        tokio::spawn(async move {
            // It stops with the test's runtime.
            let _ = axum::serve(listener, router).await;
        });
        Ok(fake)
    }

    /// Its address, for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Everything that came, once there are so many requests.
    pub async fn after(&self, requests: usize) -> Vec<Exported> {
        // The sender is this one.
        let _ = self.count.subscribe().wait_for(|count| *count >= requests).await;
        self.got.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests have come.
    pub fn requests(&self) -> usize {
        *self.count.borrow()
    }
}

async fn take(State(fake): State<FakeOtlp>, headers: HeaderMap, body: Bytes) {
    fake.got.lock().unwrap_or_else(PoisonError::into_inner).push(Exported { headers, body });
    fake.count.send_modify(|count| *count += 1);
    if fake.hangs {
        std::future::pending::<()>().await;
    }
}
