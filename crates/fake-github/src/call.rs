//! A parsed request.

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Request, header};

/// The API versions that GitHub knows. Without the header, it responds as the first.
const VERSIONS: [&str; 2] = ["2022-11-28", "2026-03-10"];
/// Larger than any query of Mergeline.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// The paths of a GitHub's APIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Like api.github.com: REST at the root, GraphQL at `/graphql`.
    Cloud,
    /// Like GitHub Enterprise Server: REST below `/api/v3`, GraphQL at `/api/graphql`.
    EnterpriseServer,
}

impl Layout {
    /// The prefix of the REST API.
    pub(crate) fn rest_prefix(self) -> &'static str {
        match self {
            Self::Cloud => "",
            Self::EnterpriseServer => "/api/v3",
        }
    }

    /// The path of GraphQL.
    pub(crate) fn graphql_path(self) -> &'static str {
        match self {
            Self::Cloud => GRAPHQL,
            Self::EnterpriseServer => "/api/graphql",
        }
    }

    /// The path as on api.github.com; `None` for a path outside both APIs.
    fn cloud_path(self, path: &str) -> Option<String> {
        if path == self.graphql_path() {
            return Some(GRAPHQL.to_owned());
        }
        let path = path.strip_prefix(self.rest_prefix())?;
        (path.starts_with('/') && path != GRAPHQL).then(|| path.to_owned())
    }
}

const GRAPHQL: &str = "/graphql";

/// A request that has been read.
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Path and query as received.
    pub(crate) target: String,
    /// The path as on api.github.com; empty for a path outside both APIs.
    pub(crate) path: String,
    pub(crate) query: String,
    /// The API's address, for links in the response.
    pub(crate) api: String,
    headers: HeaderMap,
    pub(crate) body: String,
    /// Whether to send the whole response uncompressed, regardless of the ETag and of what the request accepts.
    pub(crate) wants_all: bool,
}

impl Call {
    pub(crate) async fn read(request: Request<Body>, address: &str, layout: Layout) -> Self {
        let (Parts { method, uri, headers, .. }, body) = request.into_parts();
        let body = axum::body::to_bytes(body, MAX_BODY_BYTES).await.unwrap_or_default();
        Self {
            method,
            target: uri.to_string(),
            path: layout.cloud_path(uri.path()).unwrap_or_default(),
            query: uri.query().unwrap_or_default().to_owned(),
            api: format!("{address}{}", layout.rest_prefix()),
            headers,
            body: String::from_utf8_lossy(&body).into_owned(),
            wants_all: false,
        }
    }

    pub(crate) fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn token(&self) -> Option<&str> {
        let value = self.header(header::AUTHORIZATION)?;
        value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("token "))
    }

    pub(crate) fn api_version(&self) -> Option<&str> {
        self.header("x-github-api-version")
    }

    pub(crate) fn has_known_version(&self) -> bool {
        self.api_version().is_none_or(|version| VERSIONS.contains(&version))
    }

    /// Whether the response lacks what the newer version has removed.
    pub(crate) fn is_slim_version(&self) -> bool {
        self.api_version() == Some(VERSIONS[1])
    }

    pub(crate) fn accepts_gzip(&self) -> bool {
        !self.wants_all && self.header(header::ACCEPT_ENCODING).is_some_and(|text| text.contains("gzip"))
    }

    /// A parameter of the query.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, v)| v)
    }
}
