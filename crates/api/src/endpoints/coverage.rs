//! `GET /v1/coverage`: what was read, by repository.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use http::Method;
use mergeline_store::{ListCoverage, RepositoryStatus, ResultState};
use schemars::JsonSchema;
use serde::Serialize;

use super::dora::SourceCovered;
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
    /// How far each of its lists of deployments was read. What is posted has no list: see `meta.sources`.
    deployments: Vec<CoveredDeployments>,
    /// How far its incidents were read, by label.
    incidents: Vec<CoveredIncidents>,
}

/// How far one list of deployments was read.
#[derive(Debug, Serialize, JsonSchema)]
struct CoveredDeployments {
    #[schemars(extend("enum" = ["github-deployments", "github-actions", "github-releases", "merges"]))]
    source: String,
    /// What of the source: a workflow, `releases` or `tags`, a branch. Empty for everything.
    list: String,
    #[schemars(extend("format" = "date-time"))]
    covered_since: Option<String>,
    #[schemars(extend("format" = "date-time"))]
    read_at: Option<String>,
    /// A stable code for why the last attempt failed, such as `no_permission`.
    reason: Option<String>,
}

/// How far the incidents with one label were read.
#[derive(Debug, Serialize, JsonSchema)]
struct CoveredIncidents {
    label: String,
    #[schemars(extend("format" = "date-time"))]
    read_at: Option<String>,
    /// A stable code for why the last attempt failed, such as `no_permission`.
    reason: Option<String>,
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
    /// How far each source of deployments was read; null for a key that is limited to teams.
    sources: Option<Vec<SourceCovered>>,
}

impl CoveredRepository {
    fn of(status: RepositoryStatus, lists: Vec<ListCoverage>) -> Self {
        let (mut deployments, mut incidents) = (Vec::new(), Vec::new());
        for it in lists {
            let (read_at, reason) = (it.read_at.map(instant), it.problem);
            match it.source {
                Some(source) => deployments.push(CoveredDeployments {
                    source,
                    list: it.list,
                    covered_since: it.covered_since.map(instant),
                    read_at,
                    reason,
                }),
                None => incidents.push(CoveredIncidents { label: it.list, read_at, reason }),
            }
        }
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
            deployments,
            incidents,
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
    let mut session = api.store.session().await?;
    let mut lists: BTreeMap<String, Vec<ListCoverage>> = BTreeMap::new();
    for it in session.list_coverage().await? {
        lists.entry(it.repository.clone()).or_default().push(it);
    }
    let sources = if viewer.is_limited() { None } else { Some(session.deployment_sources(None, api.now()).await?) };
    let data: Vec<CoveredRepository> = statuses
        .into_iter()
        .map(|status| {
            let lists = lists.remove(&status.name).unwrap_or_default();
            CoveredRepository::of(status, lists)
        })
        .collect();
    let meta = CoverageMeta {
        count: data.len(),
        data_as_of: coverage.data_as_of.map(instant),
        timezone: timezone.name().to_owned(),
        coverage: Coverage::of(&coverage, !viewer.is_limited()),
        sources: sources.map(|sources| sources.iter().map(SourceCovered::from).collect()),
    };
    Ok(answer(data, meta))
}
