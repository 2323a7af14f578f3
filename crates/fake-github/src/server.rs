//! An HTTP server that follows GitHub's contract.

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
use crate::app::App;
use crate::call::{Call, Layout};
use crate::faults::{Fault, Refused};
use crate::rest::Route;
use crate::synthetic::Organization;
use crate::world::{PullRequestList, World};
use crate::{
    FakeDeployment, FakeGitCommit, FakeIssue, FakePullRequest, FakeRelease, FakeRun, FakeTag, FakeTeam, FakeUser,
};

/// A request that the fake received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedRequest {
    /// `GET` or `POST`.
    pub method: String,
    /// Path with query.
    pub path: String,
    /// The token of the request.
    pub token: Option<String>,
    /// The requested API version.
    pub api_version: Option<String>,
    /// The `ETag` in `If-None-Match`.
    pub etag: Option<String>,
    /// The request body.
    pub body: Option<String>,
    /// The status of the response; 0 if the connection ended without a response.
    pub status: u16,
}

type Shared = Arc<Mutex<World>>;

/// A running fake GitHub. It stops when dropped.
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
    /// Starts an empty GitHub with the layout of api.github.com, on a free loopback port.
    ///
    /// # Errors
    /// If no port is available.
    pub async fn start() -> io::Result<Self> {
        Self::start_as(Layout::Cloud).await
    }

    /// Starts an empty GitHub with this layout on a free loopback port.
    ///
    /// # Errors
    /// If no port is available.
    pub async fn start_as(layout: Layout) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let world = Arc::new(Mutex::new(World::new(format!("http://{}", listener.local_addr()?), layout)));
        let router = Router::new().fallback(serve).with_state(world.clone());
        let server = tokio::spawn(async move {
            // Ends with the task, so the result is dropped.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { world, server })
    }

    /// A token that is valid as long as no particular one is required.
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

    /// Accepts only requests with this token; the previous token is revoked.
    pub fn require_token(&self, token: &str) {
        lock(&self.world).token = Some(token.to_owned());
    }

    /// The token that is accepted.
    pub(crate) fn accepted_token(&self) -> String {
        lock(&self.world).token.clone().unwrap_or_else(|| Self::TOKEN.to_owned())
    }

    /// Accepts requests without a token, except for GraphQL.
    pub fn require_no_token(&self) {
        lock(&self.world).token = None;
    }

    /// Sets the account of the token.
    pub fn set_token_owner(&self, user: FakeUser) {
        lock(&self.world).token_owner = user;
    }

    /// Sets the token expiration in all responses, for example `2026-12-31 10:00:00 UTC`.
    pub fn set_token_expiration(&self, expiration: Option<&str>) {
        lock(&self.world).token_expiration = expiration.map(str::to_owned);
    }

    /// Installs a GitHub App for these owners. From now on a request needs an installation token or the required one.
    pub fn install_app(&self, app_id: &str, owners: &[&str]) {
        lock(&self.world).app = Some(App::new(app_id, owners));
    }

    /// Expires all installation tokens so far.
    pub fn expire_installation_tokens(&self) {
        if let Some(app) = &mut lock(&self.world).app {
            app.expire_tokens();
        }
    }

    /// Suspends or resumes the App's installation for an owner.
    pub fn suspend_installation(&self, owner: &str, is_suspended: bool) {
        if let Some(app) = &mut lock(&self.world).app {
            app.suspend(owner, is_suspended);
        }
    }

    /// Refuses all requests about an owner, for any token, until further notice; `None` accepts them again.
    pub fn refuse_owner(&self, owner: &str, refused: Option<Refused>) {
        let mut world = lock(&self.world);
        match refused {
            Some(refused) => world.refused.insert(owner.to_lowercase(), refused),
            None => world.refused.remove(&owner.to_lowercase()),
        };
    }

    /// Delays every response by this time.
    pub fn set_latency(&self, latency: Duration) {
        lock(&self.world).latency = latency;
    }

    /// Sets the REST limit and how much of it is used, and starts a new window.
    pub fn set_rate_limit(&self, limit: u32, used: u32) {
        lock(&self.world).limits.set_core(limit, used);
    }

    /// Sets the GraphQL limit in points and how much of it is used, and starts a new window.
    pub fn set_graphql_rate_limit(&self, limit: u32, used: u32) {
        lock(&self.world).limits.set_graphql(limit, used);
    }

    /// Sets the length of the rate limit windows, from the next request on. At the end of a window, its usage resets.
    pub fn set_reset_in(&self, window: Duration) {
        lock(&self.world).limits.set_window(window);
    }

    /// Hides the rate limit and its headers, like an Enterprise server without limits.
    pub fn hide_rate_limit_headers(&self, are_hidden: bool) {
        lock(&self.world).limits.are_hidden = are_hidden;
    }

    /// Makes GraphQL refuse more than this many ids in one query.
    pub fn limit_graphql_nodes(&self, nodes: usize) {
        lock(&self.world).graphql_nodes = nodes;
    }

    /// Makes GraphQL list at most this many commits of a pull request, although it counts all of them.
    pub fn limit_listed_commits(&self, commits: usize) {
        lock(&self.world).listed_commits = commits;
    }

    /// Makes GraphQL's pages loop: every cursor is the same.
    pub fn repeat_cursors(&self) {
        lock(&self.world).is_every_cursor_the_same = true;
    }

    /// Withholds commits from now on, as for a token without *Contents* in a private repository.
    pub fn withhold_commits(&self) {
        lock(&self.world).are_commits_withheld = true;
    }

    /// Creates an empty repository, unless it exists.
    pub fn add_repository(&self, full_name: &str) {
        lock(&self.world).repository(full_name);
    }

    /// Creates an account or changes the one with its number. Owners without an account are organizations.
    pub fn add_user(&self, user: FakeUser) {
        lock(&self.world).add_user(user);
    }

    /// Creates teams of organizations, or replaces those with the same slug.
    pub fn put_teams(&self, teams: impl IntoIterator<Item = FakeTeam>) {
        let mut world = lock(&self.world);
        for team in teams {
            world.put_team(team);
        }
    }

    /// Deletes a team. Those in it stay, in no other team.
    pub fn delete_team(&self, organization: &str, slug: &str) {
        let mut world = lock(&self.world);
        let is_of = |team: &FakeTeam| team.organization.eq_ignore_ascii_case(organization);
        world.teams.retain(|team| !(is_of(team) && team.slug == slug));
        for team in world.teams.iter_mut().filter(|team| is_of(team) && team.parent.as_deref() == Some(slug)) {
            team.parent = None;
        }
    }

    /// Makes an account a member of an organization, in no team.
    pub fn add_organization_member(&self, organization: &str, user: FakeUser) {
        lock(&self.world).organization_members.push((organization.to_lowercase(), user));
    }

    /// Creates or replaces pull requests, and their repositories.
    ///
    /// If another repository, even a deleted one, already uses the number across all of GitHub, the pull request gets
    /// another number.
    pub fn put(&self, pull_requests: impl IntoIterator<Item = FakePullRequest>) {
        let mut world = lock(&self.world);
        for pull_request in pull_requests {
            world.put(pull_request);
        }
    }

    /// Creates or replaces a pull request after this many more responses.
    pub fn put_after(&self, answers: u32, pull_request: FakePullRequest) {
        lock(&self.world).pending.push_back((answers, pull_request));
    }

    /// Creates or replaces deployments, and their repositories. A success makes earlier deployments inactive.
    pub fn put_deployments(&self, deployments: impl IntoIterator<Item = FakeDeployment>) {
        let mut world = lock(&self.world);
        for deployment in deployments {
            world.change(&deployment.repository.clone(), |repository| {
                repository.deployments.insert(deployment.id, deployment);
            });
        }
    }

    /// Deletes a deployment.
    pub fn delete_deployment(&self, repository: &str, id: i64) {
        lock(&self.world).change(repository, |repository| drop(repository.deployments.remove(&id)));
    }

    /// Makes a repository's deployments not found, as for a token without *Deployments*.
    pub fn hide_deployments(&self, repository: &str, are_hidden: bool) {
        lock(&self.world).change(repository, |repository| repository.are_deployments_hidden = are_hidden);
    }

    /// Creates or replaces runs of workflows.
    pub fn put_runs(&self, runs: impl IntoIterator<Item = FakeRun>) {
        let mut world = lock(&self.world);
        for run in runs {
            world.change(&run.repository.clone(), |repository| {
                repository.runs.insert(run.id, run);
            });
        }
    }

    /// Deletes a run, as GitHub does when it is old.
    pub fn delete_run(&self, repository: &str, id: i64) {
        lock(&self.world).change(repository, |repository| drop(repository.runs.remove(&id)));
    }

    /// Makes a repository's workflows not found, as for a token without *Actions*.
    pub fn hide_actions(&self, repository: &str, are_hidden: bool) {
        lock(&self.world).change(repository, |repository| repository.are_actions_hidden = are_hidden);
    }

    /// Creates or replaces releases.
    pub fn put_releases(&self, releases: impl IntoIterator<Item = FakeRelease>) {
        let mut world = lock(&self.world);
        for release in releases {
            world.change(&release.repository.clone(), |repository| {
                repository.releases.insert(release.id, release);
            });
        }
    }

    /// Deletes a release. Its tag stays.
    pub fn delete_release(&self, repository: &str, id: i64) {
        lock(&self.world).change(repository, |repository| drop(repository.releases.remove(&id)));
    }

    /// Creates or moves tags.
    pub fn put_tags(&self, tags: impl IntoIterator<Item = FakeTag>) {
        let mut world = lock(&self.world);
        for tag in tags {
            world.change(&tag.repository.clone(), |repository| {
                repository.tags.insert(tag.name.clone(), tag);
            });
        }
    }

    /// Adds commits to a repository's history.
    pub fn put_commits(&self, repository: &str, commits: impl IntoIterator<Item = FakeGitCommit>) {
        lock(&self.world).change(repository, |repository| repository.commits.extend(commits));
    }

    /// Adds all that a made-up organization has.
    pub fn put_organization(&self, organization: &Organization) {
        self.put(organization.pull_requests.iter().cloned());
        for (repository, commits) in &organization.commits {
            self.put_commits(repository, commits.iter().cloned());
        }
        self.put_deployments(organization.deployments.iter().cloned());
        self.put_issues(organization.issues.iter().cloned());
        self.put_teams(organization.teams.iter().cloned());
    }

    /// Removes a commit, as after a branch was overwritten and GitHub cleaned up.
    pub fn remove_commit(&self, repository: &str, oid: &str) {
        lock(&self.world).change(repository, |repository| repository.commits.remove(oid));
    }

    /// Creates or replaces issues.
    pub fn put_issues(&self, issues: impl IntoIterator<Item = FakeIssue>) {
        let mut world = lock(&self.world);
        for issue in issues {
            world.change(&issue.repository.clone(), |repository| {
                repository.issues.insert(issue.number, issue);
            });
        }
    }

    /// Makes a repository's issues not found, as for a token without *Issues*.
    pub fn hide_issues(&self, repository: &str, are_hidden: bool) {
        lock(&self.world).change(repository, |repository| repository.are_issues_hidden = are_hidden);
    }

    /// Deletes an issue, as a maintainer may.
    pub fn delete_issue(&self, repository: &str, number: i64) {
        lock(&self.world).change(repository, |repository| {
            repository.issues.remove(&number);
        });
    }

    /// Deletes a pull request, as GitHub's support does.
    pub fn delete_pull_request(&self, repository: &str, number: i64) {
        lock(&self.world).change(repository, |repository| {
            repository.pull_requests.remove(&number);
        });
    }

    /// Deletes a pull request after this many more responses.
    pub fn delete_after(&self, answers: u32, repository: &str, number: i64) {
        lock(&self.world).vanishing.push_back((answers, repository.to_owned(), Some(number)));
    }

    /// Deletes a repository after this many more responses.
    pub fn delete_repository_after(&self, answers: u32, full_name: &str) {
        lock(&self.world).vanishing.push_back((answers, full_name.to_owned(), None));
    }

    /// Gives this status to every response that would show a pull request, in a list or alone; `None` repairs it.
    pub fn break_pull_request(&self, repository: &str, number: i64, status: Option<u16>) {
        lock(&self.world).change(repository, |repository| match status {
            Some(status) => drop(repository.unreadable.insert(number, status)),
            None => drop(repository.unreadable.remove(&number)),
        });
    }

    /// Gives this status to every list that would show a pull request, although it can be read alone; `None` repairs
    /// it.
    pub fn break_in_lists(&self, repository: &str, number: i64, status: Option<u16>) {
        lock(&self.world).change(repository, |repository| match status {
            Some(status) => drop(repository.unlistable.insert(number, status)),
            None => drop(repository.unlistable.remove(&number)),
        });
    }

    /// Fails at each query for the files of a pull request, as for differences that take too long to compute, or no longer.
    pub fn break_files(&self, repository: &str, number: i64, is_broken: bool) {
        lock(&self.world).change(repository, |repository| {
            if is_broken {
                repository.slow_files.insert(number)
            } else {
                repository.slow_files.remove(&number)
            };
        });
    }

    /// Makes a pull request appear in lists, but not alone.
    pub fn hide_pull_request(&self, repository: &str, number: i64) {
        lock(&self.world).change(repository, |repository| {
            repository.hidden.insert(number);
        });
    }

    /// Gives this status to lists of pull requests with more than this many per page.
    pub fn limit_page_size(&self, size: usize, status: u16) {
        lock(&self.world).largest_page = Some((size, status));
    }

    /// Switches pull requests off in a repository's settings: the repository exists, but its list is not found.
    pub fn switch_off_pull_requests(&self, repository: &str) {
        lock(&self.world).change(repository, |repository| repository.list = PullRequestList::SwitchedOff);
    }

    /// Makes links to further pages start with another address, as behind a proxy that ends TLS.
    pub fn set_link_address(&self, address: &str) {
        lock(&self.world).links = Some(address.to_owned());
    }

    /// Removes all pull requests from a repository's list. Each of them still exists under its number.
    pub fn empty_list(&self, repository: &str) {
        lock(&self.world).change(repository, |repository| repository.list = PullRequestList::Empty);
    }

    /// Renames or transfers a repository. Its number stays, and the former name redirects until another repository
    /// takes it.
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

    /// Sets when a repository was created. The default is when the first of its pull requests was opened.
    pub fn set_repository_creation(&self, full_name: &str, at: DateTime<Utc>) {
        lock(&self.world).change(full_name, |repository| repository.created_at = Some(at));
    }

    /// Archives a repository.
    pub fn archive_repository(&self, full_name: &str) {
        lock(&self.world).change(full_name, |repository| repository.is_archived = true);
    }

    /// Deletes a repository with everything in it.
    pub fn delete_repository(&self, full_name: &str) {
        lock(&self.world).delete_repository(full_name);
    }

    /// Deletes a repository and creates an empty one with the same name and another number.
    pub fn recreate_repository(&self, full_name: &str) {
        let mut world = lock(&self.world);
        world.delete_repository(full_name);
        world.repository(full_name);
    }

    /// The number of a repository; `None` if there is none with this name.
    pub fn repository_id(&self, full_name: &str) -> Option<i64> {
        lock(&self.world).find(full_name)
    }

    /// Makes the next response about a repository fail. Repeated calls apply to the following responses, one each.
    ///
    /// Requests that are not about a repository are named by their path: `/user`, `/orgs/acme/repos`,
    /// `/app/installations`.
    pub fn fail_next(&self, repository: &str, fault: Fault) {
        lock(&self.world).faults.entry(repository.to_lowercase()).or_default().push_back(fault);
    }

    /// Removes the remaining faults from [`Self::fail_next`] for a repository (or a path).
    pub fn forget_faults(&self, repository: &str) {
        lock(&self.world).faults.remove(&repository.to_lowercase());
    }

    /// Makes the next GraphQL response fail. Repeated calls apply to the following responses, one each.
    pub fn fail_next_graphql(&self, fault: Fault) {
        self.fail_next("/graphql", fault);
    }

    /// Gives this status to every response about a repository (or a path); `None` repairs it.
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

    /// The highest number of requests in flight at once.
    pub fn most_at_once(&self) -> usize {
        lock(&self.world).most_at_once
    }

    /// Clears the requests received so far.
    pub fn forget_requests(&self) {
        let mut world = lock(&self.world);
        world.requests.clear();
        world.most_at_once = world.under_way;
    }
}

/// A request that is in flight.
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

/// Responds, counts the request, and adds the headers that GitHub sends with every response.
fn handle(world: &mut World, call: &mut Call) -> Answer {
    world.limits.start_due_windows();
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
    // Proxies and sites respond with HTML, without the API's headers.
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

/// Applies GitHub's first checks and the faults. Returns the response and its cost.
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

/// An unchanged response is free, and so is asking for the rate limit.
fn points_for(route: &Route, answer: &Answer) -> u32 {
    u32::from(answer.status != StatusCode::NOT_MODIFIED && *route != Route::RateLimit)
}
