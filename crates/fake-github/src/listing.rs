//! Lists in pages, with GitHub's own defaults.

use axum::http::{StatusCode, header};
use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::answer::{Answer, Page};
use crate::call::Call;
use crate::contract::Links;
use crate::pages::{Listing, Order, PageKey, Paging, PullState};
use crate::world::{PullRequestList, Repository, World};
use crate::{FakeDeployment, FakePullRequest};

/// GitHub's maximum page size.
const MAX_PER_PAGE: usize = 100;
/// GitHub's default page size.
const DEFAULT_PER_PAGE: usize = 30;
impl Paging {
    pub(crate) fn of(call: &Call) -> Self {
        let number =
            |name: &str, default: usize| call.parameter(name).and_then(|text| text.parse().ok()).unwrap_or(default);
        Self { per_page: number("per_page", DEFAULT_PER_PAGE).clamp(1, MAX_PER_PAGE), page: number("page", 1).max(1) }
    }

    /// The items on the page, and the number of pages.
    pub(crate) fn cut<T>(self, items: &[T]) -> (&[T], usize) {
        let start = (self.page - 1).saturating_mul(self.per_page).min(items.len());
        let end = start.saturating_add(self.per_page).min(items.len());
        (&items[start..end], items.len().div_ceil(self.per_page))
    }

    /// `prev`, `next`, `last` and `first`, for pages that exist; `None` for a single page.
    pub(crate) fn link(self, address: &str, query: &str, pages: usize) -> Option<String> {
        let Self { page, per_page } = self;
        let relations = [
            ("prev", page - 1, page > 1),
            ("next", page + 1, page < pages),
            ("last", pages, page < pages),
            ("first", 1, page > 1),
        ];
        let links: Vec<String> = relations
            .iter()
            .filter(|(.., is_there)| *is_there)
            .map(|(relation, page, _)| {
                format!("<{address}?{query}per_page={per_page}&page={page}>; rel=\"{relation}\"")
            })
            .collect();
        (!links.is_empty()).then(|| links.join(", "))
    }
}

impl Listing {
    fn parse(call: &Call) -> Result<Self, String> {
        let state = match call.parameter("state") {
            None | Some("open") => PullState::Open,
            Some("closed") => PullState::Closed,
            Some("all") => PullState::All,
            Some(other) => return Err(format!("state: {other}")),
        };
        let by_update = match call.parameter("sort") {
            None | Some("created") => false,
            Some("updated") => true,
            Some(other) => return Err(format!("sort: {other}")),
        };
        let descending = match call.parameter("direction") {
            // Only the default sort defaults to newest first.
            None => !by_update,
            Some("desc") => true,
            Some("asc") => false,
            Some(other) => return Err(format!("direction: {other}")),
        };
        Ok(Self { order: Order { state, by_update, descending }, paging: Paging::of(call) })
    }
}

impl Order {
    fn query(self) -> String {
        let state = match self.state {
            PullState::Open => "open",
            PullState::Closed => "closed",
            PullState::All => "all",
        };
        let sort = if self.by_update { "updated" } else { "created" };
        let direction = if self.descending { "desc" } else { "asc" };
        format!("state={state}&sort={sort}&direction={direction}&")
    }

    fn of(self, repository: &Repository) -> Vec<i64> {
        let mut listed: Vec<&FakePullRequest> = repository
            .pull_requests
            .values()
            .filter(|_| repository.list == PullRequestList::Whole)
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
        listed.into_iter().map(|pull_request| pull_request.number).collect()
    }
}

/// The pull requests of a repository.
pub(crate) fn pull_requests(world: &mut World, id: i64, call: &Call) -> Answer {
    let listing = match Listing::parse(call) {
        Ok(listing) => listing,
        Err(field) => return Answer::error(StatusCode::UNPROCESSABLE_ENTITY, &format!("Validation Failed: {field}")),
    };
    let Some((page, pages)) = kept_or_made(world, id, call, listing) else { return Answer::not_found() };
    if let Some(status) = broken(world, id, listing) {
        return Answer::error(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY), "Server Error");
    }
    let answer = Answer::conditional(call, &page);
    let address = format!("{}/repositories/{id}/pulls", world.links.as_ref().unwrap_or(&call.api));
    match listing.paging.link(&address, &listing.order.query(), pages) {
        Some(link) if answer.status == StatusCode::OK => answer.with(header::LINK, &link),
        _ => answer,
    }
}

/// The deployments of a repository, newest first, filtered as GitHub can: there is no filter by time or state.
pub(crate) fn deployments(repository: &Repository, id: i64, links: &Links<'_>, call: &Call) -> Answer {
    let is_wanted = |name: &str, value: &str| call.parameter(name).is_none_or(|wanted| wanted == value);
    let mut all = repository.all_deployments();
    all.retain(|it| {
        is_wanted("environment", it.latest_environment())
            && is_wanted("sha", &it.sha)
            && is_wanted("ref", "main")
            && is_wanted("task", "deploy")
    });
    let paging = Paging::of(call);
    let (listed, pages) = paging.cut(&all);
    let items: Vec<Value> = listed.iter().map(|it| links.deployment(it)).collect();
    let address = format!("{}/repositories/{id}/deployments", call.api);
    let query: String = ["sha", "ref", "task", "environment"]
        .iter()
        .filter_map(|name| call.parameter(name).map(|value| format!("{name}={value}&")))
        .collect();
    page(&items, paging.link(&address, &query, pages), call)
}

/// A filtered list of runs ends after this many.
const MOST_FILTERED: usize = 1_000;

/// The runs of a workflow, or of all of them, newest first, filtered as GitHub can by branch, event and creation.
pub(crate) fn runs(repository: &Repository, workflow: Option<&str>, id: i64, links: &Links<'_>, call: &Call) -> Answer {
    if workflow.is_some_and(|workflow| !repository.workflows().contains(workflow)) {
        return Answer::not_found();
    }
    let branch = call.parameter("branch").map(decoded);
    let created = call.parameter("created").map(decoded);
    let Ok(created) = created.as_deref().map(Created::parse).transpose() else {
        return Answer::error(StatusCode::UNPROCESSABLE_ENTITY, "Validation Failed: created");
    };
    let mut all = repository.all_runs();
    all.retain(|run| {
        workflow.is_none_or(|file| file == run.workflow)
            && branch.as_ref().is_none_or(|branch| *branch == run.branch)
            && call.parameter("event").is_none_or(|event| event == run.event)
            && created.is_none_or(|created| created.has(run.created_at))
    });
    if branch.is_some() || created.is_some() || call.parameter("event").is_some() {
        all.truncate(MOST_FILTERED);
    }
    let paging = Paging::of(call);
    let (listed, pages) = paging.cut(&all);
    let runs: Vec<Value> = listed.iter().map(|run| links.run(run, run.attempts.len())).collect();
    let body = serde_json::json!({ "total_count": all.len(), "workflow_runs": runs });
    let below = workflow.map_or_else(|| "runs".to_owned(), |file| format!("workflows/{file}/runs"));
    let address = format!("{}/repositories/{id}/actions/{below}", call.api);
    let query: String = ["branch", "event", "created"]
        .iter()
        .filter_map(|name| call.parameter(name).map(|value| format!("{name}={value}&")))
        .collect();
    let answer = Answer::conditional(call, &Page::of(&body, call.accepts_gzip()));
    match paging.link(&address, &query, pages) {
        Some(link) if answer.status == StatusCode::OK => answer.with(header::LINK, &link),
        _ => answer,
    }
}

/// A filter by creation: `>=INSTANT` or `INSTANT..INSTANT`, both ends included.
#[derive(Clone, Copy)]
struct Created {
    since: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
}

impl Created {
    fn parse(text: &str) -> Result<Self, chrono::ParseError> {
        match text.split_once("..") {
            Some((since, until)) => Ok(Self { since: since.parse()?, until: Some(until.parse()?) }),
            None => Ok(Self { since: text.trim_start_matches(">=").parse()?, until: None }),
        }
    }

    fn has(self, at: DateTime<Utc>) -> bool {
        at >= self.since && self.until.is_none_or(|until| at <= until)
    }
}

/// A value of a query as it was before it was put into an address.
fn decoded(encoded: &str) -> String {
    let pair = format!("value={encoded}");
    url::form_urlencoded::parse(pair.as_bytes()).map(|(_, value)| value.into_owned()).collect()
}

/// A label as it was before it was put into an address.
fn plain(encoded: &str) -> String {
    decoded(encoded).to_lowercase()
}

/// The issues of a repository, and its pull requests, which GitHub lists with them. Filtered by state, labels (all of them) and
/// `since`; sorted by creation or update, newest first unless asked otherwise.
pub(crate) fn issues(repository: &Repository, id: i64, links: &Links<'_>, call: &Call) -> Answer {
    let state = call.parameter("state").unwrap_or("open");
    let labels: Vec<String> =
        call.parameter("labels").into_iter().flat_map(|labels| labels.split(',')).map(plain).collect();
    let since: Option<DateTime<Utc>> = call.parameter("since").and_then(|since| since.parse().ok());
    let is_wanted = |closed: bool, own: &[String], updated_at: DateTime<Utc>| {
        let own: Vec<String> = own.iter().map(|label| label.to_lowercase()).collect();
        let is_of_state = match state {
            "all" => true,
            "closed" => closed,
            _ => !closed,
        };
        is_of_state && labels.iter().all(|label| own.contains(label)) && since.is_none_or(|since| updated_at >= since)
    };
    let by_update = call.parameter("sort") == Some("updated");
    let at = |created_at, updated_at| if by_update { updated_at } else { created_at };
    let issues = repository.issues.values().filter(|it| is_wanted(it.closed_at.is_some(), &it.labels, it.updated_at));
    let issues = issues.map(|it| (at(it.created_at, it.updated_at), it.number, links.issue(it)));
    let pull_requests =
        repository.pull_requests.values().filter(|it| is_wanted(it.closed_at.is_some(), &it.labels, it.updated_at));
    let pull_requests =
        pull_requests.map(|it| (at(it.created_at, it.updated_at), it.number, links.pull_request_as_issue(it)));
    let mut all: Vec<(DateTime<Utc>, i64, Value)> = issues.chain(pull_requests).collect();
    all.sort_by_key(|(at, number, _)| (*at, *number));
    if call.parameter("direction") != Some("asc") {
        all.reverse();
    }
    let all: Vec<Value> = all.into_iter().map(|(.., item)| item).collect();
    let paging = Paging::of(call);
    let (listed, pages) = paging.cut(&all);
    let address = format!("{}/repositories/{id}/issues", call.api);
    let query: String = ["labels", "state", "sort", "direction", "since"]
        .iter()
        .filter_map(|name| call.parameter(name).map(|value| format!("{name}={value}&")))
        .collect();
    page(listed, paging.link(&address, &query, pages), call)
}

/// The statuses of a deployment, newest first.
pub(crate) fn deployment_statuses(deployment: &FakeDeployment, id: i64, links: &Links<'_>, call: &Call) -> Answer {
    let mut items = links.deployment_statuses(deployment);
    items.reverse();
    let paging = Paging::of(call);
    let (listed, pages) = paging.cut(&items);
    let address = format!("{}/repositories/{id}/deployments/{}/statuses", call.api, deployment.id);
    page(listed, paging.link(&address, "", pages), call)
}

fn page(items: &[Value], link: Option<String>, call: &Call) -> Answer {
    let answer = Answer::conditional(call, &Page::of(&Value::Array(items.to_vec()), call.accepts_gzip()));
    match link {
        Some(link) if answer.status == StatusCode::OK => answer.with(header::LINK, &link),
        _ => answer,
    }
}

/// The error status of a page that is too large, or holds a pull request that cannot be shown.
fn broken(world: &World, id: i64, listing: Listing) -> Option<u16> {
    let too_large = world.largest_page.filter(|(size, _)| listing.paging.per_page > *size).map(|(_, status)| status);
    let repository = world.repositories.get(&id)?;
    let (listed, _) = listing.paging.cut(repository.pages.orders.get(&listing.order)?);
    too_large.or_else(|| {
        listed
            .iter()
            .find_map(|number| repository.unreadable.get(number).or_else(|| repository.unlistable.get(number)).copied())
    })
}

fn kept_or_made(world: &mut World, id: i64, call: &Call, listing: Listing) -> Option<(Page, usize)> {
    let key =
        PageKey { api: call.api.clone(), listing, is_slim_version: call.is_slim_version(), gzip: call.accepts_gzip() };
    let repository = world.repositories.get_mut(&id)?;
    if let Some(kept) = repository.pages.kept.get(&key) {
        return Some(kept.clone());
    }
    if !repository.pages.orders.contains_key(&listing.order) {
        let order = listing.order.of(repository);
        repository.pages.orders.insert(listing.order, order);
    }
    let repository = world.repositories.get(&id)?;
    let (listed, pages) = listing.paging.cut(repository.pages.orders.get(&listing.order)?);
    let links = Links::to(world, id, repository, call);
    let items: Vec<Value> =
        listed.iter().filter_map(|number| Some(links.pull_request(repository.pull_requests.get(number)?))).collect();
    let page = Page::of_json(serde_json::to_string(&items).unwrap_or_default(), key.gzip);
    world.repositories.get_mut(&id)?.pages.keep(key, page.clone(), pages);
    Some((page, pages))
}

/// A page of a list that has no other parameters.
pub(crate) fn list_of(call: &Call, items: &[Value], address: &str) -> Answer {
    let paging = Paging::of(call);
    let (listed, pages) = paging.cut(items);
    let answer = Answer::conditional(call, &Page::of(&Value::Array(listed.to_vec()), call.accepts_gzip()));
    match paging.link(address, "", pages) {
        Some(link) if answer.status == StatusCode::OK => answer.with(header::LINK, &link),
        _ => answer,
    }
}
