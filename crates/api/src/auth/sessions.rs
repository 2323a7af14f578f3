//! People who log in to the page: their sessions, and what the teams file lets them see.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use mergeline_domain::{AccessLines, Grant, Identity, Refusal, Role, TeamSlug};
use mergeline_login::{ATTEMPT_MINUTES, Answer, Bearer, LoginError, Provider, SESSION_HOURS, Session};
use mergeline_store::Reader;
use serde::Deserialize;

use super::access::Access;
use super::scope::Scope;
use crate::http::context::trace_id;
use crate::http::errors::ApiError;
use crate::state::{Api, Login};

/// Readable by no script, sent by no other site's page, and bound to this host.
const SESSION_COOKIE: &str = "__Host-mergeline";
/// Sent when the provider leads back here, which is another site's link.
const ATTEMPT_COOKIE: &str = "__Host-mergeline-login";
/// A changed line of `access:` counts after this.
const LINES_KNOWN_FOR: TimeDelta = TimeDelta::minutes(5);
/// Longer addresses of the page are mistakes.
const MAX_TO_BYTES: usize = 2_000;
const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");
/// The part of a request's time that the provider may take, so that the person hears what took too long.
const PROVIDERS_PART: f64 = 0.7;
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The provider that people log in with, and the lines of `access:` that were last read.
#[derive(Debug)]
pub struct Sessions {
    provider: Provider,
    lines: KnownLines,
}

impl Sessions {
    /// People log in with this provider.
    pub fn new(provider: Provider) -> Self {
        Self { provider, lines: KnownLines::default() }
    }
}

/// The lines of `access:` that were last read.
#[derive(Debug, Default)]
pub(crate) struct KnownLines(Mutex<Option<(Arc<AccessLines>, DateTime<Utc>)>>);

impl KnownLines {
    /// The lines of `access:`, at most five minutes old.
    pub(crate) async fn get(&self, store: &Reader, now: DateTime<Utc>) -> Result<Arc<AccessLines>, ApiError> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((lines, at)) = known
            && at <= now
            && now < at + LINES_KNOWN_FOR
        {
            return Ok(lines);
        }
        self.read(store, now).await
    }

    /// The lines of `access:` as they are now.
    async fn read(&self, store: &Reader, now: DateTime<Utc>) -> Result<Arc<AccessLines>, ApiError> {
        let lines = Arc::new(store.access().await?);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((lines.clone(), now));
        Ok(lines)
    }
}

/// Somebody who has logged in or whom a token is about, and what they may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    /// Their verified address, else their identifier at the provider.
    pub(crate) name: String,
    pub(crate) scope: Scope,
    /// The only teams that they see; `None` for all.
    pub(crate) teams: Option<BTreeSet<TeamSlug>>,
    /// When the session or the token ends.
    pub(crate) ends_at: DateTime<Utc>,
    /// Whether they may post events. A browser may not: another site could make it.
    pub(crate) may_post: bool,
}

impl Person {
    fn by_session(session: &Session, grant: Grant<'_>) -> Self {
        Self::new(&session.identity, grant, session.expires_at(), false)
    }

    /// Whom a token is about. No site can make a browser send one.
    pub(super) fn by_token(bearer: &Bearer, grant: Grant<'_>) -> Self {
        Self::new(&bearer.identity, grant, bearer.expires_at, true)
    }

    fn new(identity: &Identity, grant: Grant<'_>, ends_at: DateTime<Utc>, may_post: bool) -> Self {
        Self {
            name: identity.email.clone().unwrap_or_else(|| identity.subject.clone()),
            scope: match grant.role {
                Role::Viewer => Scope::MetricsRead,
                Role::Lead | Role::Manager => Scope::PrsRead,
                Role::Admin => Scope::Admin,
            },
            teams: (!grant.teams.is_empty()).then(|| grant.teams.iter().cloned().collect()),
            ends_at,
            may_post,
        }
    }
}

/// The paths of the page that log in and out.
pub(crate) fn login_routes() -> Router<Api> {
    Router::new()
        .route("/app/login", get(login))
        .route("/app/callback", get(callback))
        .route("/app/logout", post(logout))
}

/// Accepts a request of the page by somebody who has logged in, and records what they may see.
pub(crate) async fn require_session(
    State(api): State<Api>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let sessions = sessions(&api)?;
    is_of_the_page(request.headers())?;
    let now = api.now();
    let session = cookie(request.headers(), SESSION_COOKIE)
        .and_then(|cookie| sessions.provider.session(cookie, now))
        .ok_or(ApiError::LoginRequired)?;
    let lines = sessions.lines.get(&api.store, now).await?;
    // A line about another group may be about them: only a new login can tell.
    if !session.knows(&lines.groups()) {
        return Err(ApiError::LoginRequired);
    }
    let grant = lines.decide(&session.identity).map_err(|refusal| match refusal {
        Refusal::LoginTooOld { .. } => ApiError::LoginRequired,
        Refusal::NoLine | Refusal::Denied { .. } => ApiError::NoAccess,
    })?;
    request.extensions_mut().insert(Access::of_person(Person::by_session(&session, grant)));
    let mut response = next.run(request).await;
    // The browser's own cache would outlive the session.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

#[derive(Debug, Deserialize)]
struct Start {
    /// The part of the page's address behind `#`, with it.
    to: Option<String>,
}

/// Sends the browser to the provider.
async fn login(State(api): State<Api>, Query(start): Query<Start>) -> Result<Response, ApiError> {
    let sessions = sessions(&api)?;
    let to = start.to.filter(|to| is_screen(to)).unwrap_or_else(|| "#/".to_owned());
    match in_time(&api, sessions.provider.start(&to, api.now())).await {
        Ok(started) => {
            let cookie = set_cookie(ATTEMPT_COOKIE, &started.cookie, ATTEMPT_MINUTES * 60, "Lax");
            Ok(redirect(started.location.as_str(), [cookie]))
        }
        Err(error) => Ok(failed(sessions, &error)),
    }
}

/// Where the provider sends the browser back to.
async fn callback(
    State(api): State<Api>,
    Query(answer): Query<Answer>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (sessions, now) = (sessions(&api)?, api.now());
    let answered = match sessions.provider.answered(answer, cookie(&headers, ATTEMPT_COOKIE), now) {
        Ok(answered) => answered,
        Err(error) => return Ok(failed(sessions, &error)),
    };
    // Those that were just written count: somebody who was let in a minute ago tries now.
    let lines = sessions.lines.read(&api.store, now).await?;
    let finished = in_time(&api, sessions.provider.finish(answered, &lines, now)).await;
    let (session, sealed, to) = match finished {
        Ok(finished) => finished,
        Err(error) => return Ok(failed(sessions, &error)),
    };
    let grant = match lines.decide(&session.identity) {
        Ok(grant) => grant,
        Err(refusal) => {
            tracing::warn!(trace_id = trace_id(), "Somebody logged in and may see nothing: {refusal:?}");
            return Ok(back_to_login(sessions, "no_access"));
        }
    };
    tracing::info!(trace_id = trace_id(), role = %grant.role, line = grant.line, "Somebody logged in as {}", grant.role);
    let mut target = sessions.provider.page().clone();
    target.set_fragment(to.strip_prefix('#'));
    let cookie = set_cookie(SESSION_COOKIE, &sealed, SESSION_HOURS * 3_600, "Strict");
    Ok(redirect(target.as_str(), [cookie, set_cookie(ATTEMPT_COOKIE, "", 0, "Lax")]))
}

/// Forgets the session. Only the page itself may ask for that.
async fn logout(headers: HeaderMap) -> Result<Response, ApiError> {
    is_of_the_page(&headers)?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().append(header::SET_COOKIE, set_cookie(SESSION_COOKIE, "", 0, "Strict"));
    response.headers_mut().insert(CLEAR_SITE_DATA, HeaderValue::from_static("\"cache\""));
    Ok(response)
}

/// What the provider says, unless it takes too long.
pub(super) async fn in_time<T>(
    api: &Api,
    asking: impl Future<Output = Result<T, LoginError>>,
) -> Result<T, LoginError> {
    let limit = api.timeout.mul_f64(PROVIDERS_PART);
    tokio::time::timeout(limit, asking).await.unwrap_or_else(|_| {
        Err(LoginError::Unreachable(format!(
            "no answer within {:.1} s, which REQUEST_TIMEOUT_SECONDS leaves",
            limit.as_secs_f64()
        )))
    })
}

fn sessions(api: &Api) -> Result<&Sessions, ApiError> {
    match &api.page {
        Some(Login::Oidc(sessions)) => Ok(sessions),
        _ => Err(ApiError::NotFound("There is nothing at this path.".into())),
    }
}

/// Whether the page itself asks: browsers say so, and no page can change what they say.
fn is_of_the_page(headers: &HeaderMap) -> Result<(), ApiError> {
    let mut values = headers.get_all(FETCH_SITE).iter();
    match (values.next(), values.next()) {
        (Some(value), None) if value == "same-origin" => Ok(()),
        _ => Err(ApiError::NotOfThePage),
    }
}

/// Whether this is the part of one of the page's own addresses that starts with `#`.
fn is_screen(to: &str) -> bool {
    to.starts_with("#/") && to.len() <= MAX_TO_BYTES && !to.chars().any(char::is_control)
}

/// Back to the page, which says in a sentence what this code means.
fn failed(sessions: &Sessions, error: &LoginError) -> Response {
    tracing::warn!(trace_id = trace_id(), code = error.code(), "A login failed: {error}");
    back_to_login(sessions, error.code())
}

fn back_to_login(sessions: &Sessions, code: &str) -> Response {
    let mut target = sessions.provider.page().clone();
    target.set_fragment(Some(&format!("/?failed={code}&trace={}", trace_id())));
    redirect(target.as_str(), [set_cookie(ATTEMPT_COOKIE, "", 0, "Lax")])
}

fn redirect(to: &str, cookies: impl IntoIterator<Item = HeaderValue>) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    if let Ok(to) = HeaderValue::from_str(to) {
        headers.insert(header::LOCATION, to);
    }
    // The address of the callback has a code.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    for cookie in cookies {
        headers.append(header::SET_COOKIE, cookie);
    }
    response
}

fn set_cookie(name: &str, value: &str, seconds: i64, same_site: &str) -> HeaderValue {
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite={same_site}");
    // Sealed values are letters and digits.
    let mut header = HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""));
    header.set_sensitive(true);
    header
}

/// The value of the first cookie with this name.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_screens_of_the_page_are_gone_to() {
        for to in ["#/", "#/overview?team=payments&last=P12W", "#/lead-time?team=zahlungen%20ä"] {
            assert!(is_screen(to), "{to}");
        }
        let long = format!("#/{}", "a".repeat(MAX_TO_BYTES));
        for to in [
            "",
            "/",
            "//evil.example",
            "https://evil.example",
            "#",
            "#overview",
            "\\\\evil",
            "#/\r\nset-cookie: a=b",
            &long,
        ] {
            assert!(!is_screen(to), "{to}");
        }
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; __Host-mergeline-login=2;__Host-mergeline=3"));
        headers.append(header::COOKIE, HeaderValue::from_static("x__Host-mergeline=4"));
        assert_eq!(cookie(&headers, SESSION_COOKIE), Some("3"));
        assert_eq!(cookie(&headers, ATTEMPT_COOKIE), Some("2"));
        assert_eq!(cookie(&headers, "__Host"), None);
    }

    #[test]
    fn only_the_page_itself_counts_as_the_page() {
        let with = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(FETCH_SITE, HeaderValue::from_static(value));
            }
            is_of_the_page(&headers).is_ok()
        };
        assert!(with(&["same-origin"]));
        for values in [&[][..], &["same-site"], &["cross-site"], &["none"], &["same-origin", "cross-site"]] {
            assert!(!with(values), "{values:?}");
        }
    }
}
