//! The runs of a workflow of GitHub Actions.

use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};
use mergeline_domain::RepoName;
use mergeline_domain::delivery::{DeploymentState, DeploymentStateKind, Origin};
use mergeline_domain::progress::Cursor;
use mergeline_source::{Etag, ListedRun, ReportedDeployment, RunPage, RunQuery, UndecodableDeployment};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::GitHubError;
use crate::answer::Answer;
use crate::client::{GitHubRequest, GitHubSession};
use crate::model::is_sane;
use crate::text::{Text, clean};

const PER_PAGE: usize = 100;
/// A filtered list ends after a thousand runs.
const MAX_PAGES: u32 = 10;

#[derive(Deserialize)]
struct RunList<'a> {
    #[serde(borrow)]
    workflow_runs: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
pub(crate) struct RunItem {
    id: i64,
    #[serde(default)]
    run_attempt: Option<u32>,
    head_sha: Text,
    #[serde(default)]
    head_branch: Option<Text>,
    event: Text,
    #[serde(default)]
    status: Option<Text>,
    #[serde(default)]
    conclusion: Option<Text>,
    created_at: DateTime<Utc>,
    #[serde(default)]
    run_started_at: Option<DateTime<Utc>>,
    updated_at: DateTime<Utc>,
    #[serde(default)]
    html_url: Option<Text>,
}

#[derive(Deserialize)]
struct Workflows {
    workflows: Vec<WorkflowItem>,
}

#[derive(Deserialize)]
struct WorkflowItem {
    path: Text,
    state: Text,
}

#[derive(Deserialize)]
struct Created {
    created_at: DateTime<Utc>,
}

/// Where a list continues: at runs that were created until then, and at which page of those.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct RunCursor {
    until: DateTime<Utc>,
    page: u32,
}

/// A page as it was read.
struct ReadPage {
    runs: Vec<ListedRun>,
    undecodable: Vec<UndecodableDeployment>,
    rows: usize,
    oldest: Option<DateTime<Utc>>,
    etag: Option<Etag>,
}

impl GitHubSession {
    /// A page of the runs of a workflow, newest first; `None` if the whole list is the one that the ETag was given for. Runs for
    /// pull requests and merge queues deploy nothing and are left out: a fork's branch may have the name of the wanted one.
    ///
    /// Each page starts at the creation of the last run of the one before, not at a page number: so no run is skipped when others
    /// vanish, and the list does not end after a thousand runs. A run may be on two pages.
    ///
    /// Source: GitHub, "List workflow runs for a workflow".
    ///
    /// # Errors
    /// [`GitHubError::NotFound`] also if the token lacks *Actions*, and any other error from GitHub or the connection to it.
    pub async fn workflow_runs(
        &self,
        repository: &RepoName,
        query: &RunQuery,
        from: Option<&Cursor>,
        known: Option<&Etag>,
    ) -> Result<Option<RunPage>, GitHubError> {
        // A cursor that cannot be read starts the list again: nothing is lost.
        let from: Option<RunCursor> = from.and_then(|cursor| serde_json::from_str(&cursor.0).ok());
        let instant = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let mut text = format!("per_page={PER_PAGE}");
        let branch = query.branch.as_ref().map(|branch| ("branch", branch.clone()));
        let created = match from {
            Some(RunCursor { until, .. }) => format!("{}..{}", instant(query.since), instant(until)),
            None => format!(">={}", instant(query.since)),
        };
        for (name, value) in branch.into_iter().chain([("created", created)]) {
            let value: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
            let _ = write!(text, "&{name}={value}");
        }
        if let Some(RunCursor { page, .. }) = from.filter(|from| from.page > 1) {
            let _ = write!(text, "&page={page}");
        }
        let path = format!("/repos/{repository}/actions/workflows/{}/runs", query.workflow);
        let url = self.github.url(&path, Some(&text));
        let has_etag = from.is_none();
        let read = |answer: &Answer, etag| read_page(answer, query, etag);
        let Some(page) = self.if_changed(url, has_etag, known.filter(|_| has_etag), read).await? else {
            return Ok(None);
        };
        let is_full = page.rows >= PER_PAGE;
        let next = page.oldest.filter(|_| is_full).map(|oldest| match from {
            // All of them are of one second.
            Some(from) if from.until <= oldest => RunCursor { page: from.page + 1, ..from },
            _ => RunCursor { until: oldest, page: 1 },
        });
        if next.is_some_and(|next| next.page > MAX_PAGES) {
            return Err(GitHubError::invalid("a thousand runs of a workflow were created in one second"));
        }
        Ok(Some(RunPage {
            runs: page.runs,
            undecodable: page.undecodable,
            // Numbers and times always serialize.
            next: next.and_then(|next| serde_json::to_string(&next).ok()).map(Cursor),
            etag: page.etag.filter(|_| !is_full),
        }))
    }

    /// The files of a repository's workflows that are switched on, at most a hundred.
    ///
    /// Source: GitHub, "List repository workflows".
    ///
    /// # Errors
    /// [`GitHubError::NotFound`] also if the token lacks *Actions*, and any other error from GitHub or the connection to it.
    pub async fn workflow_files(&self, repository: &RepoName) -> Result<Vec<String>, GitHubError> {
        let path = format!("/repos/{repository}/actions/workflows");
        let request = GitHubRequest::get(self.github.url(&path, Some(&format!("per_page={PER_PAGE}"))));
        self.send(request, |answer| {
            let body = answer.body()?;
            let list: Workflows = serde_json::from_slice(&body).map_err(|error| GitHubError::of_json(&error))?;
            let active = list.workflows.into_iter().filter(|workflow| &*workflow.state == "active");
            // What GitHub runs by itself has no file.
            let files = active.filter_map(|workflow| Some(clean(workflow.path.strip_prefix(".github/workflows/")?)));
            Ok(files.collect())
        })
        .await
    }

    /// An earlier attempt of a run; `None` if GitHub does not have it any more, or it can be no deployment.
    ///
    /// # Errors
    /// Any error from GitHub or the connection to it.
    pub async fn run_attempt(
        &self,
        repository: &RepoName,
        query: &RunQuery,
        run: i64,
        attempt: u32,
    ) -> Result<Option<ListedRun>, GitHubError> {
        let path = format!("/repos/{repository}/actions/runs/{run}/attempts/{attempt}");
        let request = GitHubRequest::get(self.github.url(&path, None));
        let read = |answer: &Answer| {
            let body = answer.body()?;
            let item: RunItem = serde_json::from_slice(&body).map_err(|error| GitHubError::of_json(&error))?;
            listed(item, query).map_err(GitHubError::invalid)
        };
        match self.send(request, read).await {
            Err(GitHubError::NotFound | GitHubError::Gone { .. }) => Ok(None),
            outcome => outcome,
        }
    }
}

fn read_page(answer: &Answer, query: &RunQuery, etag: Option<Etag>) -> Result<ReadPage, GitHubError> {
    let body = answer.body()?;
    let list: RunList<'_> = serde_json::from_slice(&body).map_err(|error| GitHubError::of_json(&error))?;
    let mut page =
        ReadPage { runs: Vec::new(), undecodable: Vec::new(), rows: list.workflow_runs.len(), oldest: None, etag };
    for raw in list.workflow_runs {
        let created = serde_json::from_str::<Created>(raw.get()).ok().map(|it| it.created_at);
        page.oldest = created.into_iter().chain(page.oldest).min();
        let item = serde_json::from_str::<RunItem>(raw.get()).map_err(|error| error.to_string());
        let id = item.as_ref().ok().map(|item| item.id.into());
        match item.and_then(|item| listed(item, query)) {
            Ok(run) => page.runs.extend(run),
            Err(reason) => page.undecodable.push(UndecodableDeployment { id, reason: clean(&reason) }),
        }
    }
    Ok(page)
}

/// A run as a deployment, or why it cannot be one; `None` if it deploys nothing.
pub(crate) fn listed(item: RunItem, query: &RunQuery) -> Result<Option<ListedRun>, String> {
    if matches!(&*item.event, "pull_request" | "pull_request_target" | "merge_group") {
        return Ok(None);
    }
    let attempt = item.run_attempt.unwrap_or(1).max(1);
    // A repeated run keeps the time of its first attempt.
    let created_at = if attempt > 1 { item.run_started_at.unwrap_or(item.created_at) } else { item.created_at };
    if let Some(at) = [created_at, item.updated_at].into_iter().find(|at| !is_sane(*at)) {
        return Err(format!("it is of {at}, which is out of range"));
    }
    let kind = match item.conclusion.as_deref() {
        Some("success") => DeploymentStateKind::Success,
        Some("failure" | "timed_out" | "startup_failure") => DeploymentStateKind::Failure,
        _ => DeploymentStateKind::Cancelled,
    };
    let is_completed = item.status.as_deref() == Some("completed");
    // Clocks of runners differ a little, and a run does not end before it starts.
    let at = item.updated_at.max(created_at);
    let deployment = ReportedDeployment {
        id: ListedRun::deployment_id(item.id, attempt).into(),
        origin: Origin::Run { workflow: query.workflow.clone(), branch: item.head_branch.map(Text::into_clean) },
        commit: item.head_sha.parse().ok(),
        created_at,
        end: is_completed.then_some(DeploymentState { at, kind }),
        version: None,
        url: item.html_url.map(Text::into_clean),
    };
    Ok(Some(ListedRun { id: item.id, attempt, deployment }))
}
