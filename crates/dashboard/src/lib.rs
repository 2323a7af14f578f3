#![doc = include_str!("../README.md")]

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use rust_embed::{EmbeddedFile, RustEmbed};
use serde::Serialize;

/// The built page.
#[derive(RustEmbed)]
#[folder = "dist"]
struct Files;

/// What the page may do: run its own script, use its own style, and ask the API beside it. Nothing may frame it.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                              base-uri 'none'; form-action 'none'; frame-ancestors 'none'; manifest-src 'self'; worker-src 'self'; \
                              require-trusted-types-for 'script'; trusted-types vue mergeline";

/// The headers of every answer.
const HEADERS: [(header::HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// How people prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Login {
    /// Not at all: the server listens on this machine only, and has no keys.
    None,
    /// With a key of the API, which the page keeps until its tab is closed.
    Key,
    /// With a provider of OpenID Connect. The session is in a cookie.
    Oidc,
}

impl Login {
    /// The address of the API for this kind, relative to the page: a session opens paths below the page only.
    fn api(self) -> &'static str {
        match self {
            Self::None | Self::Key => "../",
            Self::Oidc => "api/",
        }
    }
}

/// For files that may change: the browser asks each time whether they have.
const NO_CACHE: &str = "no-cache";

/// What the page asks first: `config.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Config {
    login: Login,
    /// The address of the API, relative to the page.
    api: &'static str,
    /// Which database it shows. What was kept of another one is forgotten.
    database: String,
}

/// The files of the page below `/app/`, beside the API.
///
/// Files whose names have a digest never change and are kept for good; the others are asked for each time. A path that is no file is 404,
/// and never the page: its screens are behind `#`.
pub fn router<S: Clone + Send + Sync + 'static>(login: Login, database: &str) -> Router<S> {
    let config = Config { login, api: login.api(), database: database.to_owned() };
    let config = serde_json::to_string(&config).unwrap_or_default();
    let mut hasher = DefaultHasher::new();
    config.hash(&mut hasher);
    let digest = format!("{:016x}", hasher.finish());
    Router::new()
        .route("/app/", get(async |headers: HeaderMap| file("index.html", &headers)))
        .route(
            "/app/config.json",
            get(async move |headers: HeaderMap| {
                revalidated("application/json", NO_CACHE, &digest, &headers, || Body::from(config))
            }),
        )
        .route(
            "/app/{*path}",
            get(async |path: Result<Path<String>, PathRejection>, headers: HeaderMap| {
                // A path that cannot be decoded is that of no file.
                file(path.as_deref().map_or("", String::as_str), &headers)
            }),
        )
        .layer(map_response(async |response: Response| guarded(response)))
}

fn file(path: &str, headers: &HeaderMap) -> Response {
    let Some(EmbeddedFile { data, metadata }) = Files::get(path) else {
        return (StatusCode::NOT_FOUND, "There is nothing at this path.").into_response();
    };
    let digest: String = metadata.sha256_hash().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let is_immutable = path.starts_with("assets/");
    let caching = if is_immutable { "public, max-age=31536000, immutable" } else { NO_CACHE };
    revalidated(media_type(path), caching, &digest, headers, || Body::from(data.into_owned()))
}

/// A body, or 304 if the browser has it.
fn revalidated(
    media_type: &'static str,
    caching: &'static str,
    digest: &str,
    headers: &HeaderMap,
    body: impl FnOnce() -> Body,
) -> Response {
    // Weak: the same file may leave compressed.
    let tag = format!("W/\"{digest}\"");
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut known = known.flat_map(|value| value.split(',')).map(|one| one.trim().trim_start_matches("W/"));
    let mut response = if known.any(|one| one == "*" || one == tag.trim_start_matches("W/")) {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
        response
    } else {
        answer(media_type, caching, body())
    };
    if let Ok(tag) = HeaderValue::try_from(tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

fn answer(media_type: &'static str, caching: &'static str, body: Body) -> Response {
    ([(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, caching)], body).into_response()
}

fn guarded(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The kinds of files that a build has: text only.
fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json" | "webmanifest") => "application/json",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, Result};
    use http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn get(path: &str, tag: Option<&str>) -> Result<Response> {
        let request = Request::get(format!("/app{path}")).header(header::IF_NONE_MATCH, tag.unwrap_or("\"other\""));
        let router: Router = router(Login::Key, "1f");
        Ok(router.oneshot(request.body(Body::empty())?).await?)
    }

    async fn text(response: Response) -> Result<String> {
        Ok(String::from_utf8(response.into_body().collect().await?.to_bytes().to_vec())?)
    }

    #[tokio::test]
    async fn every_answer_is_guarded_and_unknown_paths_are_not_the_page() -> Result<()> {
        for (path, status) in [
            ("/", 200),
            ("/index.html", 200),
            ("/config.json", 200),
            ("/icon.svg", 200),
            ("/overview", 404),
            ("/../Cargo.toml", 404),
            ("/%ff", 404),
        ] {
            let response = get(path, None).await?;
            assert_eq!(response.status(), status, "{path}");
            for (name, value) in HEADERS {
                assert_eq!(response.headers().get(&name).context(path)?, value, "{path}");
            }
        }
        Ok(())
    }

    #[tokio::test]
    async fn what_has_a_digest_in_its_name_is_kept_and_the_page_is_asked_for_again() -> Result<()> {
        let page = get("/", None).await?;
        assert_eq!(page.headers()[header::CACHE_CONTROL], "no-cache");
        let tag = page.headers()[header::ETAG].to_str()?.to_owned();
        for known in [&tag, tag.trim_start_matches("W/"), &format!("\"other\", {tag}"), "*"] {
            assert_eq!(get("/", Some(known)).await?.status(), 304, "{known}");
        }
        let page = text(page).await?;
        // All addresses are relative: one build for every place.
        let script = page.split("src=\"./").nth(1).and_then(|rest| rest.split('"').next()).context(page.clone())?;
        let response = get(&format!("/{script}"), None).await?;
        assert_eq!(response.headers()[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
        assert!(!page.contains("=\"/") && !page.contains("http"), "{page}");
        Ok(())
    }

    #[tokio::test]
    async fn the_page_learns_how_people_log_in() -> Result<()> {
        let config = get("/config.json", None).await?;
        let etag = config.headers()[header::ETAG].to_str()?.to_owned();
        assert_eq!(text(config).await?, r#"{"login":"key","api":"../","database":"1f"}"#);
        assert_eq!(get("/config.json", Some(&etag)).await?.status(), StatusCode::NOT_MODIFIED);
        Ok(())
    }
}
