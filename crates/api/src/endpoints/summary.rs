//! `GET /v1/metrics/team/{team_id}/summary`: a period next to the previous one.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use chrono::NaiveDate;
use http::Method;
use mergeline_reporting::{OpenNumbers, PeriodNumbers, ReportKind, SummaryChange, TeamSummary};
use schemars::JsonSchema;
use serde::Serialize;

use super::reports::RequestedReport;
use super::resources::{DurationStatistics, Meta, Numbers, TeamRef, hours, weight};
use crate::auth::scope::Scope;
use crate::http::envelope::answer;
use crate::http::errors::ApiError;
use crate::http::operation::{Admit, Body, Operation, enveloped};
use crate::http::parameters::{
    BASE, DAYS, Form, LAST, Parameter, ParameterReader, Parameters, REPO, SUMMARY_FROM, SUMMARY_TO, Selection, TZ,
    WEEK, WEIGHTING,
};
use crate::http::request::ApiRequest;
use crate::state::Api;

pub(crate) const SUMMARY: Operation = Operation {
    method: Method::GET,
    path: "/metrics/team/{team_id}/summary",
    handler: |filter| on(filter, summary),
    admission: Admit::Statistics,
    id: "getSummary",
    summary: "A period compared with the previous one",
    description: "One call for a first screen: the last four whole weeks (or the range), the preceding period of the \
                  same length, the changes if both were read completely, and the age of the open pull requests.",
    scope: Some(Scope::MetricsRead),
    parameters: SummaryParameters::DESCRIPTIONS,
    has_csv: false,
    has_etag: false,
    request_body: None,
    body: Body::Json(enveloped::<Summary, Meta>),
};

#[derive(Debug)]
struct SummaryParameters(Selection);

impl Parameters for SummaryParameters {
    const DESCRIPTIONS: &'static [&'static Parameter] =
        &[&SUMMARY_FROM, &SUMMARY_TO, &DAYS, &LAST, &WEEK, &TZ, &REPO, &BASE, &WEIGHTING];

    fn read(reader: &mut ParameterReader) -> Self {
        Self(Selection::read(reader))
    }
}

/// A period next to the previous one.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Summary {
    team: TeamRef,
    period: Period,
    /// The preceding period of the same length.
    previous: Period,
    /// The period minus the previous one; null unless both are complete.
    change: Option<Change>,
    open: Open,
}

/// The numbers of a period.
#[derive(Debug, Serialize, JsonSchema)]
struct Period {
    from: NaiveDate,
    /// The first day after the period.
    to: NaiveDate,
    /// Whether it is over and was fully read.
    complete: bool,
    #[serde(flatten)]
    numbers: Numbers,
}

/// The difference from the previous period; durations are null if one of the two periods has none.
#[derive(Debug, Serialize, JsonSchema)]
struct Change {
    prs_merged: i64,
    prs_merged_weighted: f64,
    cycle_time_p50_hours: Option<f64>,
    cycle_time_p90_hours: Option<f64>,
}

/// The currently open pull requests, by the memberships at their creation.
#[derive(Debug, Serialize, JsonSchema)]
struct Open {
    /// How long they have been open; durations are null if `privacy.min_group_size` is set.
    age: DurationStatistics,
    /// The age of the oldest one; null if `privacy.min_group_size` is set.
    oldest_hours: Option<f64>,
}

impl From<&TeamSummary> for Summary {
    fn from(summary: &TeamSummary) -> Self {
        Self {
            team: (&summary.team).into(),
            period: (&summary.period).into(),
            previous: (&summary.previous).into(),
            change: summary.change.as_ref().map(Change::from),
            open: (&summary.open).into(),
        }
    }
}

impl From<&PeriodNumbers> for Period {
    fn from(period: &PeriodNumbers) -> Self {
        let PeriodNumbers { from, to, is_complete, numbers } = period;
        Self { from: *from, to: *to, complete: *is_complete, numbers: numbers.into() }
    }
}

impl From<&SummaryChange> for Change {
    fn from(change: &SummaryChange) -> Self {
        Self {
            prs_merged: change.prs_merged,
            prs_merged_weighted: weight(change.weight_units),
            cycle_time_p50_hours: change.cycle_time_p50.map(hours),
            cycle_time_p90_hours: change.cycle_time_p90.map(hours),
        }
    }
}

impl From<&OpenNumbers> for Open {
    fn from(open: &OpenNumbers) -> Self {
        Self { age: (&open.age).into(), oldest_hours: open.oldest_seconds.map(hours) }
    }
}

/// Everything for a first screen in one call.
async fn summary(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    let SummaryParameters(selection) = request.parameters()?;
    let kind = ReportKind::Summary;
    let mut requested = RequestedReport::prepare(&api, &request, kind, selection, Form::DEFAULT).await?;
    let summary = requested.report.summary().await?;
    let meta = requested.meta(None, &summary.warnings);
    Ok(requested.with_freshness(answer(Summary::from(&summary), meta)))
}
