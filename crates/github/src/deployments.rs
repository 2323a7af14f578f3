//! Deployments with their states, and the commits that they contain.
//!
//! The list is read by REST: only there are the two flags of an environment, and ids of more than 32 bits. States are read
//! by GraphQL, a hundred deployments in one query, and so are commits.

use std::collections::HashSet;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use http::header::LINK;
use mergeline_domain::delivery::{DeploymentState, DeploymentStateKind, Oid};
use mergeline_domain::progress::Cursor;
use mergeline_domain::{ExternalId, RepoName};
use mergeline_source::{
    CommitPage, CommitRecord, DeploymentPage, DeploymentPageAnswer, Etag, ListedDeployment, ListedState,
    UndecodableDeployment,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use crate::answer::Answer;
use crate::client::GitHubSession;
use crate::graphql::{Connection, Cost, Decoded, Node, data};
use crate::listing::{
    EMPTY_PAGE, FIRST_RETURN, MAX_PAGES, MAX_RETURNS, NO_EXCEPTIONS, PAGE_SIZES, TOO_FAST, overlapping, smaller_page,
};
use crate::model::is_sane;
use crate::text::{Text, clean};
use crate::{GitHubError, link};

const STATUSES: &str = include_str!("queries/deployment_statuses.graphql");
const MORE_STATUSES: &str = include_str!("queries/more_deployment_statuses.graphql");
const HISTORY: &str = include_str!("queries/commit_history.graphql");
const PARENTS: &str = include_str!("queries/commit_parents.graphql");

const SHA1_BYTES: usize = 20;
/// The smallest page of deployments that overlaps with the one before it.
const SMALLEST_PAGE: u8 = 5;

#[derive(Deserialize)]
struct DeploymentItem {
    id: i64,
    node_id: String,
    sha: Text,
    environment: Text,
    created_at: DateTime<Utc>,
    #[serde(default)]
    production_environment: Option<bool>,
    #[serde(default)]
    transient_environment: Option<bool>,
}

#[derive(Deserialize)]
struct IdOnly {
    id: i64,
}

#[derive(Deserialize)]
struct DeploymentNode {
    id: String,
    statuses: Connection<StatusNode>,
}

#[derive(Deserialize)]
struct MoreStatuses {
    statuses: Connection<StatusNode>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatusNode {
    state: Text,
    created_at: DateTime<Utc>,
    #[serde(default)]
    environment: Option<Text>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InRepository<T> {
    #[serde(default)]
    rate_limit: Option<Cost>,
    repository: Option<Object<T>>,
}

#[derive(Deserialize)]
struct Object<T> {
    /// Null if there is no such object; without fields if it is no commit.
    object: Option<T>,
}

#[derive(Deserialize)]
struct WithHistory {
    #[serde(default)]
    history: Option<Connection<CommitNode>>,
}

#[derive(Deserialize)]
struct WithParents {
    #[serde(default)]
    parents: Option<Connection<ParentNode>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CommitNode {
    oid: String,
    committed_date: DateTime<Utc>,
    parents: Connection<ParentNode>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ParentNode {
    oid: String,
    committed_date: DateTime<Utc>,
}

impl Node for DeploymentNode {
    const NAME: &str = "deployments";
    type Complete = Vec<ListedState>;

    fn id(&self) -> &str {
        &self.id
    }

    fn check(&self) -> Result<(), GitHubError> {
        match self.statuses.nodes.iter().find(|status| !is_sane(status.created_at)) {
            Some(StatusNode { created_at, .. }) => {
                let reason = format!("a status of {} is of {created_at}, which is out of range", self.id);
                Err(GitHubError::invalid(reason))
            }
            None => Ok(()),
        }
    }

    async fn complete(mut self, session: &GitHubSession) -> Result<Vec<ListedState>, GitHubError> {
        let list_of = |more: MoreStatuses| more.statuses;
        session.rest(MORE_STATUSES, &self.id, &mut self.statuses, list_of).await?;
        Ok(self.statuses.nodes.into_iter().map(|it| state(&it.state, it.created_at, it.environment)).collect())
    }
}

impl GitHubSession {
    /// The deployments of a repository, newest first in practice. With an ETag, the first page may be
    /// [`DeploymentPageAnswer::Unchanged`], which ends the listing. A new state alone does not always change the list.
    ///
    /// An empty first page is no proof that there are none: the token may lack *Deployments*.
    ///
    /// Source: GitHub, "List deployments". It has no `since` and no states, and its order is not documented.
    pub fn deployments(&self, repository: &RepoName, etag: Option<Etag>) -> DeploymentPages<'_> {
        DeploymentPages {
            session: self,
            repository: repository.clone(),
            page_size: PAGE_SIZES[0],
            etag,
            rows: 0,
            end: End::default(),
            has_next: true,
            pages: 0,
            returns: 0,
            returns_in_a_row: 0,
        }
    }

    /// Resumes such a listing where an earlier page ended. Deployments that were created since are in front of that.
    pub fn deployments_after(&self, repository: &RepoName, cursor: &Cursor) -> DeploymentPages<'_> {
        // A cursor that cannot be read starts the list again: nothing is lost.
        let ListPosition { rows, oldest, last } = serde_json::from_str(&cursor.0).unwrap_or_default();
        let end = End { oldest, last: last.clone(), ids: last.into_iter().collect() };
        DeploymentPages { rows, end, ..self.deployments(repository, None) }
    }

    async fn deployment_page(
        &self,
        repository: &RepoName,
        size: u8,
        number: u32,
        known: Option<&Etag>,
    ) -> Result<DeploymentPageAnswer, GitHubError> {
        let mut query = format!("per_page={size}");
        if number > 1 {
            let _ = write!(query, "&page={number}");
        }
        let url = self.github.url(&format!("/repos/{repository}/deployments"), Some(&query));
        let page = self.if_changed(url, number == 1, known, |answer, etag| read_deployments(answer, number, etag));
        Ok(page.await?.map_or(DeploymentPageAnswer::Unchanged, DeploymentPageAnswer::Page))
    }

    /// The states of deployments by the ids that their list gave for that, each with its states in any order, or with the
    /// reason why they are missing. That GitHub does not find one does not prove that it was deleted: the token may lack
    /// *Deployments*.
    ///
    /// # Errors
    /// Errors that concern all of them: a limit, the token, the connection to GitHub.
    pub async fn deployment_states(
        &self,
        ids: &[String],
    ) -> Result<Vec<(String, Result<Vec<ListedState>, GitHubError>)>, GitHubError> {
        self.each_node::<DeploymentNode>(STATUSES, ids).await
    }

    /// The history of a commit, which begins with the commit itself, or continues after an earlier page. The first page is
    /// `None` if GitHub does not have the commit, or it is no commit.
    pub fn commits(&self, repository: &RepoName, from: &Oid, after: Option<Cursor>) -> CommitPages<'_> {
        CommitPages {
            session: self,
            repository: repository.clone(),
            from: *from,
            after,
            cursors: HashSet::new(),
            page_size: PAGE_SIZES[0],
            has_next: true,
        }
    }

    /// The parents of a merge of very many branches.
    async fn all_parents(&self, repository: &RepoName, commit: &Oid) -> Result<Connection<ParentNode>, GitHubError> {
        let variables = Self::object_variables(repository, commit);
        let found: Option<WithParents> = self.object(PARENTS, variables).await?;
        let parents = found.and_then(|commit| commit.parents);
        let all = parents.filter(|parents| parents.total_count.is_none_or(|count| count <= parents.nodes.len()));
        all.ok_or_else(|| GitHubError::invalid(format!("the parents of the commit {commit} are missing")))
    }

    /// An object of a repository; `None` if there is no such object.
    async fn object<T: DeserializeOwned>(
        &self,
        query: &str,
        variables: serde_json::Value,
    ) -> Result<Option<T>, GitHubError> {
        match self.graphql(query, variables, in_repository).await {
            Err(GitHubError::NodeNotFound { .. }) => Err(GitHubError::NotFound),
            outcome => outcome,
        }
    }

    fn object_variables(repository: &RepoName, oid: &Oid) -> serde_json::Value {
        json!({ "owner": repository.owner(), "name": repository.name(), "oid": oid.to_string() })
    }
}

/// The reading of a history in progress. Request page after page, as far as needed.
#[derive(Debug)]
pub struct CommitPages<'a> {
    session: &'a GitHubSession,
    repository: RepoName,
    from: Oid,
    after: Option<Cursor>,
    /// Where pages started.
    cursors: HashSet<String>,
    page_size: u8,
    has_next: bool,
}

impl CommitPages<'_> {
    /// The next page; `None` after the last one. If GitHub fails to return a large page in time, this and later pages are
    /// smaller.
    ///
    /// # Errors
    /// [`GitHubError::InsufficientPermission`] if the token lacks *Contents*, and any other error from GitHub or the
    /// connection to it. Calling this again repeats the request.
    pub async fn next(&mut self) -> Result<Option<CommitPage>, GitHubError> {
        // GitHub has SHA-1 ids only, and refuses the whole query for another one, such as the digest of an image.
        if self.from.as_bytes().len() != SHA1_BYTES {
            return Ok(None);
        }
        while self.has_next {
            let page = match self.page().await {
                Err(error) if error.wants_smaller_page() && self.page_size > 1 => {
                    self.page_size = smaller_page(self.page_size).unwrap_or(1);
                    continue;
                }
                page => page?,
            };
            self.after = page.as_ref().and_then(|page| page.next.clone());
            self.has_next = self.after.is_some();
            return Ok(page);
        }
        Ok(None)
    }

    async fn page(&mut self) -> Result<Option<CommitPage>, GitHubError> {
        let Self { session, repository, .. } = self;
        let mut variables = GitHubSession::object_variables(repository, &self.from);
        variables["first"] = json!(self.page_size);
        variables["after"] = json!(self.after.as_ref().map(|cursor| &cursor.0));
        let found: Option<WithHistory> = session.object(HISTORY, variables).await?;
        let Some(history) = found.and_then(|commit| commit.history) else { return Ok(None) };
        let mut commits = Vec::with_capacity(history.nodes.len());
        for mut node in history.nodes {
            let oid = oid(&node.oid)?;
            if node.parents.total_count.is_some_and(|count| count > node.parents.nodes.len()) {
                node.parents = session.all_parents(repository, &oid).await?;
            }
            let parents = node.parents.nodes.into_iter().map(|it| Ok((self::oid(&it.oid)?, it.committed_date)));
            let parents = parents.collect::<Result<_, GitHubError>>()?;
            commits.push(CommitRecord { oid, parents, committed_at: node.committed_date });
        }
        let next = history.page_info.next(&mut self.cursors)?.map(Cursor);
        if next.is_some() && commits.is_empty() {
            return Err(GitHubError::invalid("the pages of a list form a loop"));
        }
        Ok(Some(CommitPage { commits, next }))
    }
}

/// A listing of deployments in progress. Request page after page, as far as needed.
///
/// GitHub addresses pages only by number. If deployments are deleted, all later ones move up, and the first ones of the next
/// page would be skipped. Each page therefore starts with a deployment of the previous one. If that is missing, the listing
/// goes back.
#[derive(Debug)]
pub struct DeploymentPages<'a> {
    session: &'a GitHubSession,
    repository: RepoName,
    page_size: u8,
    etag: Option<Etag>,
    /// The number of rows read, from the first one on.
    rows: u32,
    end: End,
    has_next: bool,
    pages: u32,
    returns: u32,
    /// How often it went back since the last usable page.
    returns_in_a_row: u32,
}

/// What was read of a list, as far as it shows that a page continues it.
#[derive(Debug, Default)]
struct End {
    /// All that was read.
    ids: HashSet<ExternalId>,
    /// When the oldest of them was created.
    oldest: Option<DateTime<Utc>>,
    last: Option<ExternalId>,
}

/// Where a listing stopped: what its cursor contains.
#[derive(Debug, Default, Serialize, Deserialize)]
struct ListPosition {
    rows: u32,
    oldest: Option<DateTime<Utc>>,
    last: Option<ExternalId>,
}

impl End {
    /// Whether a page has a deployment that was read, or one from before. If so, there are none between them.
    fn is_on(&self, page: &DeploymentPage) -> bool {
        let is_newer = |it: &ListedDeployment| self.oldest.is_some_and(|oldest| it.created_at > oldest);
        let is_read = |id: &ExternalId| self.ids.contains(id);
        page.deployments.iter().any(|it| is_newer(it) || is_read(&it.id))
            || page.undecodable.iter().any(|it| it.id.as_ref().is_some_and(is_read))
    }

    /// Adds a page, and takes from it what was read before.
    fn add(&mut self, page: &mut DeploymentPage) {
        let last = page.deployments.last().map(|it| it.id.clone());
        self.oldest = page.deployments.iter().map(|it| it.created_at).chain(self.oldest).min();
        page.deployments.retain(|it| self.ids.insert(it.id.clone()));
        page.undecodable.retain(|it| it.id.as_ref().is_none_or(|id| self.ids.insert(id.clone())));
        self.last = last.or(self.last.take());
    }
}

impl DeploymentPages<'_> {
    /// The next page, without what was on an earlier one; `None` after the last one.
    ///
    /// # Errors
    /// [`GitHubError::NotFound`] also if the token lacks *Deployments*, [`GitHubError::InvalidAnswer`] if a page is empty
    /// although the one before it announced it, and any other error from GitHub or the connection to it. Calling this
    /// again repeats the request.
    pub async fn next(&mut self) -> Result<Option<DeploymentPageAnswer>, GitHubError> {
        while self.has_next {
            if self.pages >= MAX_PAGES {
                return Err(GitHubError::invalid("the pages never end"));
            }
            let (size, number) = overlapping(self.rows, self.page_size);
            let etag = self.etag.as_ref().filter(|_| self.pages == 0);
            let answer = match self.session.deployment_page(&self.repository, size, number, etag).await {
                Err(error) if error.wants_smaller_page() && self.page_size > SMALLEST_PAGE => {
                    self.page_size = smaller_page(self.page_size).unwrap_or(SMALLEST_PAGE);
                    continue;
                }
                answer => answer?,
            };
            let DeploymentPageAnswer::Page(mut page) = answer else {
                self.has_next = false;
                return Ok(Some(answer));
            };
            self.pages += 1;
            if self.rows > 0 && !self.end.is_on(&page) {
                self.go_back()?;
                continue;
            }
            self.returns_in_a_row = 0;
            self.rows = number.saturating_mul(size.into());
            self.has_next = page.has_next;
            self.end.add(&mut page);
            let End { oldest, last, .. } = &self.end;
            let position = ListPosition { rows: self.rows, oldest: *oldest, last: last.clone() };
            // Numbers, texts and times always serialize.
            page.end = serde_json::to_string(&position).ok().map(Cursor);
            return Ok(Some(DeploymentPageAnswer::Page(page)));
        }
        Ok(None)
    }

    /// Moves back to what was read before, further each time, because something before it has vanished.
    fn go_back(&mut self) -> Result<(), GitHubError> {
        self.returns += 1;
        if self.returns > MAX_RETURNS {
            return Err(GitHubError::invalid(TOO_FAST));
        }
        let by = FIRST_RETURN.saturating_mul(2_u32.saturating_pow(self.returns_in_a_row));
        self.returns_in_a_row += 1;
        self.rows = self.rows.saturating_sub(by);
        Ok(())
    }
}

fn in_repository<T: DeserializeOwned>(body: &[u8]) -> Result<Decoded<Option<T>>, GitHubError> {
    let InRepository { rate_limit, repository } = data::<InRepository<T>>(body, 1)?;
    let repository = repository.ok_or_else(|| GitHubError::NodeNotFound { reason: "no repository".to_owned() })?;
    Ok(Decoded { data: repository.object, cost: rate_limit.unwrap_or_default().cost })
}

fn oid(text: &str) -> Result<Oid, GitHubError> {
    text.parse().map_err(|error: mergeline_domain::delivery::OidError| GitHubError::invalid(error.to_string()))
}

fn read_deployments(answer: &Answer, number: u32, etag: Option<Etag>) -> Result<DeploymentPage, GitHubError> {
    let body = answer.body()?;
    let items: Vec<&RawValue> = serde_json::from_slice(&body).map_err(|error| GitHubError::of_json(&error))?;
    let mut page = DeploymentPage { etag, ..DeploymentPage::default() };
    for raw in items {
        match listed(raw) {
            Ok(deployment) => page.deployments.push(deployment),
            Err(undecodable) => page.undecodable.push(undecodable),
        }
    }
    if page.deployments.is_empty() && page.undecodable.len() >= NO_EXCEPTIONS {
        return Err(GitHubError::invalid("no deployment on a page can be decoded"));
    }
    if number > 1 && page.deployments.is_empty() && page.undecodable.is_empty() {
        return Err(GitHubError::invalid(EMPTY_PAGE));
    }
    page.has_next = link::has_next(answer.header(&LINK), number)?;
    Ok(page)
}

/// A deployment as the list has it.
pub(crate) fn listed(raw: &RawValue) -> Result<ListedDeployment, UndecodableDeployment> {
    let undecodable = |reason: String| {
        let id = serde_json::from_str::<IdOnly>(raw.get()).ok().map(|item| item.id.into());
        UndecodableDeployment { id, reason: clean(&reason) }
    };
    let item: DeploymentItem = serde_json::from_str(raw.get()).map_err(|error| undecodable(error.to_string()))?;
    if !is_sane(item.created_at) {
        return Err(undecodable(format!("created at {}, which is out of range", item.created_at)));
    }
    Ok(ListedDeployment {
        id: item.id.into(),
        states_id: item.node_id,
        environment: item.environment.clean(),
        commit: item.sha.parse().ok(),
        created_at: item.created_at,
        is_production: item.production_environment,
        is_transient: item.transient_environment.unwrap_or_default(),
    })
}

/// A state by its name in GraphQL. One that is not known says nothing about the outcome.
pub(crate) fn state(name: &str, created_at: DateTime<Utc>, environment: Option<Text>) -> ListedState {
    let kind = match name {
        "SUCCESS" => DeploymentStateKind::Success,
        "FAILURE" | "ERROR" => DeploymentStateKind::Failure,
        "INACTIVE" => DeploymentStateKind::Inactive,
        _ => DeploymentStateKind::InProgress,
    };
    let state = DeploymentState { at: created_at, kind };
    let environment = environment.map(|environment| environment.clean());
    ListedState { state, environment: environment.filter(|environment| !environment.is_empty()) }
}
