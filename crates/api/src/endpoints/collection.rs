//! `GET /v1/collection/status` and `/v1/collection/runs`: the state of the collection.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use chrono::{DateTime, Utc};
use http::Method;
use mergeline_reporting::{PagePosition, cut_to_page};
use mergeline_store::{RepositoryStatus, RunStatus};
use schemars::JsonSchema;
use serde::Serialize;

use super::resources::{Coverage, age_hours, instant};
use crate::auth::scope::Scope;
use crate::http::cursors;
use crate::http::envelope::answer;
use crate::http::errors::ApiError;
use crate::http::operation::{Admit, Body, Operation, enveloped};
use crate::http::parameters::{CURSOR, LIMIT, NoParameters, Page, Parameter, ParameterReader, Parameters};
use crate::http::request::ApiRequest;
use crate::state::Api;

pub(crate) const STATUS: Operation = Operation {
    method: Method::GET,
    path: "/collection/status",
    handler: |filter| on(filter, status),
    admission: Admit::Lookup,
    id: "getCollectionStatus",
    summary: "The state of the collection",
    description: "Freshness and failures by repository, and what is deferred, until when and why.",
    scope: Some(Scope::Admin),
    parameters: NoParameters::DESCRIPTIONS,
    has_csv: false,
    has_etag: false,
    request_body: None,
    body: Body::Json(enveloped::<Vec<Repository>, StatusMeta>),
};

pub(crate) const RUNS: Operation = Operation {
    path: "/collection/runs",
    handler: |filter| on(filter, runs),
    id: "listCollectionRuns",
    summary: "Collector runs",
    description: "Newest first, with totals over their repositories.",
    parameters: RunsParameters::DESCRIPTIONS,
    body: Body::Json(enveloped::<Vec<Run>, RunsMeta>),
    ..STATUS
};

#[derive(Debug)]
struct RunsParameters(Page);

impl Parameters for RunsParameters {
    const DESCRIPTIONS: &'static [&'static Parameter] = &[&LIMIT, &CURSOR];

    fn read(reader: &mut ParameterReader) -> Self {
        Self(Page::read(reader))
    }
}

/// The collection state of a repository.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Repository {
    /// `owner/name`.
    name: String,
    /// `owner/name` in the configuration, or the pattern, if that differs.
    configured_as: Option<String>,
    /// The result of the last work on it; null before the first.
    #[schemars(extend("enum" = ["succeeded", "failed", "deferred", "busy", null]))]
    state: Option<String>,
    /// Why it did not succeed.
    reason: Option<Reason>,
    /// When deferred work can continue, or a failing repository is retried.
    #[schemars(extend("format" = "date-time"))]
    next_at: Option<String>,
    /// When the last complete collection started: newer data is not guaranteed.
    #[schemars(extend("format" = "date-time"))]
    collected_at: Option<String>,
    /// How long ago that was.
    age_hours: Option<f64>,
    /// Every change since then is stored.
    #[schemars(extend("format" = "date-time"))]
    covered_since: Option<String>,
    /// The next page of a running backfill.
    backfill_page: Option<i32>,
    /// Stored pull requests.
    pull_requests: i64,
    /// Stored pull requests whose details were not read yet.
    without_details: i64,
    /// Pull requests that could not be parsed.
    quarantined: i64,
}

/// A stable code and a sentence.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Reason {
    code: String,
    message: Option<String>,
}

/// How fresh the data is.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct StatusMeta {
    count: usize,
    /// The start of the oldest of the latest complete collections: newer data is not guaranteed.
    #[schemars(extend("format" = "date-time"))]
    data_as_of: Option<String>,
    coverage: Coverage,
}

/// A collector run, with totals over its repositories.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Run {
    id: i64,
    #[schemars(extend("enum" = ["running", "succeeded", "deferred", "partial", "failed", "interrupted"]))]
    state: String,
    #[schemars(extend("format" = "date-time"))]
    started_at: String,
    #[schemars(extend("format" = "date-time"))]
    finished_at: Option<String>,
    /// Repositories that it planned to collect.
    planned: i32,
    failed: i64,
    deferred: i64,
    /// Requests to GitHub.
    requests: i64,
    graphql_points: i64,
    /// Pull requests that GitHub listed.
    listed: i64,
    /// Those by configured people.
    kept: i64,
    /// New or changed rows.
    changed: i64,
    /// What went wrong during planning.
    problems: Vec<String>,
}

/// Where the list continues.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RunsMeta {
    count: usize,
    /// For the next page; null on the last page.
    next_cursor: Option<String>,
}

impl Repository {
    fn of(status: RepositoryStatus, now: DateTime<Utc>) -> Self {
        let message = status.reason;
        Self {
            name: status.name,
            configured_as: status.configured_as,
            state: status.state.map(|state| state.to_string()),
            reason: status.reason_code.map(|code| Reason { code, message }),
            next_at: status.next_at.map(instant),
            collected_at: status.collected_at.map(instant),
            age_hours: status.collected_at.map(|at| age_hours(at, now)),
            covered_since: status.covered_since.map(instant),
            backfill_page: status.backfill_page,
            pull_requests: status.pull_requests,
            without_details: status.without_details,
            quarantined: status.quarantined,
        }
    }
}

impl From<RunStatus> for Run {
    fn from(run: RunStatus) -> Self {
        Self {
            id: run.id,
            state: run.state.to_string(),
            started_at: instant(run.started_at),
            finished_at: run.finished_at.map(instant),
            planned: run.planned,
            failed: run.failed,
            deferred: run.deferred,
            requests: run.requests,
            graphql_points: run.graphql_points,
            listed: run.listed,
            kept: run.kept,
            changed: run.changed,
            problems: run.problems,
        }
    }
}

/// Freshness, failures, and what is deferred and why, by repository.
async fn status(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    request.refuse_limited()?;
    let NoParameters = request.parameters()?;
    request.format(None)?;
    let now = api.now();
    let statuses = api.store.repository_statuses().await?;
    let coverage = api.store.coverage().await?;
    let data: Vec<Repository> = statuses.into_iter().map(|status| Repository::of(status, now)).collect();
    let data_as_of = coverage.data_as_of.map(instant);
    let meta = StatusMeta { count: data.len(), data_as_of, coverage: Coverage::of(&coverage, true) };
    Ok(answer(data, meta))
}

/// Collector runs, newest first.
async fn runs(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    const LIST: &str = "runs";
    request.refuse_limited()?;
    let RunsParameters(page) = request.parameters()?;
    request.format(None)?;
    let after = page.cursor.as_deref().map(|text| cursors::parse(text, LIST)).transpose()?;
    let mut found = api.store.runs(after.map(|cursor| cursor.id), page.limit + 1).await?;
    let next = cut_to_page(&mut found, page.limit, |last| PagePosition { at: last.started_at, id: last.id });
    let next_cursor = next.map(|next| cursors::to_text(next, LIST));
    let data: Vec<Run> = found.into_iter().map(Run::from).collect();
    let meta = RunsMeta { count: data.len(), next_cursor };
    Ok(answer(data, meta))
}
