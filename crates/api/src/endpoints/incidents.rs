//! `GET /v1/incidents`: the incidents behind recovery times and failed deployments.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use mergeline_domain::delivery::Share;
use mergeline_reporting::{DeliveryReport, IncidentList, PagePosition};
use mergeline_store::IncidentRow;
use schemars::JsonSchema;
use serde::Serialize;

use super::deployments;
use super::dora::ServiceRef;
use super::resources::{Range, TeamRef, hours, instant};
use crate::auth::scope::Scope;
use crate::http::cursors;
use crate::http::envelope::{answer, csv, with_next_cursor};
use crate::http::errors::ApiError;
use crate::http::etag::ETag;
use crate::http::negotiation::Format;
use crate::http::operation::{Body, Operation, enveloped};
use crate::http::parameters::{
    BASIS, BOM, CURSOR, DAYS, DeliverySelection, FORMAT, FROM, Form, LAST, LIMIT, Page, Parameter, ParameterReader,
    Parameters, SERVICE, SEVERITY, TEAM, TO, TZ, WEEK, severities_of,
};
use crate::http::request::ApiRequest;
use crate::http::tables::{Cell, Rows};
use crate::state::Api;

pub(crate) const LIST: Operation = Operation {
    path: "/incidents",
    handler: |filter| on(filter, list),
    id: "listIncidents",
    summary: "The incidents behind recovery times and failed deployments",
    description: "Those that were open at any time in the range: what was resolved in it and what was open at its end. Each with the \
                  deployment that it belongs to, and with `team` that team's share. Titles need the scope prs:read. A key that is \
                  limited to teams must name one of them.",
    parameters: IncidentsParameters::DESCRIPTIONS,
    body: Body::Json(enveloped::<Vec<Incident>, IncidentsMeta>),
    ..deployments::LIST
};

#[derive(Debug)]
struct IncidentsParameters {
    selection: DeliverySelection,
    severities: Vec<String>,
    form: Form,
    page: Page,
}

impl Parameters for IncidentsParameters {
    const DESCRIPTIONS: &'static [&'static Parameter] =
        &[&FROM, &TO, &DAYS, &LAST, &WEEK, &TZ, &TEAM, &SERVICE, &BASIS, &SEVERITY, &LIMIT, &CURSOR, &FORMAT, &BOM];

    fn read(reader: &mut ParameterReader) -> Self {
        Self {
            selection: DeliverySelection::read(reader),
            severities: severities_of(reader),
            form: Form::read(reader),
            page: Page::read(reader),
        }
    }
}

/// An incident, whether it counts, and the deployment that it belongs to.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Incident {
    id: i64,
    /// Where it is known from.
    source: String,
    /// Its id there.
    external_id: String,
    /// The slug of its service; null if none is known. It then counts for the organization only.
    service: Option<String>,
    /// The repository, as `owner/name`, if it is an issue.
    repository: Option<String>,
    /// The number of the issue.
    number: Option<i64>,
    /// Null without the scope prs:read.
    title: Option<String>,
    #[schemars(extend("enum" = ["critical", "high", "medium", "low", null]))]
    severity: Option<String>,
    /// The word of its source.
    source_severity: Option<String>,
    url: Option<String>,
    /// With the earliest start of those that were merged into it.
    #[schemars(extend("format" = "date-time"))]
    started_at: String,
    #[schemars(extend("format" = "date-time"))]
    resolved_at: Option<String>,
    #[schemars(extend("enum" = ["open", "resolved", "dismissed", "merged"]))]
    outcome: String,
    /// Whether it counts. Dismissed and merged ones do not.
    counts: bool,
    /// The incident that it was merged into.
    merged_into: Option<i64>,
    /// From its start to its resolution.
    duration_hours: Option<f64>,
    /// The deployment that it belongs to.
    deployment_id: Option<i64>,
    /// Why it belongs to that one: `set` by a person, `named` by its source, or by the `window` before its start.
    #[schemars(extend("enum" = ["set", "named", "window", null]))]
    rule: Option<String>,
    /// The states that it has had, in order. They are not in the CSV.
    states: Vec<IncidentState>,
    /// The share of the team that was asked for.
    share: Option<f64>,
}

/// A state of an incident.
#[derive(Debug, Serialize, JsonSchema)]
struct IncidentState {
    #[schemars(extend("format" = "date-time"))]
    at: String,
    #[schemars(extend("enum" = ["opened", "resolved", "reopened", "dismissed", "merged"]))]
    state: String,
}

/// Context for reading the list.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct IncidentsMeta {
    timezone: String,
    range: Range,
    basis: &'static str,
    /// The team whose shares are shown; null without one.
    team: Option<TeamRef>,
    /// Only incidents of this service; null for all.
    service: Option<ServiceRef>,
    /// Rows on this page.
    count: usize,
    /// For the next page; null on the last page.
    next_cursor: Option<String>,
}

impl Incident {
    const COLUMNS: [&'static str; 19] = [
        "id",
        "source",
        "external_id",
        "service",
        "repository",
        "number",
        "title",
        "severity",
        "source_severity",
        "url",
        "started_at",
        "resolved_at",
        "outcome",
        "counts",
        "merged_into",
        "duration_hours",
        "deployment_id",
        "rule",
        "share",
    ];

    fn of(row: IncidentRow, shows_titles: bool) -> Self {
        let duration = row.resolved_at.map(|at| (at - row.started_at).as_seconds_f64());
        Self {
            id: row.id.0,
            source: row.source,
            external_id: row.external_id.to_string(),
            service: row.service,
            repository: row.repository,
            number: row.number,
            title: shows_titles.then_some(row.title),
            severity: row.severity,
            source_severity: row.source_severity,
            url: row.url,
            started_at: instant(row.started_at),
            resolved_at: row.resolved_at.map(instant),
            counts: matches!(row.outcome.as_str(), "open" | "resolved"),
            outcome: row.outcome,
            merged_into: row.merged_into.map(|id| id.0),
            // One that is resolved before it started has no duration.
            duration_hours: duration.filter(|seconds| *seconds >= 0.0).map(hours),
            deployment_id: row.deployment.map(|id| id.0),
            rule: row.rule,
            states: row.states.into_iter().map(|(at, state)| IncidentState { at: instant(at), state }).collect(),
            share: row.share.map(Share::as_part),
        }
    }

    fn push(&self, rows: &mut Rows) -> Result<(), ApiError> {
        rows.push([
            Cell::Whole(Some(self.id)),
            Cell::Text(&self.source),
            Cell::Text(&self.external_id),
            Cell::optional(self.service.as_deref()),
            Cell::optional(self.repository.as_deref()),
            Cell::Whole(self.number),
            Cell::optional(self.title.as_deref()),
            Cell::optional(self.severity.as_deref()),
            Cell::optional(self.source_severity.as_deref()),
            Cell::optional(self.url.as_deref()),
            Cell::Text(&self.started_at),
            Cell::optional(self.resolved_at.as_deref()),
            Cell::Text(&self.outcome),
            Cell::Flag(self.counts),
            Cell::Whole(self.merged_into),
            Cell::Number(self.duration_hours),
            Cell::Whole(self.deployment_id),
            Cell::optional(self.rule.as_deref()),
            Cell::Number(self.share),
        ])?;
        Ok(())
    }
}

/// Incidents, one page at a time.
async fn list(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    let IncidentsParameters { selection, severities, form, page } = request.parameters()?;
    let format = request.format(form.format)?;
    let access = request.access()?;
    let (viewer, shows_titles) = (access.viewer(), access.has(Scope::PrsRead));
    let mut report = DeliveryReport::prepare(&api.store, selection.query(), &viewer, api.now()).await?;
    let filter = report.incidents_of(severities);
    let identity = report.list_identity(&filter);
    let after = page.cursor.as_deref().map(|text| cursors::parse(text, &identity)).transpose()?;
    let IncidentList { incidents, next } = report.incidents(&filter, after, page.limit).await?;
    let next_cursor = next.map(|next: PagePosition| cursors::to_text(next, &identity));
    let incidents: Vec<Incident> = incidents.into_iter().map(|row| Incident::of(row, shows_titles)).collect();
    let range = report.range();
    let meta = IncidentsMeta {
        timezone: range.zone.name().to_owned(),
        range: Range { from: range.from, to: range.to },
        basis: report.basis().definition(),
        team: report.team().map(TeamRef::from),
        service: report.service().map(ServiceRef::from),
        count: incidents.len(),
        next_cursor: next_cursor.clone(),
    };
    let etag = ETag::of_content(&(request.operation.id, format!("{format:?} {form:?}"), &incidents, &meta))?;
    etag.unless_known(&request.headers, || {
        let response = match format {
            Format::Json => answer(incidents, meta),
            Format::Csv => {
                let mut rows = Rows::new(Incident::COLUMNS)?;
                for incident in &incidents {
                    incident.push(&mut rows)?;
                }
                csv(rows, "incidents", &meta, form.has_bom)?
            }
        };
        Ok(with_next_cursor(response, next_cursor))
    })
}
