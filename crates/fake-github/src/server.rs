//! An HTTP server that keeps GitHub's contract.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, Request, StatusCode, header};
use axum::response::Response;
use chrono::{DateTime, Utc};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::answer::Answer;
use crate::apps::App;
use crate::call::{Call, Layout};
use crate::faults::{Fault, Refused};
use crate::rest::Route;
use crate::world::{PullRequestList, World};
use crate::{FakePullRequest, FakeUser};

/// A request that the fake received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedRequest {
    /// `GET` or `POST`.
    pub method: String,
    /// Path with query.
    pub path: String,
    /// The token that came with it.
    pub token: Option<String>,
    /// The API version that it asked for.
    pub api_version: Option<String>,
    /// The `ETag` that the client knew.
    pub etag: Option<String>,
    /// What was posted.
    pub body: Option<String>,
    /// The status that it was answered with; 0 when the connection ended without an answer.
    pub status: u16,
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
    /// Starts an empty GitHub, laid out as api.github.com, on a free port of the loopback address.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> io::Result<Self> {
        Self::start_as(Layout::Cloud).await
    }

    /// Starts an empty GitHub of this layout on a free port of the loopback address.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start_as(layout: Layout) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let world = Arc::new(Mutex::new(World::new(format!("http://{}", listener.local_addr()?), layout)));
        let router = Router::new().fallback(serve).with_state(world.clone());
        let server = tokio::spawn(async move {
            // Ends with the task; there is nobody left to tell.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { world, server })
    }

    /// A token that is as good as any while no certain one is required.
    pub const TOKEN: &str = "github_pat_made_up";

    /// The address to set as `GITHUB_API_URL`.
    pub fn url(&self) -> String {
        let world = lock(&self.world);
        format!("{}{}", world.address, world.layout.rest_prefix())
    }

    /// The address of GraphQL.
    pub fn graphql_url(&self) -> String {
        let world = lock(&self.world);
        format!("{}{}", world.address, world.layout.graphql_path())
    }

    /// Answers only requests with this token; one that was good before is revoked.
    pub fn require_token(&self, token: &str) {
        lock(&self.world).token = Some(token.to_owned());
    }

    /// Answers whoever asks, GraphQL only with a token.
    pub fn require_no_token(&self) {
        lock(&self.world).token = None;
    }

    /// Says whose token it is.
    pub fn set_token_owner(&self, user: FakeUser) {
        lock(&self.world).token_owner = user;
    }

    /// Says with every answer when the token expires, `2026-12-31 10:00:00 UTC` for example.
    pub fn set_token_expiration(&self, expiration: Option<&str>) {
        lock(&self.world).token_expiration = expiration.map(str::to_owned);
    }

    /// Installs a GitHub App for these owners. From now on a request needs an installation token or the required one.
    pub fn install_app(&self, app_id: &str, owners: &[&str]) {
        lock(&self.world).app = Some(App::new(app_id, owners));
    }

    /// Lets no installation token given so far be good any more.
    pub fn expire_installation_tokens(&self) {
        if let Some(app) = &mut lock(&self.world).app {
            app.expire_tokens();
        }
    }

    /// Suspends the App's installation at an owner, or lets it go on again.
    pub fn suspend_installation(&self, owner: &str, is_suspended: bool) {
        if let Some(app) = &mut lock(&self.world).app {
            app.suspend(owner, is_suspended);
        }
    }

    /// Lets everything of an owner be refused, by whatever token, until further notice; `None` to admit it again.
    pub fn refuse_owner(&self, owner: &str, refused: Option<Refused>) {
        let mut world = lock(&self.world);
        match refused {
            Some(refused) => world.refused.insert(owner.to_lowercase(), refused),
            None => world.refused.remove(&owner.to_lowercase()),
        };
    }

    /// Lets every answer take so long.
    pub fn set_latency(&self, latency: Duration) {
        lock(&self.world).latency = latency;
    }

    /// Sets how many REST requests a window has and how many of them are used, and begins another window.
    pub fn set_rate_limit(&self, limit: u32, used: u32) {
        lock(&self.world).limits.set_core(limit, used);
    }

    /// Sets how many points of GraphQL a window has and how many of them are used, and begins another window.
    pub fn set_graphql_rate_limit(&self, limit: u32, used: u32) {
        lock(&self.world).limits.set_graphql(limit, used);
    }

    /// Lets the windows of the rate limits end, and what is used be forgotten, so long from the next request on.
    pub fn set_reset_in(&self, window: Duration) {
        lock(&self.world).limits.set_window(window);
    }

    /// Lets there be no rate limit and nothing said about one, as on an Enterprise server.
    pub fn hide_rate_limit_headers(&self, are_hidden: bool) {
        lock(&self.world).limits.are_hidden = are_hidden;
    }

    /// Lets GraphQL refuse more than so many ids in one query.
    pub fn limit_graphql_nodes(&self, nodes: usize) {
        lock(&self.world).graphql_nodes = nodes;
    }

    /// Lets GraphQL list no more than so many commits of a pull request, though it counts all of them.
    pub fn limit_listed_commits(&self, commits: usize) {
        lock(&self.world).listed_commits = commits;
    }

    /// Lets GraphQL's pages lead in a circle: each cursor that leads on is the same one.
    pub fn repeat_cursors(&self) {
        lock(&self.world).is_every_cursor_the_same = true;
    }

    /// Tells nobody of commits any more, as a token without *Contents* has it for a private repository.
    pub fn withhold_commits(&self) {
        lock(&self.world).are_commits_withheld = true;
    }

    /// Creates a repository, empty at first, unless it is there.
    pub fn add_repository(&self, full_name: &str) {
        lock(&self.world).repository(full_name);
    }

    /// Creates an account or changes the one with its number. Owners that are no account are organizations.
    pub fn add_user(&self, user: FakeUser) {
        lock(&self.world).add_user(user);
    }

    /// Creates or replaces pull requests, and the repositories that they are in.
    ///
    /// One whose number over all of GitHub belongs to another repository's, a deleted one's included, gets another.
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

    /// Deletes a pull request, as GitHub's support does it.
    pub fn delete_pull_request(&self, repository: &str, number: i64) {
        lock(&self.world).change(repository, |repository| {
            repository.pull_requests.remove(&number);
        });
    }

    /// Deletes a pull request once so many more requests have been answered.
    pub fn delete_after(&self, answers: u32, repository: &str, number: i64) {
        lock(&self.world).vanishing.push_back((answers, repository.to_owned(), Some(number)));
    }

    /// Deletes a repository once so many more requests have been answered.
    pub fn delete_repository_after(&self, answers: u32, full_name: &str) {
        lock(&self.world).vanishing.push_back((answers, full_name.to_owned(), None));
    }

    /// Lets every answer that would show a pull request, in a list or alone, have this status; `None` to mend it.
    pub fn break_pull_request(&self, repository: &str, number: i64, status: Option<u16>) {
        lock(&self.world).change(repository, |repository| match status {
            Some(status) => drop(repository.unreadable.insert(number, status)),
            None => drop(repository.unreadable.remove(&number)),
        });
    }

    /// Lets every list that would show a pull request have this status, while it can be read alone; `None` to mend it.
    pub fn break_in_lists(&self, repository: &str, number: i64, status: Option<u16>) {
        lock(&self.world).change(repository, |repository| match status {
            Some(status) => drop(repository.unlistable.insert(number, status)),
            None => drop(repository.unlistable.remove(&number)),
        });
    }

    /// Lets a pull request be listed, and not be found alone.
    pub fn hide_pull_request(&self, repository: &str, number: i64) {
        lock(&self.world).change(repository, |repository| {
            repository.hidden.insert(number);
        });
    }

    /// Lets lists of pull requests with more than so many on a page have this status.
    pub fn limit_page_size(&self, size: usize, status: u16) {
        lock(&self.world).largest_page = Some((size, status));
    }

    /// Switches pull requests off in a repository's settings: it is there, and its list is not found.
    pub fn switch_off_pull_requests(&self, repository: &str) {
        lock(&self.world).change(repository, |repository| repository.list = PullRequestList::SwitchedOff);
    }

    /// Lets links to further pages begin with another address, as behind a proxy that ends TLS.
    pub fn set_link_address(&self, address: &str) {
        lock(&self.world).links = Some(address.to_owned());
    }

    /// Takes all pull requests out of a repository's list. Each of them is there, and answers by its number.
    pub fn empty_list(&self, repository: &str) {
        lock(&self.world).change(repository, |repository| repository.list = PullRequestList::Empty);
    }

    /// Renames or transfers a repository: its number stays, and the former name redirects until another takes it.
    pub fn rename(&self, from: &str, to: &str) {
        lock(&self.world).rename(from, to);
    }

    /// Makes a user's repository private, and shares it with these accounts.
    pub fn make_private(&self, full_name: &str, collaborators: &[&str]) {
        lock(&self.world).change(full_name, |repository| {
            repository.is_private = true;
            repository.collaborators = collaborators.iter().map(|login| login.to_lowercase()).collect();
        });
    }

    /// Sets when a repository was created. Without that, it was when the first of its pull requests was opened.
    pub fn set_repository_creation(&self, full_name: &str, at: DateTime<Utc>) {
        lock(&self.world).change(full_name, |repository| repository.created_at = Some(at));
    }

    /// Archives a repository.
    pub fn archive_repository(&self, full_name: &str) {
        lock(&self.world).change(full_name, |repository| repository.is_archived = true);
    }

    /// Deletes a repository with all that is in it.
    pub fn delete_repository(&self, full_name: &str) {
        lock(&self.world).delete_repository(full_name);
    }

    /// Deletes a repository and creates an empty one of the same name, with another number.
    pub fn recreate_repository(&self, full_name: &str) {
        let mut world = lock(&self.world);
        world.delete_repository(full_name);
        world.repository(full_name);
    }

    /// The number of a repository, `None` when there is none of this name.
    pub fn repository_id(&self, full_name: &str) -> Option<i64> {
        lock(&self.world).find(full_name)
    }

    /// Lets the next answer about a repository go wrong; said several times, one answer after the other.
    ///
    /// What is about no repository goes by its path: `/user`, `/orgs/acme/repos`, `/app/installations`.
    pub fn fail_next(&self, repository: &str, fault: Fault) {
        lock(&self.world).faults.entry(repository.to_lowercase()).or_default().push_back(fault);
    }

    /// Lets nothing go wrong any more of what was said with [`Self::fail_next`] about a repository (or a path).
    pub fn forget_faults(&self, repository: &str) {
        lock(&self.world).faults.remove(&repository.to_lowercase());
    }

    /// Lets the next answer of GraphQL go wrong; said several times, one answer after the other.
    pub fn fail_next_graphql(&self, fault: Fault) {
        self.fail_next("/graphql", fault);
    }

    /// Lets every answer about a repository (or a path) have this status, `None` to mend it.
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

    /// The highest number of requests that were under way at once.
    pub fn most_at_once(&self) -> usize {
        lock(&self.world).most_at_once
    }

    /// Forgets the requests received so far.
    pub fn forget_requests(&self) {
        let mut world = lock(&self.world);
        world.requests.clear();
        world.most_at_once = world.under_way;
    }
}

/// A request that has been received and not been answered.
struct UnderWay(Shared);

impl UnderWay {
    fn begin(world: &Shared) -> Self {
        let mut locked = lock(world);
        locked.under_way += 1;
        locked.most_at_once = locked.most_at_once.max(locked.under_way);
        Self(world.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        lock(&self.0).under_way -= 1;
    }
}

async fn serve(State(world): State<Shared>, request: Request<Body>) -> Response {
    let _under_way = UnderWay::begin(&world);
    let (address, layout, latency) = {
        let world = lock(&world);
        (world.address.clone(), world.layout, world.latency)
    };
    let mut call = Call::read(request, &address, layout).await;
    tokio::time::sleep(latency).await;
    let answer = handle(&mut lock(&world), &mut call);
    answer.send()
}

/// Answers, counts, and adds what GitHub says with every answer.
fn handle(world: &mut World, call: &mut Call) -> Answer {
    world.limits.look_at_the_clock();
    let route = Route::of(call);
    let (mut answer, points) = checked(world, &route, call);
    if route == Route::Graphql {
        world.limits.graphql.spend(points);
    } else {
        world.limits.core.spend(points);
    }
    world.requests.push(recorded(call, &answer));
    world.put_what_is_due();
    world.limits.write(route == Route::Graphql, &mut answer.headers);
    // Proxies and sites answer in HTML, and without what the API says of itself.
    if answer.is_json() {
        answer = answer.saying("x-github-media-type", "github.v3; format=json");
        if world.layout == Layout::EnterpriseServer {
            answer = answer.saying("x-github-enterprise-version", "3.19.0");
        }
    }
    if call.token().is_some_and(|token| token.starts_with("ghp_")) {
        answer = answer.saying("x-oauth-scopes", "read:org, repo");
    }
    match &world.token_expiration {
        Some(expiration) => answer.saying("github-authentication-token-expiration", expiration),
        None => answer,
    }
}

fn recorded(call: &Call, answer: &Answer) -> RecordedRequest {
    RecordedRequest {
        method: call.method.to_string(),
        path: call.target.clone(),
        token: call.token().map(str::to_owned),
        api_version: call.api_version().map(str::to_owned),
        etag: call.header(header::IF_NONE_MATCH).map(str::to_owned),
        body: (call.method == Method::POST).then(|| call.body.clone()),
        status: answer.status_sent(),
    }
}

/// Checks what GitHub checks first and lets faults happen. The answer, and what it costs.
fn checked(world: &mut World, route: &Route, call: &mut Call) -> (Answer, u32) {
    if call.path.is_empty() {
        return (Answer::of_the_site(), 0);
    }
    if let Some(refusal) = refusal(world, route, call) {
        return refusal;
    }
    let subject = route.subject(world, call);
    let fault = world.faults.get_mut(&subject).and_then(std::collections::VecDeque::pop_front);
    if let Some(fault) = fault {
        call.wants_all = true;
        let answer = crate::faults::faulty(&fault, || answered(world, route, call).0);
        let points = points_for(route, &answer);
        return (answer, points);
    }
    if let Some(refused) = route.owner(world).and_then(|owner| world.refused.get(&owner.to_lowercase())) {
        return (refused.answer(), 1);
    }
    if let Some(status) = world.broken.get(&subject) {
        let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return (Answer::error(status, "Broken by request"), 1);
    }
    answered(world, route, call)
}

fn refusal(world: &World, route: &Route, call: &Call) -> Option<(Answer, u32)> {
    if !crate::apps::knows_token(world, call) {
        return Some((Answer::error(StatusCode::UNAUTHORIZED, "Bad credentials"), 1));
    }
    if crate::apps::is_suspended(world, call) {
        return Some((Refused::Installation.answer(), 1));
    }
    if call.header(header::USER_AGENT).is_none_or(str::is_empty) {
        let message =
            "Request forbidden by administrative rules. Please make sure your request has a User-Agent header";
        return Some((Answer::error(StatusCode::FORBIDDEN, message), 1));
    }
    if !call.has_known_version() {
        return Some((Answer::error(StatusCode::BAD_REQUEST, "Bad Request: unsupported API version"), 1));
    }
    if *route == Route::Graphql && call.token().is_none() {
        return Some((crate::graphql::without_a_token(), 0));
    }
    let limits = &world.limits;
    match route {
        _ if limits.are_hidden => None,
        Route::RateLimit => None,
        Route::Graphql => limits.graphql.is_used_up().then(|| (crate::graphql::used_up(), 0)),
        _ if limits.core.is_used_up() => {
            Some((Answer::error(StatusCode::FORBIDDEN, "API rate limit exceeded for user ID 1."), 0))
        }
        _ => None,
    }
}

fn answered(world: &mut World, route: &Route, call: &Call) -> (Answer, u32) {
    if *route == Route::Graphql {
        return crate::graphql::answer(world, call);
    }
    let answer = crate::rest::answer(world, route, call);
    let points = points_for(route, &answer);
    (answer, points)
}

/// What is the same as before costs nothing, nor does asking what is left.
fn points_for(route: &Route, answer: &Answer) -> u32 {
    u32::from(answer.status != StatusCode::NOT_MODIFIED && *route != Route::RateLimit)
}
