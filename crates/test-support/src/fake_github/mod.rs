//! An HTTP server that keeps GitHub's contract.

mod contract;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::FakePullRequest;
use contract::Links;

/// GitHub gives no more on one page, whatever is asked for.
const MAX_PER_PAGE: usize = 100;
/// What GitHub gives when nothing is asked for.
const DEFAULT_PER_PAGE: usize = 30;
/// The hourly limit of a personal token.
const RATE_LIMIT: u32 = 5_000;
/// The API versions that GitHub knows; without the header it answers as the first.
const VERSIONS: [&str; 2] = ["2022-11-28", "2026-03-10"];

/// Something that goes wrong with the next answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// An answer with this status and GitHub's form of an error.
    Status(u16),
    /// The hourly limit is used up until this Unix time.
    RateLimited {
        /// When it starts anew.
        reset: u64,
    },
    /// The secondary limit, with the seconds to wait.
    SecondaryLimit {
        /// `retry-after`.
        retry_after: u64,
    },
    /// 200 with a page of a proxy instead of JSON.
    Html,
    /// The connection ends in the middle of the body.
    Truncated,
    /// The next page is said to be on this host.
    NextPageAt(String),
    /// A redirect to this address.
    RedirectTo(String),
    /// More than any page of GitHub, once decoded.
    GzipBomb,
}

/// A request that the fake received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedRequest {
    /// Path with query.
    pub path: String,
    /// The token that came with it.
    pub token: Option<String>,
    /// The API version that it asked for.
    pub api_version: Option<String>,
    /// The status that it was answered with.
    pub status: u16,
}

#[derive(Debug, Default)]
struct Repository {
    full_name: String,
    pull_requests: BTreeMap<i64, FakePullRequest>,
}

#[derive(Debug, Default)]
struct World {
    address: String,
    repositories: BTreeMap<i64, Repository>,
    /// Names that repositories had before: they answer with a redirect.
    former_names: HashMap<String, i64>,
    /// Faults by repository (in lower case), each for one answer.
    faults: HashMap<String, VecDeque<Fault>>,
    /// Statuses that a repository answers with until further notice.
    broken: HashMap<String, u16>,
    token: Option<String>,
    latency: Duration,
    used: u32,
    requests: Vec<RecordedRequest>,
    /// A change that happens after so many more answers: what is updated while a client pages.
    pending: VecDeque<(u32, FakePullRequest)>,
}

type Shared = Arc<Mutex<World>>;

/// A running fake GitHub. It stops when the value goes.
#[derive(Debug)]
pub struct FakeGitHub {
    world: Shared,
    server: JoinHandle<()>,
}

impl Drop for FakeGitHub {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeGitHub {
    /// Starts an empty GitHub on a free port of the loopback address.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let world = Shared::default();
        lock(&world).address = format!("http://{}", listener.local_addr()?);
        let router = Router::new()
            .route("/repos/{owner}/{repo}/pulls", get(list_by_name))
            .route("/repositories/{id}/pulls", get(list_by_id))
            .fallback(not_found)
            .with_state(world.clone());
        let server = tokio::spawn(async move {
            // Ends with the task; there is nobody left to tell.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { world, server })
    }

    /// The address to set as `GITHUB_API_URL`.
    pub fn url(&self) -> String {
        lock(&self.world).address.clone()
    }

    /// Answers only requests with this token.
    pub fn require_token(&self, token: &str) {
        lock(&self.world).token = Some(token.to_owned());
    }

    /// Lets every answer take so long.
    pub fn set_latency(&self, latency: Duration) {
        lock(&self.world).latency = latency;
    }

    /// Creates a repository, empty at first, unless it is there.
    pub fn add_repository(&self, full_name: &str) {
        lock(&self.world).repository_id(full_name);
    }

    /// Creates or replaces pull requests, and the repositories that they are in.
    pub fn put(&self, pull_requests: impl IntoIterator<Item = FakePullRequest>) {
        let mut world = lock(&self.world);
        for pull_request in pull_requests {
            world.put(pull_request);
        }
    }

    /// Creates or replaces a pull request once so many more requests have been answered.
    pub fn put_after(&self, answers: u32, pull_request: FakePullRequest) {
        lock(&self.world).pending.push_back((answers, pull_request));
    }

    /// Takes all pull requests out of a repository, as a token that may see it but not them would have it.
    pub fn empty(&self, repository: &str) {
        let mut world = lock(&self.world);
        let id = world.repository_id(repository);
        if let Some(repository) = world.repositories.get_mut(&id) {
            repository.pull_requests.clear();
        }
    }

    /// Renames a repository: the former name redirects.
    pub fn rename(&self, from: &str, to: &str) {
        let mut world = lock(&self.world);
        let id = world.repository_id(from);
        world.former_names.insert(from.to_lowercase(), id);
        if let Some(repository) = world.repositories.get_mut(&id) {
            to.clone_into(&mut repository.full_name);
        }
    }

    /// Lets the next answer about a repository go wrong; said several times, one answer after the other.
    pub fn fail_next(&self, repository: &str, fault: Fault) {
        lock(&self.world).faults.entry(repository.to_lowercase()).or_default().push_back(fault);
    }

    /// Lets every answer about a repository have this status, `None` to mend it.
    pub fn break_repository(&self, repository: &str, status: Option<u16>) {
        let mut world = lock(&self.world);
        match status {
            Some(status) => world.broken.insert(repository.to_lowercase(), status),
            None => world.broken.remove(&repository.to_lowercase()),
        };
    }

    /// The requests received so far.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        lock(&self.world).requests.clone()
    }

    /// Forgets the requests received so far.
    pub fn forget_requests(&self) {
        lock(&self.world).requests.clear();
    }
}

impl World {
    fn find(&self, full_name: &str) -> Option<i64> {
        let found =
            self.repositories.iter().find(|(_, repository)| repository.full_name.eq_ignore_ascii_case(full_name));
        found.map(|(id, _)| *id)
    }

    fn repository_id(&mut self, full_name: &str) -> i64 {
        if let Some(id) = self.find(full_name) {
            return id;
        }
        let id = 5_000_000_000 + i64::try_from(self.repositories.len()).unwrap_or_default();
        let repository = Repository { full_name: full_name.to_owned(), pull_requests: BTreeMap::new() };
        self.repositories.insert(id, repository);
        id
    }

    fn put(&mut self, pull_request: FakePullRequest) {
        let id = self.repository_id(&pull_request.repository);
        if let Some(repository) = self.repositories.get_mut(&id) {
            repository.pull_requests.insert(pull_request.number, pull_request);
        }
    }

    fn put_what_is_due(&mut self) {
        for (answers, _) in &mut self.pending {
            *answers = answers.saturating_sub(1);
        }
        while let Some((_, pull_request)) = self.pending.pop_front_if(|(answers, _)| *answers == 0) {
            self.put(pull_request);
        }
    }
}

/// The parameters of a listing, with GitHub's own defaults.
#[derive(Debug, Clone, Copy)]
struct Listing {
    state: PullState,
    by_update: bool,
    descending: bool,
    per_page: usize,
    page: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PullState {
    Open,
    Closed,
    All,
}

impl Listing {
    fn parse(query: &str) -> Result<Self, String> {
        let pairs: HashMap<&str, &str> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let number = |key: &str, default: usize| pairs.get(key).and_then(|text| text.parse().ok()).unwrap_or(default);
        let state = match pairs.get("state").copied() {
            None | Some("open") => PullState::Open,
            Some("closed") => PullState::Closed,
            Some("all") => PullState::All,
            Some(other) => return Err(format!("state: {other}")),
        };
        let by_update = match pairs.get("sort").copied() {
            None | Some("created") => false,
            Some("updated") => true,
            Some(other) => return Err(format!("sort: {other}")),
        };
        let descending = match pairs.get("direction").copied() {
            // Only the default sort is newest first by itself.
            None => !by_update,
            Some("desc") => true,
            Some("asc") => false,
            Some(other) => return Err(format!("direction: {other}")),
        };
        let per_page = number("per_page", DEFAULT_PER_PAGE).clamp(1, MAX_PER_PAGE);
        Ok(Self { state, by_update, descending, per_page, page: number("page", 1).max(1) })
    }

    fn query(&self, page: usize) -> String {
        let state = match self.state {
            PullState::Open => "open",
            PullState::Closed => "closed",
            PullState::All => "all",
        };
        let sort = if self.by_update { "updated" } else { "created" };
        let direction = if self.descending { "desc" } else { "asc" };
        format!("state={state}&sort={sort}&direction={direction}&per_page={}&page={page}", self.per_page)
    }

    fn page_of<'a>(&self, repository: &'a Repository) -> (Vec<&'a FakePullRequest>, usize) {
        let mut listed: Vec<&FakePullRequest> = repository
            .pull_requests
            .values()
            .filter(|pull_request| match self.state {
                PullState::All => true,
                PullState::Open => pull_request.closed_at.is_none(),
                PullState::Closed => pull_request.closed_at.is_some(),
            })
            .collect();
        listed.sort_by_key(|pull_request| {
            (if self.by_update { pull_request.updated_at } else { pull_request.created_at }, pull_request.number)
        });
        if self.descending {
            listed.reverse();
        }
        let pages = listed.len().div_ceil(self.per_page);
        (listed.into_iter().skip((self.page - 1) * self.per_page).take(self.per_page).collect(), pages)
    }
}

async fn list_by_name(
    State(world): State<Shared>,
    Path((owner, name)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let full_name = format!("{owner}/{name}");
    let (id, moved_to, latency) = {
        let world = lock(&world);
        (world.find(&full_name), world.former_names.get(&full_name.to_lowercase()).copied(), world.latency)
    };
    tokio::time::sleep(latency).await;
    let query = query.unwrap_or_default();
    let answer = |world: &mut World| match (id, moved_to) {
        (Some(id), _) => list(world, id, &query, &headers),
        (None, Some(id)) => moved(world, id, &query),
        (None, None) => error(StatusCode::NOT_FOUND, "Not Found"),
    };
    handle(&world, &full_name, &uri, &headers, answer)
}

async fn list_by_id(
    State(world): State<Shared>,
    Path(id): Path<i64>,
    RawQuery(query): RawQuery,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let (full_name, latency) = {
        let world = lock(&world);
        (world.repositories.get(&id).map(|repository| repository.full_name.clone()).unwrap_or_default(), world.latency)
    };
    tokio::time::sleep(latency).await;
    let query = query.unwrap_or_default();
    handle(&world, &full_name, &uri, &headers, |world| list(world, id, &query, &headers))
}

async fn not_found() -> Response {
    error(StatusCode::NOT_FOUND, "Not Found")
}

/// Checks what GitHub checks first, lets faults happen, counts, and adds the headers of the rate limit.
fn handle(
    world: &Shared,
    full_name: &str,
    uri: &Uri,
    headers: &HeaderMap,
    answer: impl FnOnce(&mut World) -> Response,
) -> Response {
    let mut world = lock(world);
    let world = &mut *world;
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let token = text("authorization").and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned);
    let api_version = text("x-github-api-version").map(str::to_owned);
    let repository = full_name.to_lowercase();
    let fault = world.faults.get_mut(&repository).and_then(VecDeque::pop_front);
    let is_known_version = api_version.as_deref().is_none_or(|version| VERSIONS.contains(&version));
    let mut response = if world.token.is_some() && token != world.token {
        error(StatusCode::UNAUTHORIZED, "Bad credentials")
    } else if text("user-agent").is_none_or(str::is_empty) {
        error(
            StatusCode::FORBIDDEN,
            "Request forbidden by administrative rules. Please make sure your request has a User-Agent header",
        )
    } else if !is_known_version {
        error(StatusCode::BAD_REQUEST, "Bad Request: unsupported API version")
    } else if let Some(fault) = fault {
        faulty(&fault, || answer(world))
    } else if let Some(status) = world.broken.get(&repository) {
        error(StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), "Broken by request")
    } else {
        answer(world)
    };
    if response.status() != StatusCode::NOT_MODIFIED {
        world.used += 1;
    }
    world.requests.push(RecordedRequest {
        path: uri.to_string(),
        token,
        api_version,
        status: response.status().as_u16(),
    });
    world.put_what_is_due();
    let remaining = RATE_LIMIT.saturating_sub(world.used);
    let in_an_hour = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() + 3_600;
    for (name, value) in [
        ("x-ratelimit-limit", RATE_LIMIT.to_string()),
        ("x-ratelimit-remaining", remaining.to_string()),
        ("x-ratelimit-used", world.used.to_string()),
        ("x-ratelimit-reset", in_an_hour.to_string()),
        ("x-ratelimit-resource", "core".to_owned()),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().entry(name).or_insert(value);
        }
    }
    response
}

fn list(world: &World, id: i64, query: &str, headers: &HeaderMap) -> Response {
    let Some(repository) = world.repositories.get(&id) else { return error(StatusCode::NOT_FOUND, "Not Found") };
    let listing = match Listing::parse(query) {
        Ok(listing) => listing,
        Err(field) => return error(StatusCode::UNPROCESSABLE_ENTITY, &format!("Validation Failed: {field}")),
    };
    let (listed, pages) = listing.page_of(repository);
    let version = headers.get("x-github-api-version").and_then(|value| value.to_str().ok());
    let links = Links {
        api: &world.address,
        repository: &repository.full_name,
        repository_id: id,
        is_slim_version: version == Some(VERSIONS[1]),
    };
    let items: Vec<Value> = listed.into_iter().map(|pull_request| links.pull_request(pull_request)).collect();
    let body = serde_json::to_vec(&items).unwrap_or_default();
    let mut hasher = DefaultHasher::new();
    (&body, headers.get(header::AUTHORIZATION)).hash(&mut hasher);
    let etag = format!("\"{:016x}\"", hasher.finish());
    if headers.get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == etag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response();
    }
    let mut response = json_response(StatusCode::OK, body, accepts_gzip(headers));
    let mut insert = |name: header::HeaderName, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            response.headers_mut().insert(name, value);
        }
    };
    insert(header::ETAG, &etag);
    let address = format!("{}/repositories/{id}/pulls", world.address);
    if let Some(link) = link_header(&address, &listing, pages) {
        insert(header::LINK, &link);
    }
    response
}

/// `prev`, `next`, `last` and `first`, as far as there are such pages; none for a single page.
fn link_header(address: &str, listing: &Listing, pages: usize) -> Option<String> {
    let page = listing.page;
    let relations = [
        ("prev", page - 1, page > 1),
        ("next", page + 1, page < pages),
        ("last", pages, page < pages),
        ("first", 1, page > 1),
    ];
    let links: Vec<String> = relations
        .iter()
        .filter(|(.., is_there)| *is_there)
        .map(|(relation, page, _)| format!("<{address}?{}>; rel=\"{relation}\"", listing.query(*page)))
        .collect();
    (!links.is_empty()).then(|| links.join(", "))
}

fn moved(world: &World, id: i64, query: &str) -> Response {
    let location = format!("{}/repositories/{id}/pulls?{query}", world.address);
    let body = json!({
        "message": "Moved Permanently",
        "url": location,
        "documentation_url": "https://docs.github.com/rest/guides/best-practices-for-using-the-rest-api#follow-redirects",
    });
    (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, location)], axum::Json(body)).into_response()
}

fn error(status: StatusCode, message: &str) -> Response {
    let body = json!({
        "message": message,
        "documentation_url": "https://docs.github.com/rest",
        "status": status.as_u16().to_string(),
    });
    json_response(status, body.to_string().into_bytes(), false)
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).is_some_and(|text| text.contains("gzip"))
}

fn json_response(status: StatusCode, body: Vec<u8>, gzip: bool) -> Response {
    let content_type = (header::CONTENT_TYPE, "application/json; charset=utf-8");
    if gzip && let Ok(zipped) = zip(&body) {
        return (status, [content_type, (header::CONTENT_ENCODING, "gzip")], zipped).into_response();
    }
    (status, [content_type], body).into_response()
}

fn zip(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

fn faulty(fault: &Fault, answer: impl FnOnce() -> Response) -> Response {
    let limited = |status, message: &str, headers: &[(&'static str, String)]| {
        let mut response = error(status, message);
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(*name, value);
            }
        }
        response
    };
    match fault {
        Fault::Status(status) => {
            error(StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), "Failed by request")
        }
        Fault::RateLimited { reset } => limited(
            StatusCode::FORBIDDEN,
            "API rate limit exceeded for user ID 1.",
            &[("x-ratelimit-remaining", "0".to_owned()), ("x-ratelimit-reset", reset.to_string())],
        ),
        Fault::SecondaryLimit { retry_after } => limited(
            StatusCode::FORBIDDEN,
            "You have exceeded a secondary rate limit.",
            &[("retry-after", retry_after.to_string())],
        ),
        Fault::Html => {
            (StatusCode::OK, [(header::CONTENT_TYPE, "text/html")], "<html><body>Please log in</body></html>")
                .into_response()
        }
        Fault::Truncated => {
            let body = Body::from_stream(futures_of_a_broken_body());
            (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Fault::NextPageAt(address) => {
            let mut response = answer();
            if let Ok(value) = HeaderValue::from_str(&format!("<{address}>; rel=\"next\"")) {
                response.headers_mut().insert(header::LINK, value);
            }
            response
        }
        Fault::RedirectTo(address) => {
            (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, address.clone())]).into_response()
        }
        Fault::GzipBomb => json_response(StatusCode::OK, vec![b' '; 64 * 1024 * 1024], true),
    }
}

/// A body that starts well and then fails, which closes the connection.
fn futures_of_a_broken_body() -> impl futures::Stream<Item = Result<&'static [u8], io::Error>> {
    futures::stream::iter([Ok(b"[{\"number\": 1".as_slice()), Err(io::ErrorKind::ConnectionReset.into())])
}
