//! `GET /v1/metrics/team/{team_id}/summary`: a period next to the previous one. `GET /v1/metrics/summary`: that of every team.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use chrono::{DateTime, NaiveDate, SubsecRound, TimeDelta, Utc};
use http::Method;
use mergeline_domain::metrics::MeasureKind;
use mergeline_reporting::{BucketNumbers, OpenNumbers, PeriodNumbers, ReportKind, SummaryChange, TeamSummary};
use mergeline_store::TeamRef;
use schemars::JsonSchema;
use serde::Serialize;

use super::reports::RequestedReport;
use super::resources::{self, Completeness, Meta, Numbers, hours, instant, weight};
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
                  same length, the changes if both were read completely, and since when pull requests are open.",
    scope: Some(Scope::MetricsRead),
    parameters: SummaryParameters::DESCRIPTIONS,
    has_csv: false,
    has_etag: true,
    request_body: None,
    body: Body::Json(enveloped::<Summary, Meta>),
};

pub(crate) const OVERVIEW: Operation = Operation {
    path: "/metrics/summary",
    handler: |filter| on(filter, overview),
    id: "getOverview",
    summary: "A summary of every team",
    description: "The summary of each team that the key shows, in alphabetical order, each beside its own past: the previous period and \
                  the twelve weeks up to the end of the range. Archived teams are left out.",
    parameters: OverviewParameters::DESCRIPTIONS,
    body: Body::Json(enveloped::<Overview, Meta>),
    ..SUMMARY
};

#[derive(Debug)]
struct OverviewParameters(Selection);

impl Parameters for OverviewParameters {
    const DESCRIPTIONS: &'static [&'static Parameter] =
        &[&SUMMARY_FROM, &SUMMARY_TO, &DAYS, &LAST, &WEEK, &TZ, &WEIGHTING];

    fn read(reader: &mut ParameterReader) -> Self {
        Self(Selection::read(reader))
    }
}

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
    team: resources::TeamRef,
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
    #[serde(flatten)]
    completeness: Completeness,
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

/// The open pull requests, by the memberships at their creation. The instants are null if there are none, or if
/// `privacy.min_group_size` is set.
#[derive(Debug, Serialize, JsonSchema)]
struct Open {
    /// How many are open.
    n: i64,
    /// The sum of their weights.
    weight: f64,
    /// When the oldest one was opened.
    #[schemars(extend("format" = "date-time"))]
    oldest_created_at: Option<String>,
    /// Half of them, by weight, have been open since then, or longer.
    #[schemars(extend("format" = "date-time"))]
    p50_created_at: Option<String>,
    /// One of ten, by weight, has been open since then, or longer.
    #[schemars(extend("format" = "date-time"))]
    p90_created_at: Option<String>,
}

/// Every visible team.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Overview {
    teams: Vec<TeamOverview>,
}

/// A team beside its own past.
#[derive(Debug, Serialize, JsonSchema)]
struct TeamOverview {
    #[serde(flatten)]
    summary: Summary,
    /// The twelve weeks up to the end of the range.
    weeks: Vec<Week>,
}

/// A week at a glance.
#[derive(Debug, Serialize, JsonSchema)]
struct Week {
    /// `2026-W23`.
    #[serde(rename = "bucket")]
    label: String,
    /// The first day.
    start: NaiveDate,
    /// The first day after the week.
    end: NaiveDate,
    #[serde(flatten)]
    completeness: Completeness,
    prs_merged: i64,
    prs_merged_weighted: f64,
    cycle_time_p50_hours: Option<f64>,
    cycle_time_p90_hours: Option<f64>,
    /// Whether durations are hidden because they come from fewer people than `privacy.min_group_size`.
    suppressed: bool,
}

impl Summary {
    fn of(summary: &TeamSummary, now: DateTime<Utc>) -> Self {
        Self {
            team: (&summary.team).into(),
            period: (&summary.period).into(),
            previous: (&summary.previous).into(),
            change: summary.change.as_ref().map(Change::from),
            open: Open::of(&summary.open, now),
        }
    }
}

impl From<&PeriodNumbers> for Period {
    fn from(period: &PeriodNumbers) -> Self {
        let PeriodNumbers { from, to, incomplete, numbers } = period;
        Self { from: *from, to: *to, completeness: incomplete.as_slice().into(), numbers: numbers.into() }
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

impl Open {
    /// Ages change with the clock. The instants at which they begin do not.
    fn of(open: &OpenNumbers, now: DateTime<Utc>) -> Self {
        // Pull requests are opened at whole seconds.
        let since = |seconds: f64| {
            let age = TimeDelta::microseconds(microseconds(seconds));
            instant((now - age).round_subsecs(0))
        };
        let durations = open.age.durations;
        Self {
            n: open.age.n,
            weight: weight(open.age.weight_units),
            oldest_created_at: open.oldest_seconds.map(since),
            p50_created_at: durations.map(|age| since(age.p50)),
            p90_created_at: durations.map(|age| since(age.p90)),
        }
    }
}

/// Rounded: a computed age is some billionths off.
#[expect(clippy::cast_possible_truncation, reason = "an age is far below 2^63 microseconds")]
fn microseconds(seconds: f64) -> i64 {
    (seconds * 1_000_000.0).round() as i64
}

impl From<&BucketNumbers> for Week {
    fn from(bucket: &BucketNumbers) -> Self {
        let durations = bucket.numbers.bucket.measure(MeasureKind::CycleTime).durations;
        Self {
            label: bucket.label.clone(),
            start: bucket.start,
            end: bucket.end,
            completeness: bucket.incomplete.as_slice().into(),
            prs_merged: bucket.numbers.bucket.prs_merged,
            prs_merged_weighted: weight(bucket.numbers.bucket.weight_units),
            cycle_time_p50_hours: durations.map(|it| hours(it.p50)),
            cycle_time_p90_hours: durations.map(|it| hours(it.p90)),
            suppressed: bucket.numbers.is_suppressed,
        }
    }
}

/// Everything for a first screen in one call.
async fn summary(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    let SummaryParameters(selection) = request.parameters()?;
    let kind = ReportKind::Summary;
    let mut requested = RequestedReport::prepare(&api, &request, kind, selection, Form::DEFAULT).await?;
    if let Some(response) = requested.not_modified() {
        return Ok(response);
    }
    let summary = requested.report.summary().await?;
    let meta = requested.meta(None, &summary.warnings);
    Ok(requested.tagged(answer(Summary::of(&summary, requested.report.now()), meta)))
}

/// Every visible team in one call.
async fn overview(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    let OverviewParameters(selection) = request.parameters()?;
    let kind = ReportKind::Overview;
    let viewer = request.access()?.viewer();
    let teams = api.store.teams(api.now()).await?.into_iter();
    let teams = teams.filter(|team| team.archived_at.is_none() && viewer.sees(&team.slug));
    let mut teams: Vec<TeamRef> = teams.map(|team| TeamRef { id: team.id, slug: team.slug, name: team.name }).collect();
    teams.sort_by_cached_key(|team| (team.name.to_lowercase(), team.id));
    let requested = RequestedReport::prepare(&api, &request, kind, selection, Form::DEFAULT).await?;
    let mut reattributing = api.store.reattributing_teams().await?;
    reattributing.retain(|id| teams.iter().any(|team| team.id == *id));
    let mut requested = requested.that_depends_on(&format!("{teams:?} {reattributing:?}"));
    if let Some(response) = requested.not_modified() {
        return Ok(response);
    }
    let overview = requested.report.overview(teams, &reattributing).await?;
    let now = requested.report.now();
    let team = |team: &mergeline_reporting::TeamOverview| TeamOverview {
        summary: Summary::of(&team.summary, now),
        weeks: team.weeks.iter().map(Week::from).collect(),
    };
    let data = Overview { teams: overview.teams.iter().map(team).collect() };
    let meta = requested.meta(None, &overview.warnings);
    Ok(requested.tagged(answer(data, meta)))
}
