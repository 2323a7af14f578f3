//! The REST responses, and the routes to them.

use axum::http::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::FakeUser;
use crate::answer::{Answer, Page};
use crate::app::TOKEN_PREFIX;
use crate::apps;
use crate::call::Call;
use crate::contract::{self, Links};
use crate::listing;
use crate::pages::Paging;
use crate::team;
use crate::world::{PullRequestList, Repository, World, is_organization};

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    Repository(Place, Thing),
    Graphql,
    /// The account of the token.
    Me,
    Account(String),
    Repositories {
        owner: Owner,
        of_organization: bool,
    },
    /// Teams of an organization, or members.
    Teams(Owner, TeamList),
    /// The repositories that the token's account may see.
    MyRepositories,
    /// The repositories that the App's installation has access to.
    GivenRepositories,
    RateLimit,
    /// The server's own metadata.
    Meta,
    Installations,
    AccessTokens(i64),
    Unknown,
}

/// How a request names a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Name(String),
    Id(i64),
}

/// How a request names an owner. The links of a list use the number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    Login(String),
    Id(i64),
}

/// A list of teams or of people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TeamList {
    Teams,
    /// Of the team with this slug, or number.
    MembersOf(String),
    /// Of the organization.
    Members,
}

impl Owner {
    pub(crate) fn account(&self, world: &World) -> Option<FakeUser> {
        match self {
            Self::Login(login) => world.user(login),
            Self::Id(id) => world.user_of_id(*id),
        }
    }
}

/// A resource of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thing {
    Itself,
    PullRequests,
    PullRequest(i64),
    Deployments,
    Deployment(i64),
    DeploymentStatuses(i64),
    Issues,
    Workflows,
    /// The runs of all workflows.
    AllRuns,
    /// The runs of the workflow that the path names.
    Runs,
    /// A run and an attempt of it.
    RunAttempt(i64, usize),
}

impl Thing {
    fn is_of_pull_requests(self) -> bool {
        matches!(self, Self::PullRequests | Self::PullRequest(_))
    }

    fn is_of_actions(self) -> bool {
        matches!(self, Self::Workflows | Self::AllRuns | Self::Runs | Self::RunAttempt(..))
    }

    fn is_of_deployments(self) -> bool {
        matches!(self, Self::Deployments | Self::Deployment(_) | Self::DeploymentStatuses(_))
    }
}

impl Route {
    pub(crate) fn of(call: &Call) -> Self {
        let segments: Vec<&str> = call.path.split('/').skip(1).collect();
        match (&call.method, &segments[..]) {
            (&Method::POST, ["graphql"]) => Self::Graphql,
            (&Method::POST, ["app", "installations", id, "access_tokens"]) => {
                id.parse().map_or(Self::Unknown, Self::AccessTokens)
            }
            (&Method::GET, ["repos", owner, name, rest @ ..]) => {
                Self::in_repository(Place::Name(format!("{owner}/{name}")), rest)
            }
            (&Method::GET, ["repositories", id, rest @ ..]) => {
                id.parse().map_or(Self::Unknown, |id| Self::in_repository(Place::Id(id), rest))
            }
            (&Method::GET, [kind @ ("orgs" | "users"), owner, "repos"]) => {
                Self::Repositories { owner: Owner::Login((*owner).to_owned()), of_organization: *kind == "orgs" }
            }
            (&Method::GET, [kind @ ("organizations" | "user"), id, "repos"]) => {
                id.parse().map_or(Self::Unknown, |id| Self::Repositories {
                    owner: Owner::Id(id),
                    of_organization: *kind == "organizations",
                })
            }
            (&Method::GET, ["orgs", login, rest @ ..]) => Self::of_teams(Owner::Login((*login).to_owned()), rest),
            (&Method::GET, ["organizations", id, rest @ ..]) => {
                id.parse().map_or(Self::Unknown, |id| Self::of_teams(Owner::Id(id), rest))
            }
            (&Method::GET, ["users", login]) => Self::Account((*login).to_owned()),
            (&Method::GET, ["user"]) => Self::Me,
            (&Method::GET, ["user", "repos"]) => Self::MyRepositories,
            (&Method::GET, ["installation", "repositories"]) => Self::GivenRepositories,
            (&Method::GET, ["rate_limit"]) => Self::RateLimit,
            (&Method::GET, ["meta"]) => Self::Meta,
            (&Method::GET, ["app", "installations"]) => Self::Installations,
            _ => Self::Unknown,
        }
    }

    fn of_teams(organization: Owner, rest: &[&str]) -> Self {
        match rest {
            ["teams"] => Self::Teams(organization, TeamList::Teams),
            ["members"] => Self::Teams(organization, TeamList::Members),
            ["teams" | "team", team, "members"] => Self::Teams(organization, TeamList::MembersOf((*team).to_owned())),
            _ => Self::Unknown,
        }
    }

    fn in_repository(place: Place, rest: &[&str]) -> Self {
        let thing = match rest {
            [] => Thing::Itself,
            ["pulls"] => Thing::PullRequests,
            ["pulls", number] => match number.parse() {
                Ok(number) => Thing::PullRequest(number),
                Err(_) => return Self::Unknown,
            },
            ["issues"] => Thing::Issues,
            ["deployments"] => Thing::Deployments,
            ["deployments", id] => match id.parse() {
                Ok(id) => Thing::Deployment(id),
                Err(_) => return Self::Unknown,
            },
            ["deployments", id, "statuses"] => match id.parse() {
                Ok(id) => Thing::DeploymentStatuses(id),
                Err(_) => return Self::Unknown,
            },
            ["actions", "workflows"] => Thing::Workflows,
            ["actions", "workflows", _, "runs"] => Thing::Runs,
            ["actions", "runs"] => Thing::AllRuns,
            ["actions", "runs", id, "attempts", attempt] => match (id.parse(), attempt.parse()) {
                (Ok(id), Ok(attempt)) => Thing::RunAttempt(id, attempt),
                _ => return Self::Unknown,
            },
            _ => return Self::Unknown,
        };
        Self::Repository(place, thing)
    }

    /// The owner that a request is about, if it is about a single one.
    pub(crate) fn owner(&self, world: &World) -> Option<String> {
        match self {
            Self::Repository(Place::Name(name), _) => name.split('/').next().map(str::to_owned),
            Self::Repository(Place::Id(id), _) => {
                world.repositories.get(id).map(|repository| repository.owner().to_owned())
            }
            Self::Repositories { owner, .. } | Self::Teams(owner, _) => {
                owner.account(world).map(|account| account.login)
            }
            _ => None,
        }
    }

    /// The key of faults: the repository's name as in the request, else the path; in lower case.
    pub(crate) fn subject(&self, world: &World, call: &Call) -> String {
        match self {
            Self::Repository(Place::Name(name), _) => name.to_lowercase(),
            Self::Repository(Place::Id(id), _) => {
                world.repositories.get(id).map(|repository| repository.full_name.to_lowercase()).unwrap_or_default()
            }
            Self::Graphql => "/graphql".to_owned(),
            Self::Repositories { owner, of_organization } => {
                let login = owner.account(world).map(|account| account.login.to_lowercase()).unwrap_or_default();
                format!("/{}/{login}/repos", if *of_organization { "orgs" } else { "users" })
            }
            _ => call.path.to_lowercase(),
        }
    }
}

/// The response to a valid REST request.
pub(crate) fn answer(world: &mut World, route: &Route, call: &Call) -> Answer {
    match route {
        Route::Repository(place, thing) => in_repository(world, place, *thing, call),
        Route::Me => me(world, call),
        Route::Account(login) => match world.user(login) {
            Some(user) => found(call, &contract::account(&call.api, &user)),
            None => Answer::not_found(),
        },
        Route::Repositories { owner, of_organization } => repositories(world, owner, *of_organization, call),
        Route::Teams(owner, list) => team::answer(world, owner, list, call),
        Route::MyRepositories => my_repositories(world, call),
        Route::GivenRepositories => given_repositories(world, call),
        Route::RateLimit => rate_limit(world, call),
        Route::Meta => found(call, &json!({ "verifiable_password_authentication": false })),
        Route::Installations => apps::installations(world, call),
        Route::AccessTokens(installation) => apps::access_token(world, *installation, call),
        Route::Graphql | Route::Unknown => Answer::not_found(),
    }
}

fn found(call: &Call, value: &Value) -> Answer {
    Answer::conditional(call, &Page::of(value, call.accepts_gzip()))
}

fn in_repository(world: &mut World, place: &Place, thing: Thing, call: &Call) -> Answer {
    let id = match place {
        Place::Id(id) => *id,
        Place::Name(name) => match (world.find(name), world.find_by_former_name(name)) {
            (Some(id), _) => id,
            (None, Some(id)) => return moved(id, call),
            (None, None) => return Answer::not_found(),
        },
    };
    let Some(repository) = world.repositories.get(&id) else { return Answer::not_found() };
    if !apps::may_see_repository(world, call, repository) {
        return Answer::not_found();
    }
    if repository.list == PullRequestList::SwitchedOff && thing.is_of_pull_requests() {
        return Answer::not_found();
    }
    if repository.are_deployments_hidden && thing.is_of_deployments() {
        return Answer::not_found();
    }
    if repository.are_issues_hidden && thing == Thing::Issues {
        return Answer::not_found();
    }
    if repository.are_actions_hidden && thing.is_of_actions() {
        return Answer::not_found();
    }
    if matches!(thing, Thing::PullRequest(number) if repository.hidden.contains(&number)) {
        return Answer::not_found();
    }
    if let Thing::PullRequest(number) = thing
        && let Some(status) = repository.unreadable.get(&number)
    {
        return Answer::error(StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY), "Server Error");
    }
    let links = Links::to(world, id, repository, call);
    match thing {
        Thing::Itself => found(call, &links.full_repository()),
        Thing::PullRequests => listing::pull_requests(world, id, call),
        Thing::PullRequest(number) => match repository.pull_requests.get(&number) {
            Some(pull_request) => found(call, &links.full_pull_request(pull_request)),
            None => Answer::not_found(),
        },
        Thing::Issues => listing::issues(repository, id, &links, call),
        Thing::Workflows => {
            let workflows: Vec<Value> = repository.workflows().into_iter().map(|file| links.workflow(file)).collect();
            found(call, &json!({ "total_count": workflows.len(), "workflows": workflows }))
        }
        Thing::AllRuns => listing::runs(repository, None, id, &links, call),
        Thing::Runs => {
            let file = call.path.split('/').rev().nth(1).unwrap_or_default();
            listing::runs(repository, Some(file), id, &links, call)
        }
        Thing::RunAttempt(run, attempt) => {
            let run = repository.runs.get(&run).filter(|run| (1..=run.attempts.len()).contains(&attempt));
            run.map_or_else(Answer::not_found, |run| found(call, &links.run(run, attempt)))
        }
        Thing::Deployments => listing::deployments(repository, id, &links, call),
        Thing::Deployment(number) => match repository.deployment(number) {
            Some(deployment) => found(call, &links.deployment(&deployment)),
            None => Answer::not_found(),
        },
        Thing::DeploymentStatuses(number) => match repository.deployment(number) {
            Some(deployment) => listing::deployment_statuses(&deployment, id, &links, call),
            None => Answer::not_found(),
        },
    }
}

fn moved(id: i64, call: &Call) -> Answer {
    // Below `/repos/owner/name`.
    let rest = call.path.splitn(5, '/').nth(4).map(|rest| format!("/{rest}")).unwrap_or_default();
    let query = if call.query.is_empty() { String::new() } else { format!("?{}", call.query) };
    Answer::moved(&format!("{}/repositories/{id}{rest}{query}", call.api))
}

fn me(world: &World, call: &Call) -> Answer {
    match call.token() {
        None => Answer::error(StatusCode::UNAUTHORIZED, "Requires authentication"),
        Some(token) if token.starts_with(TOKEN_PREFIX) => {
            Answer::error(StatusCode::FORBIDDEN, "Resource not accessible by integration")
        }
        Some(_) => found(call, &contract::account(&call.api, &world.token_owner)),
    }
}

/// `GET /user/repos`: includes private ones, filtered by affiliation.
fn my_repositories(world: &World, call: &Call) -> Answer {
    let me = match call.token() {
        None => return Answer::error(StatusCode::UNAUTHORIZED, "Requires authentication"),
        Some(_) if apps::is_of_installation(call) => {
            return Answer::error(StatusCode::FORBIDDEN, "Resource not accessible by integration");
        }
        Some(_) => &world.token_owner.login,
    };
    let affiliation = call.parameter("affiliation").unwrap_or("owner,collaborator,organization_member");
    let wanted: Vec<&str> = affiliation.split(',').collect();
    if wanted.iter().any(|one| !matches!(*one, "owner" | "collaborator" | "organization_member")) {
        return Answer::error(
            StatusCode::UNPROCESSABLE_ENTITY,
            &format!("Validation Failed: affiliation: {affiliation}"),
        );
    }
    let is_wanted = |repository: &Repository| {
        let how = if repository.owner().eq_ignore_ascii_case(me) {
            "owner"
        } else if repository.collaborators.contains(&me.to_lowercase()) {
            "collaborator"
        } else if is_organization(&world.owner_of(repository)) {
            "organization_member"
        } else {
            return false;
        };
        wanted.contains(&how)
    };
    let items = by_name(world, is_wanted);
    let query = call.parameter("affiliation").map(|_| format!("affiliation={affiliation}&")).unwrap_or_default();
    page_of(world, call, &items, &format!("{}/user/repos", call.api), &query, Value::Array)
}

/// `GET /installation/repositories`.
fn given_repositories(world: &World, call: &Call) -> Answer {
    if !apps::is_of_installation(call) {
        let message = "You must authenticate with an installation access token in order to list repositories for an installation.";
        return Answer::error(StatusCode::FORBIDDEN, message);
    }
    let items = by_name(world, |repository| apps::may_see(world, call, repository.owner()));
    let count = items.len();
    let wrapped =
        |items| json!({ "total_count": count, "repository_selection": "all", "repositories": Value::Array(items) });
    page_of(world, call, &items, &format!("{}/installation/repositories", call.api), "", wrapped)
}

/// Repositories with their numbers, ordered by name.
fn by_name(world: &World, is_wanted: impl Fn(&Repository) -> bool) -> Vec<(i64, &Repository)> {
    let all = world.repositories.iter().map(|(id, repository)| (*id, repository));
    let mut items: Vec<_> = all.filter(|(_, repository)| is_wanted(repository)).collect();
    items.sort_by_key(|(_, repository)| repository.full_name.to_lowercase());
    items
}

fn page_of(
    world: &World,
    call: &Call,
    items: &[(i64, &Repository)],
    address: &str,
    query: &str,
    wrapped: impl FnOnce(Vec<Value>) -> Value,
) -> Answer {
    let paging = Paging::of(call);
    let (listed, pages) = paging.cut(items);
    let items = listed.iter().map(|(id, repository)| Links::to(world, *id, repository, call).repository()).collect();
    let answer = found(call, &wrapped(items));
    match paging.link(address, query, pages) {
        Some(link) if answer.status == StatusCode::OK => answer.with(header::LINK, &link),
        _ => answer,
    }
}

/// An organization's repositories are private. A person's private ones are not listed to anyone.
fn repositories(world: &World, owner: &Owner, of_organization: bool, call: &Call) -> Answer {
    let Some(account) = owner.account(world) else { return Answer::not_found() };
    let is_organization = is_organization(&account);
    if of_organization && !is_organization {
        return Answer::not_found();
    }
    let kind = call.parameter("type").unwrap_or("all");
    let is_any_listed = match (of_organization, kind) {
        (true, "all" | "private" | "sources") => apps::may_see(world, call, &account.login),
        (false, "all" | "owner") => !is_organization,
        (true, "public" | "forks" | "member") | (false, "member") => false,
        _ => return Answer::error(StatusCode::UNPROCESSABLE_ENTITY, &format!("Validation Failed: type: {kind}")),
    };
    let mut listed: Vec<_> = world
        .repositories
        .iter()
        .filter(|(_, repository)| is_any_listed && repository.owner().eq_ignore_ascii_case(&account.login))
        .filter(|(_, repository)| of_organization || !repository.is_private)
        .collect();
    let by_name =
        call.parameter("sort").unwrap_or(if of_organization { "created" } else { "full_name" }) == "full_name";
    if by_name {
        listed.sort_by_key(|(_, repository)| repository.full_name.to_lowercase());
    }
    if call.parameter("direction").map_or(!by_name, |direction| direction == "desc") {
        listed.reverse();
    }
    let paging = Paging::of(call);
    let (listed, pages) = paging.cut(&listed);
    let items: Vec<Value> =
        listed.iter().map(|(id, repository)| Links::to(world, **id, repository, call).repository()).collect();
    let answer = found(call, &Value::Array(items));
    let collection = if of_organization { "organizations" } else { "user" };
    let query: String = ["type", "sort", "direction"]
        .iter()
        .filter_map(|name| call.parameter(name).map(|value| format!("{name}={value}&")))
        .collect();
    let address = format!("{}/{collection}/{}/repos", call.api, account.id);
    match paging.link(&address, &query, pages) {
        Some(link) if answer.status == StatusCode::OK => answer.with(header::LINK, &link),
        _ => answer,
    }
}

fn rate_limit(world: &World, call: &Call) -> Answer {
    let limits = &world.limits;
    if limits.are_hidden {
        return Answer::error(StatusCode::NOT_FOUND, "Rate limiting is not enabled.");
    }
    let core = limits.core.json();
    let graphql = match call.token() {
        Some(_) => limits.graphql.json(),
        None => json!({ "limit": 0, "used": 0, "remaining": 0, "reset": limits.graphql.reset() }),
    };
    let search = json!({ "limit": 30, "used": 0, "remaining": 30, "reset": limits.core.reset() });
    let mut body = json!({ "resources": { "core": core, "graphql": graphql, "search": search } });
    if !call.is_slim_version() {
        body["rate"] = limits.core.json();
    }
    Answer::json(StatusCode::OK, &body)
}
