//! `GET /v1/metrics/team/{team_id}/change` and `/forecast`: what a team's history says.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use chrono::NaiveDate;
use http::Method;
use mergeline_domain::insight::{Baseline, ChangeReport, ForecastReport, Horizon, MetricUnit};
use mergeline_domain::metrics::Interval;
use mergeline_reporting::{Report, ReportKind};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::reports::{RequestedReport, with_meta};
use super::resources::{Meta, TeamRef};
use crate::auth::scope::Scope;
use crate::http::errors::ApiError;
use crate::http::operation::{Admit, Body, Operation, enveloped};
use crate::http::parameters::{
    BASE, BOM, COUNT, FORMAT, FROM, Form, LAST, Parameter, ParameterReader, Parameters, REPO, Selection, TO, TZ, WEEKS,
    horizon_of,
};
use crate::http::request::ApiRequest;
use crate::http::tables::{Cell, Rows};
use crate::state::Api;

pub(crate) const CHANGE: Operation = Operation {
    method: Method::GET,
    path: "/metrics/team/{team_id}/change",
    handler: |filter| on(filter, change),
    admission: Admit::Statistics,
    id: "getChange",
    summary: "Lasting changes of a team's weeks",
    description: "change@1, of merged pull requests by week and of the weekly median from opening to merge: when the level changed and has \
                  stayed, from what to what, and the limits within which weeks usually are. Weeks that are not over, or were not read \
                  completely, are left out. The default range is the last three years.",
    scope: Some(Scope::MetricsRead),
    parameters: ChangeParameters::DESCRIPTIONS,
    has_csv: true,
    has_etag: true,
    request_body: None,
    body: Body::Json(enveloped::<TeamChanges, Meta>),
};

pub(crate) const FORECAST: Operation = Operation {
    path: "/metrics/team/{team_id}/forecast",
    handler: |filter| on(filter, forecast),
    id: "getForecast",
    summary: "How many pull requests a team is likely to merge",
    description: "forecast@1, from the complete weeks up to now: the totals of the next weeks with their probabilities, when `count` will be \
                  merged, and how often such forecasts of this team held. It takes 26 weeks without a gap.",
    parameters: ForecastParameters::DESCRIPTIONS,
    body: Body::Json(enveloped::<TeamForecast, Meta>),
    ..CHANGE
};

#[derive(Debug)]
struct ChangeParameters(Selection, Form);

impl Parameters for ChangeParameters {
    const DESCRIPTIONS: &'static [&'static Parameter] = &[&FROM, &TO, &LAST, &TZ, &REPO, &BASE, &FORMAT, &BOM];

    fn read(reader: &mut ParameterReader) -> Self {
        Self(Selection::read(reader), Form::read(reader))
    }
}

#[derive(Debug)]
struct ForecastParameters {
    selection: Selection,
    horizon: Horizon,
    count: Option<u32>,
    form: Form,
}

impl Parameters for ForecastParameters {
    const DESCRIPTIONS: &'static [&'static Parameter] =
        &[&FROM, &TO, &LAST, &TZ, &REPO, &BASE, &WEEKS, &COUNT, &FORMAT, &BOM];

    fn read(reader: &mut ParameterReader) -> Self {
        let (horizon, count) = horizon_of(reader);
        Self { selection: Selection::read(reader), horizon, count, form: Form::read(reader) }
    }
}

/// The lasting changes of a team's weeks.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TeamChanges {
    team: TeamRef,
    /// Of the number of merged pull requests, each counted once.
    merged: ChangeReport,
    /// Of the weekly medians of the time from opening to merge, in hours.
    cycle_time: ChangeReport,
    /// Of the metrics of the teams file that are counts, or medians of times in hours, by week, in the order of the file; none with `repo`
    /// or `base`.
    metrics: Vec<MetricChange>,
}

/// The lasting changes of a metric of the teams file.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct MetricChange {
    /// Its short name in the teams file, with a digest of its meaning.
    id: String,
    /// Its display name.
    name: String,
    /// What its values are counted in.
    unit: MetricUnit,
    /// Its weeks, and what lasted.
    change: ChangeReport,
}

/// What a team is likely to merge.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TeamForecast {
    team: TeamRef,
    /// The first day of the first week that it is made from; null if the last week was not read completely.
    since: Option<NaiveDate>,
    /// The complete weeks up to now, without a gap.
    weeks_known: usize,
    /// How many of them are missing for a forecast.
    weeks_missing: usize,
    /// Null while weeks are missing.
    forecast: Option<ForecastReport>,
}

async fn change(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    let ChangeParameters(selection, form) = request.parameters()?;
    let mut requested = RequestedReport::prepare(&api, &request, ReportKind::Change, selection, form).await?;
    if let Some(response) = requested.not_modified() {
        return Ok(response);
    }
    let changes = requested.report.changes().await?;
    let meta = requested.meta(Some(Interval::Week), &changes.warnings);
    let data = TeamChanges::from(changes);
    Ok(requested.tagged(requested.response(data, meta, change_rows)?))
}

async fn forecast(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    let ForecastParameters { selection, horizon, count, form } = request.parameters()?;
    let requested = RequestedReport::prepare(&api, &request, ReportKind::Forecast, selection, form).await?;
    let mut requested = requested.that_depends_on(&format!("{horizon:?} {count:?}"));
    if let Some(response) = requested.not_modified() {
        return Ok(response);
    }
    let found = requested.report.forecast(horizon, count).await?;
    let meta = requested.meta(Some(Interval::Week), &found.warnings);
    let data = TeamForecast::from(found);
    Ok(requested.tagged(requested.response(data, meta, forecast_rows)?))
}

/// The `data` and `meta` of a team's changes, for programs that do not use HTTP.
///
/// # Errors
/// If it cannot be serialized as JSON.
pub fn changes_json(report: &Report, changes: &mergeline_reporting::TeamChanges) -> Result<Value, serde_json::Error> {
    with_meta(report, TeamChanges::from(changes.clone()), &changes.warnings)
}

/// The `data` and `meta` of a team's forecast, for programs that do not use HTTP.
///
/// # Errors
/// If it cannot be serialized as JSON.
pub fn forecast_json(report: &Report, found: &mergeline_reporting::TeamForecast) -> Result<Value, serde_json::Error> {
    with_meta(report, TeamForecast::from(found.clone()), &found.warnings)
}

impl From<mergeline_reporting::TeamChanges> for TeamChanges {
    fn from(changes: mergeline_reporting::TeamChanges) -> Self {
        let of_metric = |mergeline_reporting::MetricChange { metric, change }| MetricChange {
            id: metric.versioned_id(),
            unit: metric.unit(),
            name: metric.name,
            change,
        };
        Self {
            team: (&changes.team).into(),
            merged: changes.merged,
            cycle_time: changes.cycle_time,
            metrics: changes.metrics.into_iter().map(of_metric).collect(),
        }
    }
}

impl From<mergeline_reporting::TeamForecast> for TeamForecast {
    fn from(found: mergeline_reporting::TeamForecast) -> Self {
        Self {
            team: (&found.team).into(),
            since: found.since,
            weeks_known: found.weeks_known,
            weeks_missing: found.weeks_missing,
            forecast: found.forecast,
        }
    }
}

/// A row for each week of each number, with the limits of its baseline and the change that began in it.
fn change_rows(changes: &TeamChanges) -> Result<Rows, csv::Error> {
    let mut rows = Rows::new([
        "measure",
        "start",
        "value",
        "n",
        "center",
        "lower",
        "upper",
        "is_outside",
        "changed_from",
        "changed_to",
        "found",
        "fte_from",
        "fte_to",
    ])?;
    let metrics = changes.metrics.iter().map(|it| (it.id.as_str(), &it.change));
    let built_in = [("merged", &changes.merged), ("cycle_time_hours", &changes.cycle_time)];
    for (measure, report) in built_in.into_iter().chain(metrics) {
        for week in &report.weeks {
            let is_of = |it: &&Baseline| it.from <= week.start && it.until.is_none_or(|until| week.start < until);
            let baseline = report.baselines.iter().find(is_of);
            let change = report.changes.iter().find(|change| change.since == week.start);
            let found = change.map(|change| change.found.to_string());
            rows.push([
                Cell::Text(measure),
                Cell::Text(&week.start.to_string()),
                Cell::Number(week.value),
                // Of a week that is not complete, what was counted is no number.
                Cell::Number(week.value.map(|_| week.n)),
                Cell::Number(baseline.map(|it| it.center)),
                Cell::Number(baseline.map(|it| it.lower)),
                Cell::Number(baseline.map(|it| it.upper)),
                Cell::Flag(week.is_outside),
                Cell::Number(change.map(|change| change.from)),
                Cell::Number(change.map(|change| change.to)),
                Cell::optional(found.as_deref()),
                Cell::Number(change.and_then(|change| change.fte).map(|fte| fte.from)),
                Cell::Number(change.and_then(|change| change.fte).map(|fte| fte.to)),
            ])?;
        }
    }
    Ok(rows)
}

/// A row for each number of weeks ahead; none while weeks are missing.
fn forecast_rows(found: &TeamForecast) -> Result<Rows, csv::Error> {
    let mut rows =
        Rows::new(["weeks", "by", "expected", "p2_5", "p10", "p15", "p25", "p50", "p75", "p85", "p90", "p97_5"])?;
    for total in found.forecast.iter().flat_map(|forecast| &forecast.totals) {
        let by = total.by.to_string();
        let numbers = [
            total.expected,
            total.p2_5,
            total.p10,
            total.p15,
            total.p25,
            total.p50,
            total.p75,
            total.p85,
            total.p90,
            total.p97_5,
        ];
        let ends = [Cell::Whole(i64::try_from(total.weeks).ok()), Cell::Text(&by)];
        rows.push(ends.into_iter().chain(numbers.map(|number| Cell::Number(Some(number)))))?;
    }
    Ok(rows)
}
