//! The client: sending, waiting, counting.

use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, IF_NONE_MATCH, LOCATION, USER_AGENT};
use http::response::Parts;
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt, Limited};
use hyper_util::client::legacy;
use mergeline_domain::error_chain;
use mergeline_http_client::is_loopback;
use mergeline_source::{Usage, WaitBudget};
use octocrab::{AuthState, OctoBody, Octocrab, OctocrabBuilder};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;
use url::Url;

use crate::answer::{Answer, MAX_BODY_BYTES, too_large};
use crate::credentials::Credentials;
use crate::limits::{Limits, Resource};
use crate::retry::{jitter, pause_before_retry};
use crate::settings::may_be_a_site;
use crate::{GitHubError, GitHubSettings};

/// The API version that GitHub responds with. It has neither `merge_commit_sha` nor `assignee` in pull requests.
const API_VERSION: HeaderValue = HeaderValue::from_static("2026-03-10");
const API_VERSION_HEADER: HeaderName = HeaderName::from_static("x-github-api-version");
/// GitHub requires a user agent.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("mergeline/", env!("CARGO_PKG_VERSION")));
/// A rename followed by a transfer takes two.
const MAX_REDIRECTS: u32 = 3;
/// An installation token that ended early is requested once more. If that is refused too, a personal one is tried.
const MAX_TOKEN_RENEWALS: u32 = 2;
/// The time limit for a whole response. GitHub itself gives up after 10 s; the rest is for a slow line.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(60);

/// The GitHub client with its credentials. Cheap to clone; clones share limits and concurrency.
#[derive(Debug, Clone)]
pub struct GitHub {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Octocrab,
    api_url: Url,
    /// The actual API address, once it was searched for and found.
    found_api_url: OnceCell<Option<Url>>,
    /// The proxy address, without user and password.
    proxy: Option<String>,
    credentials: Credentials,
    limits: Arc<Limits>,
    /// GitHub asks for one request at a time for each token.
    permits: Semaphore,
    concurrency: usize,
    first_pause: Duration,
    total_timeout: Duration,
}

/// A unit of work for one owner, with its usage counted.
#[derive(Debug)]
pub struct GitHubSession {
    pub(crate) github: GitHub,
    owner: Option<String>,
    budget: WaitBudget,
    started_at: DateTime<Utc>,
    started: Instant,
    usage: Arc<Mutex<Usage>>,
}

/// A request to GitHub.
#[derive(Debug, Clone)]
pub(crate) struct GitHubRequest {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) etag: Option<String>,
    pub(crate) body: Option<serde_json::Value>,
    /// An authorization other than the owner's token.
    pub(crate) bearer: Option<SecretString>,
}

/// A request ready to send, with the context for its response.
struct Sending {
    request: Request<OctoBody>,
    resource: Resource,
    scope: String,
    deadline: Option<Instant>,
    usage: Arc<Mutex<Usage>>,
    started_at: DateTime<Utc>,
    started: Instant,
}

/// Why a request has no usable response, and whether it was sent at all.
#[derive(Debug)]
struct Failed {
    error: GitHubError,
    was_sent: bool,
    /// Whether the refused token is an App installation's, which can be replaced by another one.
    is_token_stale: bool,
}

impl Failed {
    /// A known limit blocks the request.
    fn unsent(error: GitHubError) -> Self {
        Self { error, was_sent: false, is_token_stale: false }
    }
}

impl From<GitHubError> for Failed {
    fn from(error: GitHubError) -> Self {
        Self { error, was_sent: true, is_token_stale: false }
    }
}

impl GitHubRequest {
    /// Where its log lines belong to. A path has no secrets; a query string has page numbers only, and is left out.
    fn span(&self) -> tracing::Span {
        tracing::info_span!(
            target: "spans",
            "github_request",
            http.method = %self.method,
            http.status = tracing::field::Empty,
            url.path = self.url.path()
        )
    }

    pub(crate) fn get(url: Url) -> Self {
        Self { method: Method::GET, url, etag: None, body: None, bearer: None }
    }

    /// Whether it counts against GraphQL's limit. An App requests its tokens by REST, also with a body.
    fn is_graphql(&self) -> bool {
        self.body.is_some() && self.bearer.is_none()
    }

    fn resource(&self) -> Resource {
        if self.is_graphql() { Resource::GraphQl } else { Resource::Rest }
    }
}

impl GitHub {
    /// Creates a client. It sends nothing yet. It needs a Tokio runtime.
    ///
    /// # Errors
    /// [`GitHubError::Transport`] if the machine's TLS cannot be set up.
    pub fn connect(settings: &GitHubSettings) -> Result<Self, GitHubError> {
        // A custom service, because octocrab's does not support proxies. All addresses are absolute, and octocrab
        // does not retry.
        let service = mergeline_http_client::client(settings.proxy.as_ref())
            .map_err(|error| GitHubError::NoAuthorities { reason: error.to_string() })?;
        let built = OctocrabBuilder::new_empty().with_service(service).with_auth(AuthState::None).build();
        let client = match built {
            Ok(client) => client,
            Err(never) => match never {},
        };
        let inner = Inner {
            client,
            api_url: settings.api_url.clone(),
            found_api_url: OnceCell::new(),
            proxy: settings.proxy.as_ref().and_then(|proxy| proxy.address_for(&settings.api_url)),
            credentials: Credentials::new(settings),
            limits: Arc::new(Limits::new(settings.reserve)),
            permits: Semaphore::new(settings.concurrency),
            concurrency: settings.concurrency,
            first_pause: settings.first_pause,
            total_timeout: settings.total_timeout.min(TOTAL_TIMEOUT),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The address of the proxy in use, without user and password.
    pub fn proxy(&self) -> Option<&str> {
        self.inner.proxy.as_deref()
    }

    /// Whether there is an App. Its tokens are valid for one owner each.
    pub fn has_app(&self) -> bool {
        self.inner.credentials.has_app()
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// How many requests are sent at a time.
    pub(crate) fn concurrency(&self) -> usize {
        self.inner.concurrency
    }

    /// Starts a unit of work for `owner` at `now`. `None` means no particular owner.
    pub fn session(&self, owner: Option<&str>, budget: WaitBudget, now: DateTime<Utc>) -> GitHubSession {
        GitHubSession {
            github: self.clone(),
            owner: owner.map(str::to_lowercase),
            budget,
            started_at: now,
            started: Instant::now(),
            usage: Arc::default(),
        }
    }

    /// The address of the API, as far as it is known.
    fn api_url(&self) -> &Url {
        self.inner.found_api_url.get().and_then(Option::as_ref).unwrap_or(&self.inner.api_url)
    }

    /// The URL of a path below the API's address.
    pub(crate) fn url(&self, path: &str, query: Option<&str>) -> Url {
        let mut url = self.api_url().clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}{path}"));
        url.set_query(query);
        url
    }

    /// The address of GraphQL: next to the REST API on Enterprise servers, below it elsewhere.
    pub(crate) fn graphql_url(&self) -> Url {
        let mut url = self.api_url().clone();
        let base = url.path().trim_end_matches('/');
        let base = base.strip_suffix("/v3").unwrap_or(base).to_owned();
        url.set_path(&format!("{base}/graphql"));
        url
    }

    /// Resolves an address from GitHub, if it is on GitHub's own host: the token is sent nowhere else.
    pub(crate) fn on_same_host(&self, address: &str) -> Result<Url, GitHubError> {
        on_host_of(self.api_url(), address)
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        &self.inner.credentials
    }
}

impl GitHubSession {
    /// What has been used so far.
    pub fn usage(&self) -> Usage {
        *self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Usage)) {
        count(&self.usage, change);
    }

    /// The current time, by the clock that the session was started with.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        now(self.started_at, self.started)
    }

    /// Whose repositories this is about, if of one owner.
    pub(crate) fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// Whether the owner's token is an App installation's.
    pub(crate) async fn is_of_installation(&self) -> Result<bool, GitHubError> {
        let token = self.token().await?;
        Ok(self.github.credentials().is_of_installation(token.as_ref()).await)
    }

    /// Whether there is a token for the owner. Without one, GitHub returns public data only, and nothing by GraphQL.
    ///
    /// # Errors
    /// Why an App gets no token, if there is no personal token either.
    pub async fn has_token(&self) -> Result<bool, GitHubError> {
        Ok(self.token().await?.is_some())
    }

    /// Sends a request with the owner's token and decodes the response. Retries with pauses while a retry may help
    /// and the wait budget allows it.
    ///
    /// # Errors
    /// The last error, once retries are exhausted.
    pub(crate) async fn send<T>(
        &self,
        request: GitHubRequest,
        read: impl Fn(&Answer) -> Result<T, GitHubError>,
    ) -> Result<T, GitHubError> {
        let mut failures = 0;
        let mut renewals = 0;
        loop {
            let Failed { error, was_sent, is_token_stale } =
                match self.send_once(request.clone(), &read).instrument(request.span()).await {
                    Ok(read) => return Ok(read),
                    Err(failed) => failed,
                };
            if is_token_stale && renewals < MAX_TOKEN_RENEWALS {
                renewals += 1;
                continue;
            }
            let now = Instant::now();
            let inner = &self.github.inner;
            let pause = pause_before_retry(&error, failures, inner.first_pause, fastrand::f64());
            match pause {
                Some(pause) if self.budget.allows(pause, now) => {
                    // Others wait for the same limit to end. The spread keeps them from resuming all at once.
                    let spread = if was_sent { Duration::ZERO } else { jitter(pause, fastrand::f64()) };
                    sleep(pause + spread).await;
                }
                // A caller that postpones the work must know until when.
                Some(pause) => {
                    return Err(match error {
                        GitHubError::RateLimited { limit, retry_in } => {
                            GitHubError::RateLimited { limit, retry_in: retry_in.or(Some(pause)) }
                        }
                        other => other,
                    });
                }
                None => return Err(error),
            }
            failures += 1;
        }
    }

    /// Sends a request once, and follows redirects: 301 for a renamed or transferred repository.
    async fn send_once<T>(
        &self,
        request: GitHubRequest,
        read: impl Fn(&Answer) -> Result<T, GitHubError>,
    ) -> Result<T, Failed> {
        let bearer = match &request.bearer {
            Some(bearer) => Some(bearer.clone()),
            None => self.token().await?,
        };
        let mut scope = self.limit_scope(&request, bearer.as_ref()).await;
        let mut request = request;
        let mut seen = HashSet::from([request.url.clone()]);
        for _ in 0..=MAX_REDIRECTS {
            let answer = match self.transmit(&request, bearer.as_ref(), &scope).await {
                Ok(answer) => answer,
                Err(failed) => {
                    self.count(|usage| usage.errors += u32::from(failed.was_sent));
                    return Err(failed);
                }
            };
            self.note(&answer);
            tracing::Span::current().record("http.status", i64::from(answer.status.as_u16()));
            // Boxed, because it is rarely needed.
            if answer.may_be_of_a_site()
                && let Some(url) = Box::pin(self.below_the_site(&request.url)).await
            {
                scope = self.limit_scope(&request, bearer.as_ref()).await;
                request.url = url;
                continue;
            }
            if matches!(answer.status.as_u16(), 301 | 302 | 307 | 308) {
                let location = answer.header(&LOCATION).unwrap_or_default();
                request.url = self.github.on_same_host(location)?;
                if !seen.insert(request.url.clone()) {
                    return Err(GitHubError::invalid("the redirects form a loop").into());
                }
                continue;
            }
            // Decoding a page uses the CPU: requests that can be sent now go first.
            tokio::task::yield_now().await;
            let outcome = answer.check().and_then(|()| read(&answer));
            let Err(error) = outcome else { return outcome.map_err(Failed::from) };
            self.count(|usage| usage.errors += 1);
            // GraphQL's limits come with status 200. All other limits were noted before.
            self.github.inner.limits.note_refusal(&scope, request.resource(), &error);
            if request.bearer.is_some() {
                return Err(answer.refusal_of_app(error).into());
            }
            let is_token_stale = (error == GitHubError::Unauthorized || error.is_app_refused())
                && self.github.credentials().forget(bearer.as_ref(), &error).await;
            return Err(Failed { is_token_stale, ..error.into() });
        }
        Err(GitHubError::invalid(format!("more than {MAX_REDIRECTS} redirects")).into())
    }

    /// The API URL for a request that reached the site of an Enterprise server instead. The API of such a server is
    /// below `/api/v3`; this is checked once. `None` if that is not possible or not the case.
    async fn below_the_site(&self, asked: &Url) -> Option<Url> {
        let site = &self.github.inner.api_url;
        if !may_be_a_site(site) || asked.path().starts_with("/api/") {
            return None;
        }
        let looking = async {
            let mut api_url = site.clone();
            api_url.set_path("/api/v3");
            let request = GitHubRequest::get(api_url.join("/api/v3/meta").map_err(|_| ())?);
            let scope = self.limit_scope(&request, None).await;
            // If it does not respond, the next request checks again.
            let answer = self.transmit(&request, None, &scope).await.map_err(|_| ())?;
            Ok::<_, ()>(answer.is_of_enterprise_server().then_some(api_url))
        };
        self.github.inner.found_api_url.get_or_try_init(|| looking).await.ok()?.as_ref()?;
        match asked.path() {
            "/graphql" => Some(self.github.graphql_url()),
            path => Some(self.github.url(path, asked.query())),
        }
    }

    /// The scope of the limits that a request counts against, as a digest. An installation's limits apply to all of
    /// its tokens, which change by the hour. Without a token, the limits apply to the machine.
    async fn limit_scope(&self, request: &GitHubRequest, bearer: Option<&SecretString>) -> String {
        let credentials = self.github.credentials();
        let holder = if request.bearer.is_some() { credentials.app_holder() } else { credentials.holder(bearer).await };
        let mut hasher = Sha256::new();
        hasher.update(self.github.api_url().as_str());
        hasher.update(holder.expose_secret());
        hasher.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Records what every response reports besides its body and the limits.
    fn note(&self, answer: &Answer) {
        let skew = answer.date().map(|date| (self.now() - date).num_seconds());
        let expires_at = answer.token_expires_at();
        self.count(|usage| {
            usage.clock_skew_seconds = skew.or(usage.clock_skew_seconds);
            usage.token_expires_at = expires_at.or(usage.token_expires_at);
        });
    }

    /// Sends a request and receives its response in a separate task. Other requests stay in flight while this task
    /// decodes a page, which uses the CPU. The task ends with this future.
    async fn transmit(
        &self,
        request: &GitHubRequest,
        bearer: Option<&SecretString>,
        scope: &str,
    ) -> Result<Answer, Failed> {
        let sending = Sending {
            request: self.http_request(request, bearer)?,
            resource: request.resource(),
            scope: scope.to_owned(),
            deadline: self.budget.deadline,
            usage: self.usage.clone(),
            started_at: self.started_at,
            started: self.started,
        };
        let answer =
            AbortOnDropHandle::new(tokio::spawn(self.github.inner.clone().transmit(sending).in_current_span())).await;
        // A panic comes from our own code. Otherwise the runtime is shutting down.
        answer.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(GitHubError::OutOfTime.into()),
        })
    }

    fn http_request(
        &self,
        request: &GitHubRequest,
        bearer: Option<&SecretString>,
    ) -> Result<Request<OctoBody>, GitHubError> {
        let mut builder = Request::builder()
            .method(request.method.clone())
            .uri(request.url.as_str())
            .header(ACCEPT, HeaderValue::from_static("application/vnd.github+json"))
            .header(ACCEPT_ENCODING, HeaderValue::from_static("gzip"))
            .header(USER_AGENT, AGENT)
            .header(API_VERSION_HEADER, API_VERSION);
        if let Some(bearer) = bearer {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", bearer.expose_secret()))
                .map_err(|_| GitHubError::Unauthorized)?;
            value.set_sensitive(true);
            builder = builder.header(AUTHORIZATION, value);
        }
        if let Some(etag) = &request.etag {
            builder = builder.header(IF_NONE_MATCH, etag);
        }
        let built = self.github.inner.client.build_request(builder, request.body.as_ref());
        built.map_err(|error| self.github.inner.unreachable(error_chain(&error)))
    }
}

impl Inner {
    /// Sends a request when it is its turn, unless a limit blocks it by then.
    async fn transmit(self: Arc<Self>, sending: Sending) -> Result<Answer, Failed> {
        let Sending { request, resource, scope, deadline, usage, started_at, started } = sending;
        let turn = async {
            let permit = self.permits.acquire().await.map_err(|_| GitHubError::OutOfTime)?;
            // Checked after the wait for a permit: a limit may have been reached since.
            let admission = self.limits.admit(&scope, resource).await.map_err(Failed::unsent)?;
            Ok::<_, Failed>((permit, admission))
        };
        // Waiting for a permit counts against the deadline too.
        let (_permit, admission) = match deadline {
            Some(deadline) => timeout_at(deadline, turn).await.map_err(|_| GitHubError::OutOfTime)??,
            None => turn.await?,
        };
        count(&usage, |usage| match resource {
            Resource::GraphQl => usage.graphql_requests += 1,
            Resource::Rest => usage.requests += 1,
        });
        let total = Instant::now() + self.total_timeout;
        let until = deadline.map_or(total, |deadline| deadline.min(total));
        let outcome = match timeout_at(until, self.transfer(request)).await {
            Ok(outcome) => outcome,
            Err(_) if until < total => Err(GitHubError::OutOfTime),
            Err(_) => Err(self.unreachable(format!("no response within {} s", self.total_timeout.as_secs()))),
        };
        let answer =
            outcome.map(|(parts, packed)| Answer::new(parts.status, parts.headers, packed, now(started_at, started)));
        if let Some((resource, reported)) = answer.as_ref().ok().and_then(Answer::limit) {
            let reported = admission.note(resource, reported);
            if resource == Resource::Rest {
                count(&usage, |usage| {
                    usage.rate_limit_remaining = Some(reported.remaining);
                    usage.rate_limit_percent = reported.percent();
                });
            }
        }
        admission.ended_with(answer.as_ref().map_or(Ok(()), Answer::check));
        Ok(answer?)
    }

    fn unreachable(&self, reason: String) -> GitHubError {
        GitHubError::Transport { reason, proxy: self.proxy.clone() }
    }

    async fn transfer(&self, request: Request<OctoBody>) -> Result<(Parts, Bytes), GitHubError> {
        let answer = self.client.execute(request).await.map_err(|error| {
            let reason = without_layers(&error_chain(&error));
            if is_cut(&error) { GitHubError::Truncated { reason } } else { self.unreachable(reason) }
        })?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, MAX_BODY_BYTES).collect().await.map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                too_large()
            } else {
                GitHubError::Truncated { reason: error.to_string() }
            }
        })?;
        Ok((parts, body.to_bytes()))
    }
}

/// Whether an established connection was closed before the whole response arrived: the request may have been too much
/// for the server.
fn is_cut(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    let is_connecting = |error: &legacy::Error| error.is_connect();
    let is_incomplete = |error: &hyper::Error| error.is_incomplete_message();
    let is_closed = |error: &io::Error| {
        matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof)
    };
    if causes.clone().any(|cause| cause.downcast_ref().is_some_and(is_connecting)) {
        return false;
    }
    causes.any(|cause| cause.downcast_ref().is_some_and(is_incomplete) || cause.downcast_ref().is_some_and(is_closed))
}

/// The current time, from a start time and the time since.
fn now(started_at: DateTime<Utc>, started: Instant) -> DateTime<Utc> {
    started_at + TimeDelta::from_std(started.elapsed()).unwrap_or_default()
}

/// Maps an address from a response to the configured host. A server behind a proxy that ends TLS writes `http:`,
/// perhaps with a port that only the proxy knows. A server at the end of a tunnel writes the name that it has there.
fn on_host_of(api_url: &Url, address: &str) -> Result<Url, GitHubError> {
    let url = api_url.join(address).map_err(|_| GitHubError::invalid(format!("`{address}` is not an address")))?;
    if url.origin() == api_url.origin() {
        return Ok(url);
    }
    let is_behind_tls = url.host() == api_url.host() && url.scheme() == "http" && api_url.scheme() == "https";
    let is_behind_a_tunnel = is_loopback(api_url) && api_url.path() == "/api/v3" && url.path().starts_with("/api/v3/");
    if is_behind_tls || is_behind_a_tunnel {
        let mut mapped = api_url.clone();
        mapped.set_path(url.path());
        mapped.set_query(url.query());
        return Ok(mapped);
    }
    Err(GitHubError::CrossHostRedirect { host: url.host_str().unwrap_or_default().to_owned() })
}

fn count(usage: &Mutex<Usage>, change: impl FnOnce(&mut Usage)) {
    change(&mut usage.lock().unwrap_or_else(PoisonError::into_inner));
}

/// The causes below the layers of the library, which only repeat that there was no connection.
fn without_layers(chain: &str) -> String {
    let mut rest = chain;
    for layer in ["Service Error: ", "client error (Connect): ", "tcp connect error: "] {
        rest = rest.strip_prefix(layer).unwrap_or(rest);
    }
    rest.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxied_and_tunneled_addresses_map_to_the_api_host() {
        let api_url = Url::parse("https://ghe.example.com:8443/api/v3").expect("a URL");
        let mapped = |address| on_host_of(&api_url, address).map(String::from);
        let page = "https://ghe.example.com:8443/api/v3/repositories/7?a=b".to_owned();
        for written in [
            page.as_str(),
            "/api/v3/repositories/7?a=b",
            "http://ghe.example.com/api/v3/repositories/7?a=b",
            "http://ghe.example.com:8080/api/v3/repositories/7?a=b",
        ] {
            assert_eq!(mapped(written), Ok(page.clone()), "{written}");
        }
        let tunnel = Url::parse("http://127.0.0.1:8080/api/v3").expect("a URL");
        let mapped_by_tunnel = |address| on_host_of(&tunnel, address).map(String::from);
        let page = mapped_by_tunnel("https://ghe.example.com/api/v3/repositories/7?a=b");
        assert_eq!(page, Ok("http://127.0.0.1:8080/api/v3/repositories/7?a=b".to_owned()));
        assert!(matches!(
            mapped_by_tunnel("https://ghe.example.com/login"),
            Err(GitHubError::CrossHostRedirect { .. })
        ));
        for elsewhere in ["https://ghe.example.com/api/v3", "http://ghe.internal/api/v3", "https://evil.example"] {
            assert!(matches!(mapped(elsewhere), Err(GitHubError::CrossHostRedirect { .. })), "{elsewhere}");
        }
    }
}
