//! `GET /v1/metrics/team/{team_id}/velocity` and `/lead-time`.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use chrono::NaiveDate;
use http::Method;
use mergeline_reporting::{ReportKind, TeamReport, TeamStatistics};
use schemars::JsonSchema;
use serde::Serialize;

use super::resources::{Bucket, Meta, Numbers, TeamRef};
use super::team_reports::RequestedReport;
use crate::auth::scope::Scope;
use crate::http::envelope::{answer, csv};
use crate::http::errors::ApiError;
use crate::http::negotiation::Format;
use crate::http::operation::{Admit, Body, Operation, enveloped};
use crate::http::parameters::{
    BASE, BOM, FORMAT, FROM, Form, INTERVAL, LAST, Parameter, ParameterReader, Parameters, REPO, Selection, TO, TZ,
    WEEK, WEIGHTING,
};
use crate::http::request::ApiRequest;
use crate::http::tables::{Cell, Rows};
use crate::state::Api;

pub(crate) const VELOCITY: Operation = Operation {
    method: Method::GET,
    path: "/metrics/team/{team_id}/velocity",
    handler: |filter| on(filter, velocity),
    admission: Admit::Statistics,
    id: "getVelocity",
    summary: "Merged pull requests by calendar unit",
    description: "velocity@1: counts, weighted counts, cycle time and phases by week (or `interval`), and totals for the whole range. \
                  The default range is the last 12 weeks.",
    scope: Some(Scope::MetricsRead),
    parameters: StatisticsParameters::DESCRIPTIONS,
    has_csv: true,
    has_etag: true,
    body: Body::Json(enveloped::<TeamBuckets, Meta>),
};

pub(crate) const LEAD_TIME: Operation = Operation {
    path: "/metrics/team/{team_id}/lead-time",
    handler: |filter| on(filter, lead_time),
    id: "getLeadTime",
    summary: "How long merged pull requests took",
    description: "pr_cycle_time@1: from opening to merge by month (or `interval`), and for the whole range. The default range is the \
                  last six months. It is not DORA's change lead time, which is change_lead_time@1 of the team's DORA metrics.",
    ..VELOCITY
};

#[derive(Debug)]
struct StatisticsParameters {
    selection: Selection,
    form: Form,
}

impl Parameters for StatisticsParameters {
    const DESCRIPTIONS: &'static [&'static Parameter] =
        &[&FROM, &TO, &LAST, &WEEK, &TZ, &INTERVAL, &REPO, &BASE, &WEIGHTING, &FORMAT, &BOM];

    fn read(reader: &mut ParameterReader) -> Self {
        Self { selection: Selection::read(reader), form: Form::read(reader) }
    }
}

/// A team's merged pull requests by calendar unit.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TeamBuckets {
    team: TeamRef,
    /// Every unit that the range touches, including those without merges.
    buckets: Vec<Bucket>,
    total: Total,
}

/// The whole range, computed from its pull requests, not from the buckets.
#[derive(Debug, Serialize, JsonSchema)]
struct Total {
    /// Whether it is over and was fully read.
    complete: bool,
    #[serde(flatten)]
    numbers: Numbers,
}

impl From<&TeamStatistics> for TeamBuckets {
    fn from(statistics: &TeamStatistics) -> Self {
        Self {
            team: (&statistics.team).into(),
            buckets: statistics.buckets.iter().map(Bucket::from).collect(),
            total: Total { complete: statistics.is_complete, numbers: (&statistics.total).into() },
        }
    }
}

/// A team's merged pull requests by week or another unit.
async fn velocity(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    statistics(&api, &request, ReportKind::Velocity).await
}

/// How long a team's merged pull requests took, by month or another unit.
async fn lead_time(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    statistics(&api, &request, ReportKind::LeadTime).await
}

async fn statistics(api: &Api, request: &ApiRequest, kind: ReportKind) -> Result<Response, ApiError> {
    let StatisticsParameters { selection, form } = request.parameters()?;
    let mut requested = RequestedReport::prepare(api, request, kind, selection, form).await?;
    if let Some(response) = requested.not_modified() {
        return Ok(response);
    }
    let statistics = requested.report.statistics().await?;
    let meta = requested.meta(Some(statistics.interval), &statistics.warnings);
    let data = TeamBuckets::from(&statistics);
    let response = match requested.format {
        Format::Json => answer(data, meta),
        Format::Csv => csv(rows(&data, &statistics)?, &file_name(&requested.report), &meta, requested.has_bom)?,
    };
    Ok(requested.tagged(response))
}

/// The file name under which a browser saves the table: `payments-velocity`.
fn file_name(report: &TeamReport) -> String {
    let definition = report.kind().definition();
    format!("{}-{}", report.team().slug, definition.split('@').next().unwrap_or(definition))
}

/// A row for each bucket, and one for the whole range, called `total`.
fn rows(data: &TeamBuckets, statistics: &TeamStatistics) -> Result<Rows, ApiError> {
    let columns = Numbers::columns();
    let header = ["bucket", "start", "end", "complete"].into_iter().chain(columns.iter().map(String::as_str));
    let mut rows = Rows::new(header)?;
    let mut push = |label: &str, start: NaiveDate, end: NaiveDate, complete: bool, numbers: &Numbers| {
        let (start, end) = (start.to_string(), end.to_string());
        let span = [Cell::Text(label), Cell::Text(&start), Cell::Text(&end), Cell::Flag(complete)];
        rows.push(span.into_iter().chain(numbers.cells()))
    };
    for bucket in &data.buckets {
        push(&bucket.label, bucket.start, bucket.end, bucket.complete, &bucket.numbers)?;
    }
    let range = &statistics.range;
    push("total", range.from, range.to, data.total.complete, &data.total.numbers)?;
    Ok(rows)
}

/// The `data` and `meta` of `/velocity` and `/lead-time`, for programs that do not use HTTP.
///
/// # Errors
/// If it cannot be serialized as JSON.
pub fn statistics_json(
    report: &TeamReport,
    statistics: &TeamStatistics,
) -> Result<serde_json::Value, serde_json::Error> {
    let meta = Meta::of(report, Some(statistics.interval), &statistics.warnings, true);
    Ok(serde_json::json!({
        "data": serde_json::to_value(TeamBuckets::from(statistics))?,
        "meta": serde_json::to_value(meta)?
    }))
}
