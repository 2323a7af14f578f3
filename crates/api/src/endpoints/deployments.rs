//! `GET /v1/deployments` and `/v1/deployments/{deployment_id}`: the deployments behind a number, and what each delivered.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use chrono::{DateTime, Utc};
use http::Method;
use mergeline_domain::delivery::{DeploymentOutcome, DeploymentSource, Share};
use mergeline_reporting::{DeliveryReport, DeploymentList, PagePosition};
use mergeline_store::{DeliveredPullRequest, DeploymentRow, LinkedIncidentRow};
use schemars::JsonSchema;
use serde::Serialize;

use super::dora::ServiceRef;
use super::resources::{Range, TeamRef, hours, instant, weight};
use crate::auth::scope::Scope;
use crate::http::cursors;
use crate::http::envelope::{answer, csv, with_next_cursor};
use crate::http::errors::ApiError;
use crate::http::etag::ETag;
use crate::http::negotiation::Format;
use crate::http::operation::{Admit, Body, Operation, enveloped};
use crate::http::parameters::{
    BASIS, BOM, CURSOR, DAYS, DeliverySelection, ENVIRONMENT, FORMAT, FROM, Form, LAST, LIMIT, NoParameters, Page,
    Parameter, ParameterReader, Parameters, SERVICE, TEAM, TO, TZ, WEEK, environment_of,
};
use crate::http::request::ApiRequest;
use crate::http::tables::{Cell, Rows};
use crate::state::Api;

pub(crate) const LIST: Operation = Operation {
    method: Method::GET,
    path: "/deployments",
    handler: |filter| on(filter, list),
    admission: Admit::Statistics,
    id: "listDeployments",
    summary: "The deployments behind any number",
    description: "Each with its kind, why it failed or is rework, what remedied it, and with `team` that team's share. Those without an \
                  end are listed by their creation. A key that is limited to teams must name one of them.",
    scope: Some(Scope::MetricsRead),
    parameters: DeploymentsParameters::DESCRIPTIONS,
    has_csv: true,
    has_etag: true,
    request_body: None,
    body: Body::Json(enveloped::<Vec<Deployment>, DeploymentsMeta>),
};

pub(crate) const ONE: Operation = Operation {
    path: "/deployments/{deployment_id}",
    handler: |filter| on(filter, one),
    id: "getDeployment",
    summary: "A deployment and what it delivered",
    description: "Its states, its commits, its incidents, the teams' shares, and with the scope prs:read the pull requests that it delivered, each with the \
                  commit by which it was recognized and the weight of each team.",
    parameters: NoParameters::DESCRIPTIONS,
    has_csv: false,
    body: Body::Json(enveloped::<DeploymentDetails, DeploymentMeta>),
    ..LIST
};

#[derive(Debug)]
struct DeploymentsParameters {
    selection: DeliverySelection,
    environment: Option<String>,
    form: Form,
    page: Page,
}

impl Parameters for DeploymentsParameters {
    const DESCRIPTIONS: &'static [&'static Parameter] =
        &[&FROM, &TO, &DAYS, &LAST, &WEEK, &TZ, &TEAM, &SERVICE, &ENVIRONMENT, &BASIS, &LIMIT, &CURSOR, &FORMAT, &BOM];

    fn read(reader: &mut ParameterReader) -> Self {
        Self {
            selection: DeliverySelection::read(reader),
            environment: environment_of(reader),
            form: Form::read(reader),
            page: Page::read(reader),
        }
    }
}

/// A deployment as it counts.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Deployment {
    id: i64,
    /// Where it is known from.
    source: String,
    /// Its id there.
    external_id: String,
    /// The slug of its service.
    service: String,
    environment: String,
    /// `abandoned` is one that neither succeeded nor failed within 24 hours.
    #[schemars(extend("enum" = ["succeeded", "failed", "cancelled", "unfinished", "abandoned"]))]
    outcome: String,
    version: Option<String>,
    url: Option<String>,
    #[schemars(extend("format" = "date-time"))]
    created_at: String,
    /// When it first succeeded, or first failed without a success.
    #[schemars(extend("format" = "date-time"))]
    finished_at: Option<String>,
    /// What it was, compared with what production had before; null for a failed attempt, without an end, and outside of
    /// production.
    #[schemars(extend("enum" = ["first", "change", "rollout", "rollback", "redeploy", "unknown", null]))]
    kind: Option<String>,
    /// Whether it is one of the succeeded deployments of the metrics.
    counts: bool,
    /// The deployment that a rollout repeats.
    repeats: Option<i64>,
    /// What was in force before it.
    replaces: Option<i64>,
    /// How many pull requests it delivered, or a failed attempt contained.
    pull_request_count: i32,
    /// Some of it may have been brought by an earlier deployment whose commits cannot be read.
    after_unknown: bool,
    /// It is a merge: how it went, and when it reached production, is not known.
    assumed: bool,
    /// Why it failed after its success.
    failures: Vec<String>,
    /// Why it is rework.
    rework: Vec<String>,
    /// The deployment that remedied it.
    remedied_by: Option<i64>,
    #[schemars(extend("format" = "date-time"))]
    remedied_at: Option<String>,
    /// The commits, as `owner/name@sha`.
    revisions: Vec<String>,
    /// The share of the team that was asked for.
    share: Option<f64>,
}

/// Context for reading the list.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DeploymentsMeta {
    timezone: String,
    range: Range,
    basis: &'static str,
    /// The team whose shares are shown; null without one.
    team: Option<TeamRef>,
    /// Only deployments of this service; null for all.
    service: Option<ServiceRef>,
    /// The environment, or `production` or `transient` for all that are.
    environment: String,
    /// Rows on this page.
    count: usize,
    /// For the next page; null on the last page.
    next_cursor: Option<String>,
}

/// A deployment and what it delivered.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DeploymentDetails {
    #[serde(flatten)]
    deployment: Deployment,
    /// The states that it has had, in order.
    states: Vec<DeploymentState>,
    /// The share of each team, by each basis.
    shares: Vec<TeamShare>,
    /// The failed deployments that it remedied.
    remedies: Vec<i64>,
    /// The incidents that belong to it.
    incidents: Vec<LinkedIncident>,
    /// The pull requests that it delivered; of a failed attempt those that it contained and nothing delivered before. Null
    /// without the scope prs:read.
    pull_requests: Option<Vec<ContainedPullRequest>>,
}

/// A team's share of a deployment.
#[derive(Debug, Serialize, JsonSchema)]
struct TeamShare {
    #[schemars(extend("enum" = ["delivered", "owned"]))]
    basis: String,
    team: String,
    share: f64,
}

/// An incident that belongs to a deployment.
#[derive(Debug, Serialize, JsonSchema)]
struct LinkedIncident {
    id: i64,
    /// Why: `set` by a person, `named` by its source, or by the `window` before its start.
    #[schemars(extend("enum" = ["set", "named", "window"]))]
    rule: String,
}

impl From<LinkedIncidentRow> for LinkedIncident {
    fn from(row: LinkedIncidentRow) -> Self {
        Self { id: row.id.0, rule: row.rule }
    }
}

/// A state of a deployment.
#[derive(Debug, Serialize, JsonSchema)]
struct DeploymentState {
    #[schemars(extend("format" = "date-time"))]
    at: String,
    #[schemars(extend("enum" = ["in_progress", "success", "failure", "cancelled", "inactive"]))]
    state: String,
    environment: Option<String>,
}

/// A pull request of a deployment.
#[derive(Debug, Serialize, JsonSchema)]
struct ContainedPullRequest {
    repository: String,
    number: i64,
    title: String,
    /// Whether the deployment delivered it; false for a failed attempt.
    delivered: bool,
    #[schemars(extend("format" = "date-time"))]
    merged_at: String,
    /// The commit by which it was recognized; null for a failed attempt.
    #[schemars(extend("enum" = ["merge_commit", "head_commit", null]))]
    via: Option<String>,
    /// From the first commit to the delivery.
    lead_time_hours: Option<f64>,
    /// From the merge to the delivery.
    deploy_hours: Option<f64>,
    /// The teams that it counts for.
    teams: Vec<TeamWeight>,
}

/// A team's weight of a pull request, by the membership of its author that contains the merge (`attribution@1`).
#[derive(Debug, Serialize, JsonSchema)]
struct TeamWeight {
    team: String,
    weight: f64,
    membership_id: i64,
}

/// The instant that the response describes.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DeploymentMeta {
    #[schemars(extend("format" = "date-time"))]
    as_of: String,
}

impl From<DeliveredPullRequest> for ContainedPullRequest {
    fn from(it: DeliveredPullRequest) -> Self {
        let teams = it.teams.into_iter();
        let teams = teams.map(|it| TeamWeight {
            team: it.team.to_string(),
            weight: weight(it.weight_units.into()),
            membership_id: it.membership,
        });
        Self {
            repository: it.repository,
            number: it.number,
            title: it.title,
            delivered: it.via.is_some(),
            merged_at: instant(it.merged_at),
            via: it.via,
            lead_time_hours: it.lead_seconds.map(hours),
            deploy_hours: it.deploy_seconds.map(hours),
            teams: teams.collect(),
        }
    }
}

impl Deployment {
    fn of(row: DeploymentRow, now: DateTime<Utc>) -> Self {
        let is_unfinished = row.outcome == "unfinished";
        let is_abandoned = is_unfinished && DeploymentOutcome::Unfinished.is_abandoned(row.created_at, now);
        Self {
            id: row.id.0,
            assumed: row.source == <&str>::from(DeploymentSource::Merges),
            source: row.source,
            external_id: row.external_id.to_string(),
            service: row.service,
            environment: row.environment,
            counts: !row.is_deleted && row.kind.as_deref().is_some_and(|kind| kind != "rollout"),
            outcome: if is_abandoned { "abandoned".to_owned() } else { row.outcome },
            version: row.version,
            url: row.url,
            created_at: instant(row.created_at),
            finished_at: row.finished_at.map(instant),
            kind: row.kind,
            repeats: row.repeats.map(|id| id.0),
            replaces: row.replaces.map(|id| id.0),
            pull_request_count: row.pull_requests,
            after_unknown: row.is_after_unknown,
            failures: row.failures,
            rework: row.rework,
            remedied_by: row.remedied_by.map(|id| id.0),
            remedied_at: row.remedied_at.map(instant),
            revisions: row.revisions,
            share: row.share.map(Share::as_part),
        }
    }
}

impl Deployment {
    const COLUMNS: [&'static str; 23] = [
        "id",
        "source",
        "external_id",
        "service",
        "environment",
        "outcome",
        "version",
        "url",
        "created_at",
        "finished_at",
        "kind",
        "counts",
        "repeats",
        "replaces",
        "pull_request_count",
        "after_unknown",
        "assumed",
        "failures",
        "rework",
        "remedied_by",
        "remedied_at",
        "revisions",
        "share",
    ];

    fn push(&self, rows: &mut Rows) -> Result<(), ApiError> {
        let (failures, rework, revisions) = (self.failures.join(" "), self.rework.join(" "), self.revisions.join(" "));
        rows.push([
            Cell::Whole(Some(self.id)),
            Cell::Text(&self.source),
            Cell::Text(&self.external_id),
            Cell::Text(&self.service),
            Cell::Text(&self.environment),
            Cell::Text(&self.outcome),
            Cell::optional(self.version.as_deref()),
            Cell::optional(self.url.as_deref()),
            Cell::Text(&self.created_at),
            Cell::optional(self.finished_at.as_deref()),
            Cell::optional(self.kind.as_deref()),
            Cell::Flag(self.counts),
            Cell::Whole(self.repeats),
            Cell::Whole(self.replaces),
            Cell::Whole(Some(self.pull_request_count.into())),
            Cell::Flag(self.after_unknown),
            Cell::Flag(self.assumed),
            Cell::Text(&failures),
            Cell::Text(&rework),
            Cell::Whole(self.remedied_by),
            Cell::optional(self.remedied_at.as_deref()),
            Cell::Text(&revisions),
            Cell::Number(self.share),
        ])?;
        Ok(())
    }
}

/// Deployments, one page at a time.
async fn list(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    let DeploymentsParameters { selection, environment, form, page } = request.parameters()?;
    let format = request.format(form.format)?;
    let viewer = request.access()?.viewer();
    let mut report = DeliveryReport::prepare(&api.store, selection.query(), &viewer, api.now()).await?;
    let filter = report.deployments_to(environment.as_deref());
    let identity = report.list_identity(&filter);
    let after = page.cursor.as_deref().map(|text| cursors::parse(text, &identity)).transpose()?;
    let DeploymentList { deployments, next } = report.deployments(&filter, after, page.limit).await?;
    let next_cursor = next.map(|next: PagePosition| cursors::to_text(next, &identity));
    let deployments: Vec<Deployment> = deployments.into_iter().map(|row| Deployment::of(row, api.now())).collect();
    let range = report.range();
    let meta = DeploymentsMeta {
        timezone: range.zone.name().to_owned(),
        range: Range { from: range.from, to: range.to },
        basis: report.basis().definition(),
        team: report.team().map(TeamRef::from),
        service: report.service().map(ServiceRef::from),
        environment: filter.environment.unwrap_or_default(),
        count: deployments.len(),
        next_cursor: next_cursor.clone(),
    };
    let etag = ETag::of_content(&(request.operation.id, format!("{format:?} {form:?}"), &deployments, &meta))?;
    etag.unless_known(&request.headers, || {
        let response = match format {
            Format::Json => answer(deployments, meta),
            Format::Csv => {
                let mut rows = Rows::new(Deployment::COLUMNS)?;
                for deployment in &deployments {
                    deployment.push(&mut rows)?;
                }
                csv(rows, "deployments", &meta, form.has_bom)?
            }
        };
        Ok(with_next_cursor(response, next_cursor))
    })
}

/// A deployment and what it delivered.
async fn one(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    let NoParameters = request.parameters()?;
    request.format(None)?;
    request.refuse_limited()?;
    let shows_pull_requests = request.access()?.has(Scope::PrsRead);
    let id = request.deployment()?;
    let mut session = api.store.session().await?;
    let deployment =
        session.deployment(id).await?.ok_or_else(|| ApiError::NotFound("There is no such deployment.".into()))?;
    let states = session.deployment_states(id).await?;
    let shares = session.shares_of(id).await?.into_iter();
    let shares = shares.map(|it| TeamShare { basis: it.basis, team: it.team.to_string(), share: it.share.as_part() });
    let remedies = session.remedied_by(id).await?.into_iter().map(|it| it.0).collect();
    let incidents = session.incidents_of(id).await?.into_iter().map(LinkedIncident::from).collect();
    let delivered = if shows_pull_requests { Some(session.delivered_by(id).await?) } else { None };
    let details = DeploymentDetails {
        deployment: Deployment::of(deployment, api.now()),
        states: states
            .into_iter()
            .map(|it| DeploymentState { at: instant(it.at), state: it.state, environment: it.environment })
            .collect(),
        shares: shares.collect(),
        remedies,
        incidents,
        pull_requests: delivered.map(|delivered| delivered.into_iter().map(ContainedPullRequest::from).collect()),
    };
    let etag = ETag::of_content(&(request.operation.id, &details))?;
    etag.unless_known(&request.headers, || Ok(answer(details, DeploymentMeta { as_of: instant(api.now()) })))
}
