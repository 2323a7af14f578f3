//! A request as the fake understands it.

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Request, header};

/// The API versions that GitHub knows; without the header it answers as the first.
const VERSIONS: [&str; 2] = ["2022-11-28", "2026-03-10"];
/// Where an Enterprise server has its REST API.
const ENTERPRISE_PREFIX: &str = "/api/v3";
/// More than any query of ours.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// A request that has been read.
pub(super) struct Call {
    pub(super) method: Method,
    /// Path and query as they came.
    pub(super) target: String,
    /// The path without the prefix of an Enterprise server.
    pub(super) path: String,
    pub(super) query: String,
    /// The API's address, as links in the answer have it.
    pub(super) api: String,
    headers: HeaderMap,
    pub(super) body: String,
    /// Whether it gets the whole answer uncompressed, whatever it takes and knows.
    pub(super) wants_all: bool,
}

impl Call {
    pub(super) async fn read(request: Request<Body>, address: &str) -> Self {
        let (Parts { method, uri, headers, .. }, body) = request.into_parts();
        let body = axum::body::to_bytes(body, MAX_BODY_BYTES).await.unwrap_or_default();
        let (prefix, path) = match uri.path().strip_prefix(ENTERPRISE_PREFIX) {
            Some(path) => (ENTERPRISE_PREFIX, path),
            None => ("", uri.path()),
        };
        Self {
            method,
            target: uri.to_string(),
            path: path.to_owned(),
            query: uri.query().unwrap_or_default().to_owned(),
            api: format!("{address}{prefix}"),
            headers,
            body: String::from_utf8_lossy(&body).into_owned(),
            wants_all: false,
        }
    }

    pub(super) fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(super) fn token(&self) -> Option<&str> {
        let value = self.header(header::AUTHORIZATION)?;
        value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("token "))
    }

    pub(super) fn api_version(&self) -> Option<&str> {
        self.header("x-github-api-version")
    }

    pub(super) fn has_known_version(&self) -> bool {
        self.api_version().is_none_or(|version| VERSIONS.contains(&version))
    }

    /// Whether the answer lacks what the newer version has removed.
    pub(super) fn is_slim_version(&self) -> bool {
        self.api_version() == Some(VERSIONS[1])
    }

    pub(super) fn accepts_gzip(&self) -> bool {
        !self.wants_all && self.header(header::ACCEPT_ENCODING).is_some_and(|text| text.contains("gzip"))
    }

    /// A parameter of the query.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, v)| v)
    }
}
