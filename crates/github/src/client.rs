//! The client: requests, pages, limits.

use std::collections::HashSet;
use std::io::Read;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use flate2::read::GzDecoder;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, LINK, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use mergeline_domain::{PullRequest, RepoName, with_causes};
use octocrab::Octocrab;
use octocrab::service::middleware::retry::RetryConfig;
use url::Url;

use crate::model::{UndecodableItem, decode_page};
use crate::{GitHubError, GitHubSettings, link};

/// GitHub's answers as of this version. It has neither `merge_commit_sha` nor `assignee` in pull requests.
const API_VERSION: HeaderValue = HeaderValue::from_static("2026-03-10");
/// The most that GitHub gives on a page.
const PER_PAGE: u32 = 100;
/// A repository with half a million pull requests has 5,000 pages; more is a loop.
const MAX_PAGES: u32 = 5_000;
/// Renamed and then transferred is two.
const MAX_REDIRECTS: u32 = 3;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest pause within an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(20);
/// A whole answer. GitHub itself gives up after 10 s; the rest is a slow line.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(60);
/// A page of 100 is about 0.15 MB zipped, and 2.3 MB plain; long descriptions make it three times as much.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;
/// How much of the limit is left; what GitHub sends with every answer.
const RATE_LIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RATE_LIMIT_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const RATE_LIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
const SINGLE_SIGN_ON: HeaderName = HeaderName::from_static("x-github-sso");
const API_VERSION_HEADER: HeaderName = HeaderName::from_static("x-github-api-version");

/// GitHub, asked with one token.
#[derive(Debug, Clone)]
pub struct GitHub {
    client: Octocrab,
    api_url: Url,
}

/// A page of a repository's pull requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The pull requests that could be understood and are new enough, in GitHub's order.
    pub pull_requests: Vec<PullRequest>,
    /// Those that could not.
    pub undecodable: Vec<UndecodableItem>,
}

/// A listing under way: ask for page after page, as far as needed.
#[derive(Debug)]
pub struct PullRequestPages<'a> {
    github: &'a GitHub,
    since: DateTime<Utc>,
    next: Option<Url>,
    seen: HashSet<Url>,
    /// Whether GitHub listed anything at all, old or new. Nothing may also mean that the token sees nothing.
    pub has_listed_any: bool,
    /// Requests sent so far, redirects included.
    pub requests: u32,
    /// Pages received so far.
    pub pages: u32,
    /// What GitHub last said is left of the rate limit.
    pub rate_limit_remaining: Option<u32>,
}

impl GitHub {
    /// Prepares a client. Nothing is sent yet. Needs a Tokio runtime.
    ///
    /// # Errors
    /// [`GitHubError::Transport`] when the machine's TLS cannot be set up.
    pub fn connect(settings: &GitHubSettings) -> Result<Self, GitHubError> {
        let failed = |error: octocrab::Error| GitHubError::Transport { reason: with_causes(&error) };
        let mut builder = Octocrab::builder()
            .base_uri(settings.api_url.as_str())
            .map_err(failed)?
            .set_connect_timeout(Some(CONNECT_TIMEOUT))
            .set_read_timeout(Some(READ_TIMEOUT))
            // Its own retry sends four requests at once without a pause.
            .add_retry_config(RetryConfig::None);
        if let Some(token) = settings.expose_token() {
            builder = builder.personal_token(token);
        }
        Ok(Self { client: builder.build().map_err(failed)?, api_url: settings.api_url.clone() })
    }

    /// The pull requests of a repository that changed since `since`, the one that changed last first.
    ///
    /// Source: GitHub, "List pull requests". It has no `since` itself: reading stops with the first older one.
    pub fn pull_requests_updated_since(&self, repository: &RepoName, since: DateTime<Utc>) -> PullRequestPages<'_> {
        let mut url = self.api_url.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/repos/{repository}/pulls"));
        // With `sort=updated` the default direction is ascending.
        url.set_query(Some(&format!("state=all&sort=updated&direction=desc&per_page={PER_PAGE}")));
        PullRequestPages {
            github: self,
            since,
            next: Some(url),
            seen: HashSet::new(),
            has_listed_any: false,
            requests: 0,
            pages: 0,
            rate_limit_remaining: None,
        }
    }

    /// One answer, whatever its status, with its body decoded.
    async fn get(&self, url: &Url) -> Result<Answer, GitHubError> {
        tokio::time::timeout(TOTAL_TIMEOUT, self.get_without_limit(url))
            .await
            .map_err(|_| GitHubError::Transport { reason: format!("no answer within {} s", TOTAL_TIMEOUT.as_secs()) })?
    }

    async fn get_without_limit(&self, url: &Url) -> Result<Answer, GitHubError> {
        let uri: Uri = url.as_str().parse().map_err(|_| GitHubError::invalid(format!("`{url}` is no address")))?;
        let headers = HeaderMap::from_iter([
            (ACCEPT, HeaderValue::from_static("application/vnd.github+json")),
            (ACCEPT_ENCODING, HeaderValue::from_static("gzip")),
            (API_VERSION_HEADER, API_VERSION),
        ]);
        let response = self
            .client
            ._get_with_headers(uri, Some(headers))
            .await
            .map_err(|error| GitHubError::Transport { reason: with_causes(&error) })?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, MAX_BODY_BYTES).collect().await.map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                too_large()
            } else {
                GitHubError::Transport { reason: format!("the answer ended early: {error}") }
            }
        })?;
        let body = decoded(&parts.headers, body.to_bytes())?;
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }
}

impl PullRequestPages<'_> {
    /// The next page, `None` after the last one with anything new enough.
    ///
    /// # Errors
    /// Whatever GitHub, or the way to it, says; asking again repeats the request.
    pub async fn next(&mut self) -> Result<Option<Page>, GitHubError> {
        let Some(url) = self.next.clone() else { return Ok(None) };
        let answer = self.follow(url).await?;
        let next = answer.header(&LINK).and_then(link::next_page).map(str::to_owned);
        let mut page = Page { pull_requests: Vec::new(), undecodable: Vec::new() };
        let mut is_last = false;
        let items = decode_page(&answer.body)?;
        self.has_listed_any |= !items.is_empty();
        if !items.is_empty() && items.iter().all(Result::is_err) {
            return Err(GitHubError::invalid("none of the pull requests on a page can be understood"));
        }
        for item in items {
            match item {
                Ok(pull_request) if pull_request.updated_at < self.since => is_last = true,
                Ok(pull_request) => page.pull_requests.push(pull_request),
                Err(undecodable) => page.undecodable.push(undecodable),
            }
        }
        self.pages += 1;
        self.next = match next {
            Some(address) if !is_last => Some(self.checked_next(&address)?),
            _ => None,
        };
        Ok(Some(page))
    }

    /// Requests an address and follows redirects: 301 for a renamed or transferred repository.
    async fn follow(&mut self, url: Url) -> Result<Answer, GitHubError> {
        let mut url = url;
        for _ in 0..=MAX_REDIRECTS {
            self.requests += 1;
            let answer = self.github.get(&url).await?;
            self.rate_limit_remaining = answer.number(&RATE_LIMIT_REMAINING).or(self.rate_limit_remaining);
            if matches!(answer.status.as_u16(), 301 | 302 | 307 | 308) {
                let location = answer.header(&LOCATION).unwrap_or_default();
                url = self.github.on_same_host(location)?;
                continue;
            }
            answer.check()?;
            return Ok(answer);
        }
        Err(GitHubError::invalid(format!("more than {MAX_REDIRECTS} redirects")))
    }

    fn checked_next(&mut self, address: &str) -> Result<Url, GitHubError> {
        let url = self.github.on_same_host(address)?;
        if self.pages >= MAX_PAGES || !self.seen.insert(url.clone()) {
            return Err(GitHubError::invalid("the pages lead in a circle"));
        }
        Ok(url)
    }
}

impl GitHub {
    /// An address that GitHub sent, if it is GitHub's own: the token goes nowhere else.
    fn on_same_host(&self, address: &str) -> Result<Url, GitHubError> {
        let url = self.api_url.join(address).map_err(|_| GitHubError::invalid(format!("`{address}` is no address")))?;
        if url.origin() == self.api_url.origin() {
            Ok(url)
        } else {
            Err(GitHubError::invalid(format!("it points to another host, {}", url.host_str().unwrap_or_default())))
        }
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn number(&self, name: &HeaderName) -> Option<u32> {
        self.header(name).and_then(|text| text.trim().parse().ok())
    }

    /// Turns every status but 200 into the error that a caller can act on.
    fn check(&self) -> Result<(), GitHubError> {
        match self.status.as_u16() {
            200 => self.check_content_type(),
            401 => Err(GitHubError::Unauthorized),
            403 | 429 => Err(self.limit_or_forbidden()),
            404 => Err(GitHubError::NotFound),
            status @ (410 | 451) => Err(GitHubError::Gone { status }),
            status => Err(GitHubError::UnexpectedStatus { status }),
        }
    }

    /// A proxy's log-in page comes with status 200 as well.
    fn check_content_type(&self) -> Result<(), GitHubError> {
        let content_type = self.header(&CONTENT_TYPE).unwrap_or_default();
        if content_type.contains("json") {
            return Ok(());
        }
        Err(GitHubError::invalid(format!("`{content_type}` where JSON is expected; a proxy may stand in between")))
    }

    /// 403 is a limit when GitHub says when to come back or that nothing is left, and a permission otherwise.
    ///
    /// Source: GitHub, "Rate limits for the REST API". Enterprise servers without limits say 0 of 0.
    fn limit_or_forbidden(&self) -> GitHubError {
        let is_used_up = self.number(&RATE_LIMIT_REMAINING) == Some(0) && self.number(&RATE_LIMIT_LIMIT) != Some(0);
        if self.headers.contains_key(RETRY_AFTER)
            || is_used_up
            || self.status == StatusCode::TOO_MANY_REQUESTS
            || self.names_a_limit()
        {
            let reset = self.header(&RATE_LIMIT_RESET).and_then(|text| text.parse().ok());
            let retry_at = reset.filter(|_| is_used_up).and_then(|seconds| DateTime::<Utc>::from_timestamp(seconds, 0));
            return GitHubError::RateLimited { retry_at };
        }
        let hint = match self.header(&SINGLE_SIGN_ON) {
            Some(_) => ", and authorise it for the organisation's single sign-on".to_owned(),
            None => String::new(),
        };
        GitHubError::Forbidden { hint }
    }

    /// A secondary limit may come with neither header; then only its message tells.
    fn names_a_limit(&self) -> bool {
        #[derive(serde::Deserialize)]
        struct Message {
            message: String,
        }
        serde_json::from_slice::<Message>(&self.body)
            .is_ok_and(|body| body.message.to_lowercase().contains("rate limit"))
    }
}

fn decoded(headers: &HeaderMap, body: Bytes) -> Result<Bytes, GitHubError> {
    if headers.get(CONTENT_ENCODING).is_none_or(|value| value.as_bytes() != b"gzip") {
        return Ok(body);
    }
    let mut plain = Vec::with_capacity(body.len() * 8);
    let limit = MAX_BODY_BYTES as u64 + 1;
    GzDecoder::new(&body[..])
        .take(limit)
        .read_to_end(&mut plain)
        .map_err(|error| GitHubError::Transport { reason: format!("the answer's gzip is damaged: {error}") })?;
    if plain.len() > MAX_BODY_BYTES { Err(too_large()) } else { Ok(plain.into()) }
}

fn too_large() -> GitHubError {
    GitHubError::invalid(format!("more than {} MB", MAX_BODY_BYTES / 1024 / 1024))
}
