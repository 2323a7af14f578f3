//! `GET /v1/coverage`: what was read, by repository.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use http::Method;
use mergeline_store::{RepositoryStatus, ResultState};
use schemars::JsonSchema;
use serde::Serialize;

use super::resources::{Coverage, instant};
use crate::auth::scope::Scope;
use crate::http::envelope::answer;
use crate::http::errors::ApiError;
use crate::http::operation::{Admit, Body, Operation, enveloped};
use crate::http::parameters::{NoParameters, Parameters};
use crate::http::request::ApiRequest;
use crate::state::Api;

pub(crate) const COVERAGE: Operation = Operation {
    method: Method::GET,
    path: "/coverage",
    handler: |filter| on(filter, coverage),
    admission: Admit::Lookup,
    id: "getCoverage",
    summary: "What was read, by repository",
    description: "How far the numbers can be trusted. A key that is limited to teams sees the repositories with pull requests that \
                  count for them.",
    scope: Some(Scope::MetricsRead),
    parameters: NoParameters::DESCRIPTIONS,
    has_csv: false,
    has_etag: false,
    request_body: None,
    body: Body::Json(enveloped::<Vec<CoveredRepository>, CoverageMeta>),
};

/// What was read of a repository.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CoveredRepository {
    /// `owner/name`.
    name: String,
    /// `read`: completely. `partly_read`: an older part or a change is still to be read. `failing`: the last work on it failed; what was
    /// read before counts. `not_read`: never completely.
    #[schemars(extend("enum" = ["read", "partly_read", "failing", "not_read"]))]
    state: &'static str,
    /// A stable code for why it fails.
    reason: Option<String>,
    /// Every change since then is stored.
    #[schemars(extend("format" = "date-time"))]
    covered_since: Option<String>,
    /// When the last complete reading started: newer data is not guaranteed.
    #[schemars(extend("format" = "date-time"))]
    read_at: Option<String>,
}

/// How far everything was read.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CoverageMeta {
    count: usize,
    /// The start of the oldest of the latest complete collections: newer data is not guaranteed.
    #[schemars(extend("format" = "date-time"))]
    data_as_of: Option<String>,
    /// The time zone of the teams file.
    timezone: String,
    coverage: Coverage,
}

impl CoveredRepository {
    fn of(status: RepositoryStatus) -> Self {
        let is_failing = status.state == Some(ResultState::Failed);
        let state = match (status.covered_since, status.collected_at) {
            _ if is_failing => "failing",
            (Some(_), Some(_)) if status.backfill_page.is_none() => "read",
            (None, None) => "not_read",
            _ => "partly_read",
        };
        Self {
            name: status.name,
            state,
            reason: status.reason_code.filter(|_| is_failing),
            covered_since: status.covered_since.map(instant),
            read_at: status.collected_at.map(instant),
        }
    }
}

/// What was read, by repository.
async fn coverage(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    let NoParameters = request.parameters()?;
    request.format(None)?;
    let viewer = request.access()?.viewer();
    let mut statuses = api.store.repository_statuses().await?;
    if let Some(teams) = viewer.teams() {
        let visible = api.store.repositories_of_teams(teams).await?;
        statuses.retain(|status| visible.contains(&status.name));
    }
    let (coverage, timezone) = (api.store.coverage().await?, api.store.timezone().await?);
    let data: Vec<CoveredRepository> = statuses.into_iter().map(CoveredRepository::of).collect();
    let meta = CoverageMeta {
        count: data.len(),
        data_as_of: coverage.data_as_of.map(instant),
        timezone: timezone.name().to_owned(),
        coverage: Coverage::of(&coverage, !viewer.is_limited()),
    };
    Ok(answer(data, meta))
}
