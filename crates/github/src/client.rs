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
use octocrab::{AuthState, OctoBody, Octocrab, OctocrabBuilder};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;
use url::Url;

use crate::answer::{Answer, MAX_BODY_BYTES, too_large};
use crate::connector;
use crate::credentials::Credentials;
use crate::limits::{Block, Limits, Remaining, Resource};
use crate::retry::{jitter, pause_before_retry};
use crate::settings::{is_loopback, may_be_a_site};
use crate::{GitHubError, GitHubSettings};

/// GitHub's answers as of this version. It has neither `merge_commit_sha` nor `assignee` in pull requests.
const API_VERSION: HeaderValue = HeaderValue::from_static("2026-03-10");
const API_VERSION_HEADER: HeaderName = HeaderName::from_static("x-github-api-version");
/// GitHub demands one.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("mergeline/", env!("CARGO_PKG_VERSION")));
/// Renamed and then transferred is two.
const MAX_REDIRECTS: u32 = 3;
/// An installation's token that ended early is made once more; if that is refused too, a personal one is tried.
const MAX_TOKEN_RENEWALS: u32 = 2;
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest pause within an answer.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(20);
/// A whole answer. GitHub itself gives up after 10 s; the rest is a slow line.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(60);

/// GitHub, with the credentials for it. Cheap to clone; clones share limits and the number of requests at a time.
#[derive(Debug, Clone)]
pub struct GitHub {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Octocrab,
    api_url: Url,
    /// Where the API is if not there, once that was looked for.
    found_api_url: OnceCell<Option<Url>>,
    /// The proxy on the way there, without user and password.
    proxy: Option<String>,
    credentials: Credentials,
    limits: Arc<Limits>,
    /// GitHub asks for one request at a time for each token.
    permits: Semaphore,
    concurrency: usize,
    first_pause: Duration,
    total_timeout: Duration,
}

/// How long somebody is ready to wait.
#[derive(Debug, Clone, Copy)]
pub struct WaitBudget {
    /// When everything has to be over; `None` for no end.
    pub deadline: Option<Instant>,
    /// The longest single wait for a limit.
    pub longest_wait: Duration,
}

impl WaitBudget {
    /// No end, and waits of a minute at most: what a person at a terminal bears.
    pub const AT_A_TERMINAL: Self = Self { deadline: None, longest_wait: Duration::from_secs(60) };

    fn allows(&self, pause: Duration, now: Instant) -> bool {
        pause <= self.longest_wait && self.deadline.is_none_or(|deadline| now + pause < deadline)
    }
}

/// What a piece of work has used so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Requests sent to the REST API, redirects and repetitions included.
    pub requests: u32,
    /// Requests sent to GraphQL.
    pub graphql_requests: u32,
    /// Points that those cost.
    pub graphql_points: u32,
    /// Requests that brought no usable answer.
    pub errors: u32,
    /// What GitHub last said is left of the REST API's hourly limit.
    pub rate_limit_remaining: Option<u32>,
    /// The same in percent of the limit.
    pub rate_limit_percent: Option<u32>,
    /// When the token expires, if GitHub says so.
    pub token_expires_at: Option<DateTime<Utc>>,
    /// How far our clock is ahead of GitHub's, in seconds.
    pub clock_skew_seconds: Option<i64>,
}

impl Usage {
    /// Adds what was used after this. Owners may have a limit each: the one of which least is left counts.
    pub fn add(&mut self, later: &Self) {
        let least = |one: Option<u32>, other: Option<u32>| one.into_iter().chain(other).min();
        self.requests += later.requests;
        self.graphql_requests += later.graphql_requests;
        self.graphql_points += later.graphql_points;
        self.errors += later.errors;
        self.rate_limit_remaining = least(self.rate_limit_remaining, later.rate_limit_remaining);
        self.rate_limit_percent = least(self.rate_limit_percent, later.rate_limit_percent);
        self.token_expires_at = later.token_expires_at.or(self.token_expires_at);
        self.clock_skew_seconds = later.clock_skew_seconds.or(self.clock_skew_seconds);
    }
}

/// GitHub, asked for one owner's things by one piece of work, which is counted.
#[derive(Debug)]
pub struct Session<'a> {
    pub(crate) github: &'a GitHub,
    owner: Option<String>,
    patience: WaitBudget,
    started_at: DateTime<Utc>,
    begun: Instant,
    usage: Arc<Mutex<Usage>>,
}

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct GitHubRequest {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) etag: Option<String>,
    pub(crate) body: Option<serde_json::Value>,
    /// Another authorization than the owner's token.
    pub(crate) bearer: Option<SecretString>,
}

/// A request that is to be sent, and what its answer needs to know.
struct Sending {
    request: Request<OctoBody>,
    resource: Resource,
    scope: String,
    deadline: Option<Instant>,
    usage: Arc<Mutex<Usage>>,
    started_at: DateTime<Utc>,
    begun: Instant,
}

/// Why a question has no usable answer, and whether it was sent at all.
#[derive(Debug)]
struct Failed {
    error: GitHubError,
    was_sent: bool,
    /// Whether it was the token of an App's installation that was refused, of which there may be another one.
    is_token_stale: bool,
}

impl Failed {
    /// A limit is known to be in the way.
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
        tracing::info_span!(target: "spans", "request", http.method = %self.method, url.path = self.url.path())
    }

    pub(crate) fn get(url: Url) -> Self {
        Self { method: Method::GET, url, etag: None, body: None, bearer: None }
    }

    /// Whether it is counted against GraphQL's limit: an App asks for its tokens by REST, with a body too.
    fn is_graphql(&self) -> bool {
        self.body.is_some() && self.bearer.is_none()
    }

    fn resource(&self) -> Resource {
        if self.is_graphql() { Resource::GraphQl } else { Resource::Rest }
    }
}

impl GitHub {
    /// Prepares a client. Nothing is sent yet. Needs a Tokio runtime.
    ///
    /// # Errors
    /// [`GitHubError::Transport`] when the machine's TLS cannot be set up.
    pub fn connect(settings: &GitHubSettings) -> Result<Self, GitHubError> {
        // A service of ours: octocrab's knows no proxy. Every address is whole, and nothing is repeated there.
        let service = connector::client(settings.proxy.as_ref())?;
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

    /// The proxy by which GitHub is reached, without user and password.
    pub fn proxy(&self) -> Option<&str> {
        self.inner.proxy.as_deref()
    }

    /// Whether there is an App, whose tokens are good for one owner each.
    pub fn has_app(&self) -> bool {
        self.inner.credentials.has_app()
    }

    /// How many requests are sent at a time.
    pub fn concurrency(&self) -> usize {
        self.inner.concurrency
    }

    /// Sends nothing that GitHub refuses by blocks that others have met with the same credentials. `now` is the present
    /// instant, by the clock that the blocks are told by.
    pub fn know_blocks(&self, blocks: &[Block], now: DateTime<Utc>) {
        self.inner.limits.know(blocks, now);
    }

    /// The blocks that were met here and not taken before: others who use the same credentials ought to know them.
    pub fn take_new_blocks(&self, now: DateTime<Utc>) -> Vec<Block> {
        self.inner.limits.take_new_blocks(now)
    }

    /// Believes what GitHub told others who use the same credentials of what is left. `now` is the present instant, by the clock
    /// that it is told by.
    pub fn know_remaining(&self, remaining: &[Remaining], now: DateTime<Utc>) {
        self.inner.limits.know_remaining(remaining, now);
    }

    /// What GitHub has said is left, of limits that have not refused anything since.
    pub fn remaining(&self, now: DateTime<Utc>) -> Vec<Remaining> {
        self.inner.limits.remaining(now)
    }

    /// Waits until there may be blocks to take.
    pub async fn blocked(&self) {
        self.inner.limits.blocked().await;
    }

    /// Begins a piece of work on things of `owner` (`None` for those of nobody in particular) at `now`.
    pub fn session(&self, owner: Option<&str>, patience: WaitBudget, now: DateTime<Utc>) -> Session<'_> {
        Session {
            github: self,
            owner: owner.map(str::to_lowercase),
            patience,
            started_at: now,
            begun: Instant::now(),
            usage: Arc::default(),
        }
    }

    /// Where the API is, as far as is known.
    fn api_url(&self) -> &Url {
        self.inner.found_api_url.get().and_then(Option::as_ref).unwrap_or(&self.inner.api_url)
    }

    /// The address of something below the API's.
    pub(crate) fn url(&self, path: &str, query: Option<&str>) -> Url {
        let mut url = self.api_url().clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}{path}"));
        url.set_query(query);
        url
    }

    /// The address of GraphQL: beside the REST API on Enterprise servers, below it elsewhere.
    pub(crate) fn graphql_url(&self) -> Url {
        let mut url = self.api_url().clone();
        let base = url.path().trim_end_matches('/');
        let base = base.strip_suffix("/v3").unwrap_or(base).to_owned();
        url.set_path(&format!("{base}/graphql"));
        url
    }

    /// An address that GitHub sent, if it is GitHub's own: the token goes nowhere else.
    pub(crate) fn on_same_host(&self, address: &str) -> Result<Url, GitHubError> {
        on_host_of(self.api_url(), address)
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        &self.inner.credentials
    }
}

impl Session<'_> {
    /// What has been used so far.
    pub fn usage(&self) -> Usage {
        *self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Usage)) {
        count(&self.usage, change);
    }

    /// The present instant, by the clock that the session was begun with.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        now(self.started_at, self.begun)
    }

    /// Whether the owner's token is of the App's installation there.
    pub(crate) async fn is_of_installation(&self) -> Result<bool, GitHubError> {
        let token = self.token().await?;
        Ok(self.github.credentials().is_of_installation(token.as_ref()).await)
    }

    /// Whether GitHub admits the App for the owner's things, where there is one: if not, the personal token stands in for it.
    ///
    /// # Errors
    /// Why an App gets no token.
    pub async fn check_app(&self) -> Result<(), GitHubError> {
        let Some(owner) = &self.owner else { return Ok(()) };
        Box::pin(self.github.credentials().app_refusal(self, owner)).await
    }

    /// Whether there is a token for the owner's things. Without one GitHub tells of what is public, and nothing by GraphQL.
    ///
    /// # Errors
    /// Why an App gets no token, where there is no personal one either.
    pub async fn has_token(&self) -> Result<bool, GitHubError> {
        Ok(self.token().await?.is_some())
    }

    /// The token for the owner's things.
    pub(crate) async fn token(&self) -> Result<Option<SecretString>, GitHubError> {
        // Boxed: asking for an installation's token is itself a question.
        Box::pin(self.github.credentials().token(self, self.owner.as_deref())).await
    }

    /// Asks with the owner's token, and reads the answer. Repeats the question, with pauses, as long as that may help
    /// and patience allows.
    ///
    /// # Errors
    /// What stands between the question and a usable answer in the end.
    pub(crate) async fn send<T>(
        &self,
        question: GitHubRequest,
        read: impl Fn(&Answer) -> Result<T, GitHubError>,
    ) -> Result<T, GitHubError> {
        let mut failures = 0;
        let mut renewals = 0;
        loop {
            let Failed { error, was_sent, is_token_stale } =
                match self.send_once(question.clone(), &read).instrument(question.span()).await {
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
                Some(pause) if self.patience.allows(pause, now) => {
                    // Others wait for the same end: they do not come back all at once.
                    let spread = if was_sent { Duration::ZERO } else { jitter(pause, fastrand::f64()) };
                    sleep(pause + spread).await;
                }
                // Whoever puts the work off must know until when.
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

    /// Sends a question once, and follows redirects: 301 for a renamed or transferred repository.
    async fn send_once<T>(
        &self,
        question: GitHubRequest,
        read: impl Fn(&Answer) -> Result<T, GitHubError>,
    ) -> Result<T, Failed> {
        let bearer = match &question.bearer {
            Some(bearer) => Some(bearer.clone()),
            None => self.token().await?,
        };
        let mut scope = self.limit_scope(&question, bearer.as_ref()).await;
        let mut question = question;
        let mut seen = HashSet::from([question.url.clone()]);
        for _ in 0..=MAX_REDIRECTS {
            let answer = match self.transmit(&question, bearer.as_ref(), &scope).await {
                Ok(answer) => answer,
                Err(failed) => {
                    self.count(|usage| usage.errors += u32::from(failed.was_sent));
                    return Err(failed);
                }
            };
            self.note(&answer);
            // Boxed: it is hardly ever needed.
            if answer.may_be_of_a_site()
                && let Some(url) = Box::pin(self.below_the_site(&question.url)).await
            {
                scope = self.limit_scope(&question, bearer.as_ref()).await;
                question.url = url;
                continue;
            }
            if matches!(answer.status.as_u16(), 301 | 302 | 307 | 308) {
                let location = answer.header(&LOCATION).unwrap_or_default();
                question.url = self.github.on_same_host(location)?;
                if !seen.insert(question.url.clone()) {
                    return Err(GitHubError::invalid("the redirects lead in a circle").into());
                }
                continue;
            }
            // Reading a page takes the processor: questions that can be sent meanwhile go first.
            tokio::task::yield_now().await;
            let outcome = answer.check().and_then(|()| read(&answer));
            let Err(error) = outcome else { return outcome.map_err(Failed::from) };
            self.count(|usage| usage.errors += 1);
            // GraphQL's come with status 200, others are known by now.
            self.github.inner.limits.note_refusal(&scope, question.resource(), &error);
            if question.bearer.is_some() {
                return Err(answer.refusal_of_app(error).into());
            }
            let is_token_stale = (error == GitHubError::Unauthorized || error.is_app_refused())
                && self.github.credentials().forget(bearer.as_ref(), &error).await;
            return Err(Failed { is_token_stale, ..error.into() });
        }
        Err(GitHubError::invalid(format!("more than {MAX_REDIRECTS} redirects")).into())
    }

    /// Where something is of which the address leads to the site of an Enterprise server: there, looked for once, the API is
    /// below `/api/v3`. `None` where that cannot be, or is not so.
    async fn below_the_site(&self, asked: &Url) -> Option<Url> {
        let site = &self.github.inner.api_url;
        if !may_be_a_site(site) || asked.path().starts_with("/api/") {
            return None;
        }
        let looking = async {
            let mut api_url = site.clone();
            api_url.set_path("/api/v3");
            let question = GitHubRequest::get(api_url.join("/api/v3/meta").map_err(|_| ())?);
            let scope = self.limit_scope(&question, None).await;
            // One that does not answer is asked another time.
            let answer = self.transmit(&question, None, &scope).await.map_err(|_| ())?;
            Ok::<_, ()>(answer.is_of_enterprise_server().then_some(api_url))
        };
        self.github.inner.found_api_url.get_or_try_init(|| looking).await.ok()?.as_ref()?;
        match asked.path() {
            "/graphql" => Some(self.github.graphql_url()),
            path => Some(self.github.url(path, asked.query())),
        }
    }

    /// Whose limits a question counts against, as a digest: those of an installation hold for each of its tokens, which
    /// change by the hour, and those of nobody for the machine.
    async fn limit_scope(&self, question: &GitHubRequest, bearer: Option<&SecretString>) -> String {
        let credentials = self.github.credentials();
        let holder =
            if question.bearer.is_some() { credentials.app_holder() } else { credentials.holder(bearer).await };
        let mut hasher = Sha256::new();
        hasher.update(self.github.api_url().as_str());
        hasher.update(holder.expose_secret());
        hasher.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Remembers what every answer tells beside its body and the limits.
    fn note(&self, answer: &Answer) {
        let skew = answer.date().map(|date| (self.now() - date).num_seconds());
        let expires_at = answer.token_expires_at();
        self.count(|usage| {
            usage.clock_skew_seconds = skew.or(usage.clock_skew_seconds);
            usage.token_expires_at = expires_at.or(usage.token_expires_at);
        });
    }

    /// Sends a question and takes its answer in a task of its own: while this one reads a page, which takes the processor,
    /// others are on their way. The task ends with this future.
    async fn transmit(
        &self,
        question: &GitHubRequest,
        bearer: Option<&SecretString>,
        scope: &str,
    ) -> Result<Answer, Failed> {
        let sending = Sending {
            request: self.request(question, bearer)?,
            resource: question.resource(),
            scope: scope.to_owned(),
            deadline: self.patience.deadline,
            usage: self.usage.clone(),
            started_at: self.started_at,
            begun: self.begun,
        };
        let answer = AbortOnDropHandle::new(tokio::spawn(self.github.inner.clone().transmit(sending))).await;
        // A panic is one of ours, and the runtime is only shut down with everything else.
        answer.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(GitHubError::OutOfTime.into()),
        })
    }

    fn request(
        &self,
        question: &GitHubRequest,
        bearer: Option<&SecretString>,
    ) -> Result<Request<OctoBody>, GitHubError> {
        let mut request = Request::builder()
            .method(question.method.clone())
            .uri(question.url.as_str())
            .header(ACCEPT, HeaderValue::from_static("application/vnd.github+json"))
            .header(ACCEPT_ENCODING, HeaderValue::from_static("gzip"))
            .header(USER_AGENT, AGENT)
            .header(API_VERSION_HEADER, API_VERSION);
        if let Some(bearer) = bearer {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", bearer.expose_secret()))
                .map_err(|_| GitHubError::Unauthorized)?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        if let Some(etag) = &question.etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let request = self.github.inner.client.build_request(request, question.body.as_ref());
        request.map_err(|error| self.github.inner.unreachable(error_chain(&error)))
    }
}

impl Inner {
    /// Sends a request when it is its turn, and no limit is in the way by then.
    async fn transmit(self: Arc<Self>, sending: Sending) -> Result<Answer, Failed> {
        let Sending { request, resource, scope, deadline, usage, started_at, begun } = sending;
        let turn = async {
            let permit = self.permits.acquire().await.map_err(|_| GitHubError::OutOfTime)?;
            // After the wait for the turn: a limit may have been reached in the meantime.
            let admission = self.limits.admit(&scope, resource).await.map_err(Failed::unsent)?;
            Ok::<_, Failed>((permit, admission))
        };
        // Waiting for the turn counts for the deadline as the request itself does.
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
            Err(_) => Err(self.unreachable(format!("no answer within {} s", self.total_timeout.as_secs()))),
        };
        let answer =
            outcome.map(|(parts, packed)| Answer::new(parts.status, parts.headers, packed, now(started_at, begun)));
        if let Some((resource, told)) = answer.as_ref().ok().and_then(Answer::limit) {
            let told = admission.note(resource, told);
            if resource == Resource::Rest {
                count(&usage, |usage| {
                    usage.rate_limit_remaining = Some(told.remaining);
                    usage.rate_limit_percent = told.percent();
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
            let reason = error_chain(&error);
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

/// Whether a connection that stood was closed before the whole answer: it may have been too much for the server.
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

/// The present instant, by a clock that was looked at once.
fn now(started_at: DateTime<Utc>, begun: Instant) -> DateTime<Utc> {
    started_at + TimeDelta::from_std(begun.elapsed()).unwrap_or_default()
}

/// An address as it is reached where the API is. A server behind a proxy that ends TLS writes `http:`, perhaps with a port
/// that only the proxy knows, and one at the end of a tunnel the name that it has there: it is asked at the address that is
/// configured.
fn on_host_of(api_url: &Url, address: &str) -> Result<Url, GitHubError> {
    let url = api_url.join(address).map_err(|_| GitHubError::invalid(format!("`{address}` is not an address")))?;
    if url.origin() == api_url.origin() {
        return Ok(url);
    }
    let is_behind_tls = url.host() == api_url.host() && url.scheme() == "http" && api_url.scheme() == "https";
    let is_behind_a_tunnel = is_loopback(api_url) && api_url.path() == "/api/v3" && url.path().starts_with("/api/v3/");
    if is_behind_tls || is_behind_a_tunnel {
        let mut asked = api_url.clone();
        asked.set_path(url.path());
        asked.set_query(url.query());
        return Ok(asked);
    }
    Err(GitHubError::CrossHostRedirect { host: url.host_str().unwrap_or_default().to_owned() })
}

fn count(usage: &Mutex<Usage>, change: impl FnOnce(&mut Usage)) {
    change(&mut usage.lock().unwrap_or_else(PoisonError::into_inner));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_a_server_behind_a_tls_proxy_or_a_tunnel_writes_is_asked_where_the_api_is() {
        let api_url = Url::parse("https://ghe.example.com:8443/api/v3").expect("a URL");
        let asked = |address| on_host_of(&api_url, address).map(String::from);
        let page = "https://ghe.example.com:8443/api/v3/repositories/7?a=b".to_owned();
        for written in [
            page.as_str(),
            "/api/v3/repositories/7?a=b",
            "http://ghe.example.com/api/v3/repositories/7?a=b",
            "http://ghe.example.com:8080/api/v3/repositories/7?a=b",
        ] {
            assert_eq!(asked(written), Ok(page.clone()), "{written}");
        }
        let tunnel = Url::parse("http://127.0.0.1:8080/api/v3").expect("a URL");
        let asked_by_tunnel = |address| on_host_of(&tunnel, address).map(String::from);
        let page = asked_by_tunnel("https://ghe.example.com/api/v3/repositories/7?a=b");
        assert_eq!(page, Ok("http://127.0.0.1:8080/api/v3/repositories/7?a=b".to_owned()));
        assert!(matches!(asked_by_tunnel("https://ghe.example.com/login"), Err(GitHubError::CrossHostRedirect { .. })));
        for elsewhere in ["https://ghe.example.com/api/v3", "http://ghe.internal/api/v3", "https://evil.example"] {
            assert!(matches!(asked(elsewhere), Err(GitHubError::CrossHostRedirect { .. })), "{elsewhere}");
        }
    }
}
