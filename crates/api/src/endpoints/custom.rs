//! `GET /v1/metrics/team/{team_id}/custom`: the metrics that the teams file defines.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use chrono::NaiveDate;
use http::Method;
use mergeline_domain::insight::{CustomMetric, MetricInterval, MetricMeasure, MetricOf, MetricStatistic, MetricUnit};
use mergeline_domain::metrics::{CUSTOM_METRIC, DateRange};
use mergeline_reporting::{MeasuredMetric, MeasuredUnit, Report, ReportKind};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::reports::{RequestedReport, data_and_meta};
use super::resources::{Completeness, Meta, TeamRef};
use crate::auth::scope::Scope;
use crate::http::errors::ApiError;
use crate::http::operation::{Admit, Body, Operation, enveloped};
use crate::http::parameters::{BOM, FORMAT, FROM, Form, LAST, Parameter, ParameterReader, Parameters, Selection, TO};
use crate::http::request::ApiRequest;
use crate::http::tables::{Cell, Rows};
use crate::state::Api;

pub(crate) const CUSTOM: Operation = Operation {
    method: Method::GET,
    path: "/metrics/team/{team_id}/custom",
    handler: |filter| on(filter, custom),
    admission: Admit::Statistics,
    id: "getCustomMetrics",
    summary: "The metrics that the teams file defines",
    description: "custom_metric@1, for each of the `metrics` of the teams file: what it means, and its number in each of its weeks or months \
                  that the range touches. The default range is the last 26 whole weeks.",
    scope: Some(Scope::MetricsRead),
    parameters: CustomParameters::DESCRIPTIONS,
    has_csv: true,
    // Why a month is not final changes within it.
    has_etag: false,
    request_body: None,
    body: Body::Json(enveloped::<TeamMetrics, Meta>),
};

#[derive(Debug)]
struct CustomParameters(Selection, Form);

impl Parameters for CustomParameters {
    const DESCRIPTIONS: &'static [&'static Parameter] = &[&FROM, &TO, &LAST, &FORMAT, &BOM];

    fn read(reader: &mut ParameterReader) -> Self {
        Self(Selection::read(reader), Form::read(reader))
    }
}

/// The metrics that the teams file defines, for a team.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TeamMetrics {
    team: TeamRef,
    /// The first day.
    from: NaiveDate,
    /// The first day after the range.
    to: NaiveDate,
    /// In the order of the file.
    metrics: Vec<Metric>,
}

/// A metric: what it means, and its numbers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Metric {
    /// Its short name in the teams file, with a digest of its meaning: another meaning gives another ID.
    id: String,
    /// Its short name.
    slug: String,
    /// Its display name.
    name: String,
    /// The ID of the formula of all such metrics.
    definition: &'static str,
    /// What it is, in words.
    formula: String,
    /// Limitations to keep in mind.
    caveats: &'static [&'static str],
    /// What it is of.
    of: MetricOf,
    /// By what deployments and incidents are the team's; null of what people wrote.
    basis: Option<&'static str>,
    /// Which number.
    statistic: MetricStatistic,
    /// What of them; null for counts, weights and shares.
    measure: Option<MetricMeasure>,
    /// What its values are counted in.
    unit: MetricUnit,
    /// The calendar unit of its numbers.
    by: MetricInterval,
    /// Every one that the range touches, oldest first.
    buckets: Vec<MetricBucket>,
}

/// The number of a metric in a week or month.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct MetricBucket {
    /// `2026-W23` or `2026-06`.
    #[serde(rename = "bucket")]
    label: String,
    /// The first day.
    start: NaiveDate,
    /// The first day after it.
    end: NaiveDate,
    #[serde(flatten)]
    completeness: Completeness,
    /// The value; null if it is of nothing, or hidden. Of a count of nothing it is 0.
    value: Option<f64>,
    /// Of how many things it is made: of a share those that `than` takes, of a measure those that have it; null if hidden.
    n: Option<i64>,
    /// The sum of their weights; null if hidden.
    weight: Option<f64>,
    /// How many `when` takes; null if hidden.
    n_taken: Option<i64>,
    /// Whether it is hidden: a group into which the metric divides the team's pull requests is of fewer people than
    /// `privacy.min_group_size`, or the week is not over.
    is_suppressed: bool,
}

async fn custom(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    let CustomParameters(selection, form) = request.parameters()?;
    let mut requested = RequestedReport::prepare(&api, &request, ReportKind::Custom, selection, form).await?;
    let found = requested.report.custom_metrics().await?;
    let meta = requested.meta(None, &found.warnings);
    let data = TeamMetrics::of(found, requested.report.range());
    Ok(requested.with_freshness(requested.response(data, meta, rows)?))
}

/// The `data` and `meta` of a team's metrics, for programs that do not use HTTP.
///
/// # Errors
/// If it cannot be serialized as JSON.
pub fn custom_json(report: &Report, found: &mergeline_reporting::TeamMetrics) -> Result<Value, serde_json::Error> {
    data_and_meta(TeamMetrics::of(found.clone(), report.range()), Meta::of(report, None, &found.warnings, true))
}

impl TeamMetrics {
    fn of(found: mergeline_reporting::TeamMetrics, range: &DateRange) -> Self {
        let metrics = found.metrics.into_iter().map(Metric::from).collect();
        Self { team: (&found.team).into(), from: range.from, to: range.to, metrics }
    }
}

impl From<MeasuredMetric> for Metric {
    fn from(MeasuredMetric { metric, units }: MeasuredMetric) -> Self {
        Self {
            id: metric.versioned_id(),
            slug: metric.id.to_string(),
            name: metric.name.clone(),
            definition: CUSTOM_METRIC,
            formula: metric.formula(),
            caveats: CustomMetric::CAVEATS,
            of: metric.of,
            basis: (!metric.of.is_of_people()).then(|| metric.basis().into()),
            statistic: metric.statistic,
            measure: metric.measure,
            unit: metric.unit(),
            by: metric.by,
            buckets: units.into_iter().map(MetricBucket::from).collect(),
        }
    }
}

impl From<MeasuredUnit> for MetricBucket {
    fn from(unit: MeasuredUnit) -> Self {
        let numbers = unit.numbers;
        Self {
            label: unit.label,
            start: unit.start,
            end: unit.end,
            completeness: unit.incomplete.as_slice().into(),
            value: unit.value,
            n: numbers.map(|it| it.n),
            weight: numbers.map(|it| it.weight.as_part()),
            n_taken: numbers.map(|it| it.taken),
            is_suppressed: numbers.is_none(),
        }
    }
}

/// A row for each week or month of each metric.
fn rows(found: &TeamMetrics) -> Result<Rows, csv::Error> {
    let header =
        ["metric", "bucket", "start", "end", "complete", "value", "unit", "n", "weight", "n_taken", "is_suppressed"];
    let mut rows = Rows::new(header)?;
    for metric in &found.metrics {
        for bucket in &metric.buckets {
            rows.push([
                Cell::Text(&metric.id),
                Cell::Text(&bucket.label),
                Cell::Text(&bucket.start.to_string()),
                Cell::Text(&bucket.end.to_string()),
                Cell::Flag(bucket.completeness.complete),
                Cell::Number(bucket.value),
                Cell::Text(metric.unit.into()),
                Cell::Whole(bucket.n),
                Cell::Number(bucket.weight),
                Cell::Whole(bucket.n_taken),
                Cell::Flag(bucket.is_suppressed),
            ])?;
        }
    }
    Ok(rows)
}
