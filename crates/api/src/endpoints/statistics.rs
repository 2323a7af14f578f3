//! `GET /v1/metrics/team/{team_id}/velocity` and `/lead-time`, and the same of the organization.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use http::Method;
use mergeline_domain::Weight;
use mergeline_domain::insight::Capacity;
use mergeline_domain::metrics::Allocation;
use mergeline_reporting::{BucketNumbers, Deliveries, Report, ReportKind, ReportStatistics};
use schemars::JsonSchema;
use serde::Serialize;

use super::dora::Count;
use super::reports::{RequestedReport, data_and_meta};
use super::resources::{Bucket, Completeness, DurationStatistics, Membership, Meta, Numbers, TeamRef, weight};
use crate::auth::scope::Scope;
use crate::http::errors::ApiError;
use crate::http::operation::{Admit, Body, Operation, enveloped};
use crate::http::parameters::{
    BASE, BOM, DAYS, FORMAT, FROM, Form, INTERVAL, LAST, Parameter, ParameterReader, Parameters, REPO, Selection, TO,
    TZ, WEEK, WEIGHTING,
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
    description: "velocity@1: counts, weighted counts, cycle time and phases by week (or `interval`), and totals for the whole range; \
                  beside them fte_weeks@1, the people that the team had, with the memberships that say so. The default range is the last 12 weeks.",
    scope: Some(Scope::MetricsRead),
    parameters: StatisticsParameters::DESCRIPTIONS,
    has_csv: true,
    has_etag: true,
    request_body: None,
    body: Body::Json(enveloped::<TeamBuckets, Meta>),
};

pub(crate) const LEAD_TIME: Operation = Operation {
    path: "/metrics/team/{team_id}/lead-time",
    handler: |filter| on(filter, lead_time),
    id: "getLeadTime",
    summary: "How long pull requests took",
    description: "By month (or `interval`), and for the whole range, side by side: pr_cycle_time@1, from opening to merge, by the time \
                  of the merge; and DORA's change_lead_time@1, from the first commit to production, by the time of the delivery. \
                  The default range is the last six months.",
    body: Body::Json(enveloped::<TeamLeadTimes, Meta>),
    ..VELOCITY
};

pub(crate) const ORGANIZATION_VELOCITY: Operation = Operation {
    path: "/metrics/organization/velocity",
    handler: |filter| on(filter, organization_velocity),
    id: "getOrganizationVelocity",
    summary: "Merged pull requests of the organization by calendar unit",
    description: "velocity@1 of all stored pull requests, each once. `prs_merged_weighted` is the sum of the weights of all teams, and \
                  `unallocated` is what is left: together they are `prs_merged`, unless the teams file allows weights above 1.",
    parameters: OrganizationParameters::DESCRIPTIONS,
    body: Body::Json(enveloped::<OrganizationBuckets, Meta>),
    ..VELOCITY
};

pub(crate) const ORGANIZATION_LEAD_TIME: Operation = Operation {
    path: "/metrics/organization/lead-time",
    handler: |filter| on(filter, organization_lead_time),
    id: "getOrganizationLeadTime",
    summary: "How long the organization's pull requests took",
    description: "As for a team, of all stored pull requests, each once, with what counts for no team.",
    parameters: OrganizationParameters::DESCRIPTIONS,
    body: Body::Json(enveloped::<OrganizationLeadTimes, Meta>),
    ..VELOCITY
};

#[derive(Debug)]
struct StatisticsParameters {
    selection: Selection,
    form: Form,
}

impl Parameters for StatisticsParameters {
    const DESCRIPTIONS: &'static [&'static Parameter] =
        &[&FROM, &TO, &DAYS, &LAST, &WEEK, &TZ, &INTERVAL, &REPO, &BASE, &WEIGHTING, &FORMAT, &BOM];

    fn read(reader: &mut ParameterReader) -> Self {
        Self { selection: Selection::read(reader), form: Form::read(reader) }
    }
}

/// Those of the organization, where each pull request counts once.
#[derive(Debug)]
struct OrganizationParameters(StatisticsParameters);

impl Parameters for OrganizationParameters {
    const DESCRIPTIONS: &'static [&'static Parameter] =
        &[&FROM, &TO, &DAYS, &LAST, &WEEK, &TZ, &INTERVAL, &REPO, &BASE, &FORMAT, &BOM];

    fn read(reader: &mut ParameterReader) -> Self {
        Self(StatisticsParameters::read(reader))
    }
}

/// A team's merged pull requests by calendar unit.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TeamBuckets {
    team: TeamRef,
    /// Every unit that the range touches, including those without merges.
    buckets: Vec<VelocityBucket>,
    total: VelocityTotal,
    /// The memberships that touch the range, by which the team had its people. Empty if `fte_weeks` of any bucket is hidden.
    memberships: Vec<Membership>,
}

/// How long a team's pull requests took, by calendar unit.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TeamLeadTimes {
    team: TeamRef,
    /// Every unit that the range touches, including those without merges.
    buckets: Vec<LeadTimeBucket>,
    total: LeadTimeTotal,
}

/// The organization's merged pull requests by calendar unit.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct OrganizationBuckets {
    /// Every unit that the range touches, including those without merges.
    buckets: Vec<OrganizationBucket>,
    total: OrganizationTotal,
}

/// How long the organization's pull requests took, by calendar unit.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct OrganizationLeadTimes {
    /// Every unit that the range touches, including those without merges.
    buckets: Vec<OrganizationLeadTimeBucket>,
    total: OrganizationLeadTimeTotal,
}

/// The whole range, computed from its pull requests, not from the buckets.
#[derive(Debug, Serialize, JsonSchema)]
struct Total {
    #[serde(flatten)]
    completeness: Completeness,
    #[serde(flatten)]
    numbers: Numbers,
}

/// A calendar unit with the people that the team had.
#[derive(Debug, Serialize, JsonSchema)]
struct VelocityBucket {
    #[serde(flatten)]
    bucket: Bucket,
    #[serde(flatten)]
    capacity: Capacity,
}

/// The whole range with the people that the team had.
#[derive(Debug, Serialize, JsonSchema)]
struct VelocityTotal {
    #[serde(flatten)]
    total: Total,
    #[serde(flatten)]
    capacity: Capacity,
}

/// A calendar unit with its deliveries.
#[derive(Debug, Serialize, JsonSchema)]
struct LeadTimeBucket {
    #[serde(flatten)]
    bucket: Bucket,
    /// What was delivered in it. Null where no source reports deployments, or nothing is known of its days.
    change_lead_time: Option<ChangeLeadTime>,
}

/// The whole range with its deliveries.
#[derive(Debug, Serialize, JsonSchema)]
struct LeadTimeTotal {
    #[serde(flatten)]
    total: Total,
    /// What was delivered in it. Null where no source reports deployments, or nothing is known of its days.
    change_lead_time: Option<ChangeLeadTime>,
}

/// A calendar unit of the organization.
#[derive(Debug, Serialize, JsonSchema)]
struct OrganizationBucket {
    #[serde(flatten)]
    bucket: Bucket,
    unallocated: Unallocated,
}

/// The whole range of the organization.
#[derive(Debug, Serialize, JsonSchema)]
struct OrganizationTotal {
    #[serde(flatten)]
    total: Total,
    unallocated: Unallocated,
    not_counted: NotCounted,
}

/// A calendar unit of the organization with its deliveries.
#[derive(Debug, Serialize, JsonSchema)]
struct OrganizationLeadTimeBucket {
    #[serde(flatten)]
    bucket: LeadTimeBucket,
    unallocated: Unallocated,
}

/// The whole range of the organization with its deliveries.
#[derive(Debug, Serialize, JsonSchema)]
struct OrganizationLeadTimeTotal {
    #[serde(flatten)]
    total: LeadTimeTotal,
    unallocated: Unallocated,
    not_counted: NotCounted,
}

/// From the first commit to production (`change_lead_time@1`).
#[derive(Debug, Serialize, JsonSchema)]
struct ChangeLeadTime {
    #[serde(flatten)]
    durations: DurationStatistics,
    /// All delivered pull requests, also those without a known first commit.
    delivered: Count,
}

/// Merged pull requests that count for no team, wholly or in part.
#[derive(Debug, Serialize, JsonSchema)]
struct Unallocated {
    /// What is left over by the weights of all teams.
    weight: f64,
    /// Pull requests whose author was in no team at the time.
    no_team: i64,
    /// Pull requests whose weights sum to less than 1.
    partly: i64,
    /// What is left of those.
    partly_weight: f64,
}

/// Merged pull requests that do not count, by reason. Those of people outside of the teams are not stored.
#[derive(Debug, Serialize, JsonSchema)]
struct NotCounted {
    /// GitHub no longer has them.
    deleted: i64,
}

impl From<&Deliveries> for ChangeLeadTime {
    fn from(deliveries: &Deliveries) -> Self {
        Self { durations: (&deliveries.lead_time).into(), delivered: deliveries.delivered.into() }
    }
}

impl ChangeLeadTime {
    /// The column names of [`Self::cells`].
    fn columns() -> Vec<String> {
        let durations = DurationStatistics::COLUMNS.map(|column| format!("change_lead_time_{column}"));
        durations.into_iter().chain(["delivered_n", "delivered_weight"].map(str::to_owned)).collect()
    }

    /// All empty where nothing is known.
    fn cells(deliveries: Option<&Deliveries>) -> Vec<Cell<'static>> {
        let Some(deliveries) = deliveries else { return Self::columns().iter().map(|_| Cell::Number(None)).collect() };
        let Self { durations, delivered } = deliveries.into();
        durations.cells().into_iter().chain(delivered.cells()).collect()
    }
}

impl From<Option<Allocation>> for Unallocated {
    fn from(allocation: Option<Allocation>) -> Self {
        let Allocation { no_team, partly, partly_units, .. } = allocation.unwrap_or_default();
        let weight_of_rest = weight(partly_units);
        Self {
            weight: weight(no_team * i64::from(Weight::UNITS) + partly_units),
            no_team,
            partly,
            partly_weight: weight_of_rest,
        }
    }
}

impl Unallocated {
    const COLUMNS: [&'static str; 4] = ["unallocated_weight", "no_team", "partly", "partly_weight"];

    fn cells(&self) -> [Cell<'static>; 4] {
        [
            Cell::Number(Some(self.weight)),
            Cell::Whole(Some(self.no_team)),
            Cell::Whole(Some(self.partly)),
            Cell::Number(Some(self.partly_weight)),
        ]
    }
}

/// The column names of [`capacity_cells`].
const CAPACITY_COLUMNS: [&str; 2] = ["fte_weeks", "merged_per_fte_week"];

fn capacity_cells<'a>(capacity: Capacity) -> [Cell<'a>; 2] {
    [Cell::Number(capacity.fte_weeks), Cell::Number(capacity.merged_per_fte_week)]
}

impl From<&BucketNumbers> for VelocityBucket {
    fn from(bucket: &BucketNumbers) -> Self {
        Self { bucket: bucket.into(), capacity: bucket.capacity.unwrap_or(Capacity::HIDDEN) }
    }
}

impl From<&BucketNumbers> for LeadTimeBucket {
    fn from(bucket: &BucketNumbers) -> Self {
        Self { bucket: bucket.into(), change_lead_time: bucket.lead_time.as_ref().map(ChangeLeadTime::from) }
    }
}

impl From<&BucketNumbers> for OrganizationBucket {
    fn from(bucket: &BucketNumbers) -> Self {
        Self { bucket: bucket.into(), unallocated: bucket.allocation.into() }
    }
}

impl From<&BucketNumbers> for OrganizationLeadTimeBucket {
    fn from(bucket: &BucketNumbers) -> Self {
        Self { bucket: bucket.into(), unallocated: bucket.allocation.into() }
    }
}

impl From<&ReportStatistics> for Total {
    fn from(statistics: &ReportStatistics) -> Self {
        Self { completeness: statistics.incomplete.as_slice().into(), numbers: (&statistics.total).into() }
    }
}

impl From<&ReportStatistics> for LeadTimeTotal {
    fn from(statistics: &ReportStatistics) -> Self {
        let change_lead_time = statistics.lead_time.as_ref().map(ChangeLeadTime::from);
        Self { total: statistics.into(), change_lead_time }
    }
}

/// The `data` of a report.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Data {
    Team(TeamBuckets),
    TeamLeadTimes(TeamLeadTimes),
    Organization(OrganizationBuckets),
    OrganizationLeadTimes(OrganizationLeadTimes),
}

impl Data {
    fn of(kind: ReportKind, statistics: &ReportStatistics) -> Self {
        let buckets = &statistics.buckets;
        let unallocated = Unallocated::from(statistics.allocation);
        let not_counted = NotCounted { deleted: statistics.allocation.unwrap_or_default().deleted };
        match (statistics.team.as_ref().map(TeamRef::from), kind) {
            (Some(team), ReportKind::LeadTime) => Self::TeamLeadTimes(TeamLeadTimes {
                team,
                buckets: buckets.iter().map(LeadTimeBucket::from).collect(),
                total: statistics.into(),
            }),
            (Some(team), _) => Self::Team(TeamBuckets {
                team,
                buckets: buckets.iter().map(VelocityBucket::from).collect(),
                total: VelocityTotal {
                    total: statistics.into(),
                    capacity: statistics.capacity.unwrap_or(Capacity::HIDDEN),
                },
                memberships: statistics.memberships.iter().map(Membership::from).collect(),
            }),
            (None, ReportKind::LeadTime) => Self::OrganizationLeadTimes(OrganizationLeadTimes {
                buckets: buckets.iter().map(OrganizationLeadTimeBucket::from).collect(),
                total: OrganizationLeadTimeTotal { total: statistics.into(), unallocated, not_counted },
            }),
            (None, _) => Self::Organization(OrganizationBuckets {
                buckets: buckets.iter().map(OrganizationBucket::from).collect(),
                total: OrganizationTotal { total: statistics.into(), unallocated, not_counted },
            }),
        }
    }
}

/// A team's merged pull requests by week or another unit.
async fn velocity(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    statistics(&api, &request, ReportKind::Velocity, request.parameters()?).await
}

/// How long a team's pull requests took, by month or another unit.
async fn lead_time(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    statistics(&api, &request, ReportKind::LeadTime, request.parameters()?).await
}

/// The organization's merged pull requests by week or another unit.
async fn organization_velocity(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    let OrganizationParameters(parameters) = request.parameters()?;
    statistics(&api, &request, ReportKind::Velocity, parameters).await
}

/// How long the organization's pull requests took, by month or another unit.
async fn organization_lead_time(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    let OrganizationParameters(parameters) = request.parameters()?;
    statistics(&api, &request, ReportKind::LeadTime, parameters).await
}

async fn statistics(
    api: &Api,
    request: &ApiRequest,
    kind: ReportKind,
    StatisticsParameters { selection, form }: StatisticsParameters,
) -> Result<Response, ApiError> {
    let mut requested = RequestedReport::prepare(api, request, kind, selection, form).await?;
    if let Some(response) = requested.not_modified() {
        return Ok(response);
    }
    let statistics = requested.report.statistics().await?;
    let meta = requested.meta(Some(statistics.interval), &statistics.warnings);
    let response = requested.response(Data::of(kind, &statistics), meta, |_| rows(kind, &statistics))?;
    Ok(requested.tagged(response))
}

/// A row for each bucket, and one for the whole range, called `total`.
fn rows(kind: ReportKind, statistics: &ReportStatistics) -> Result<Rows, csv::Error> {
    let has_lead_times = kind == ReportKind::LeadTime;
    let mut columns: Vec<String> = ["bucket", "start", "end", "complete"].map(str::to_owned).into();
    columns.extend(Numbers::columns());
    columns.extend(has_lead_times.then(ChangeLeadTime::columns).into_iter().flatten());
    let has_rest = statistics.team.is_none();
    columns.extend(has_rest.then_some(Unallocated::COLUMNS).into_iter().flatten().map(str::to_owned));
    columns.extend(statistics.capacity.map(|_| CAPACITY_COLUMNS.map(str::to_owned)).into_iter().flatten());
    let mut rows = Rows::new(columns.iter().map(String::as_str))?;
    for bucket in &statistics.buckets {
        let Bucket { label, start, end, completeness, numbers } = bucket.into();
        let (start, end) = (start.to_string(), end.to_string());
        let mut cells =
            vec![Cell::Text(&label), Cell::Text(&start), Cell::Text(&end), Cell::Flag(completeness.complete)];
        cells.extend(numbers.cells());
        cells.extend(has_lead_times.then(|| ChangeLeadTime::cells(bucket.lead_time.as_ref())).into_iter().flatten());
        cells.extend(bucket.allocation.into_iter().flat_map(|it| Unallocated::from(Some(it)).cells()));
        cells.extend(bucket.capacity.into_iter().flat_map(capacity_cells));
        rows.push(cells)?;
    }
    let (start, end) = (statistics.range.from.to_string(), statistics.range.to.to_string());
    let Total { completeness, numbers } = statistics.into();
    let mut cells = vec![Cell::Text("total"), Cell::Text(&start), Cell::Text(&end), Cell::Flag(completeness.complete)];
    cells.extend(numbers.cells());
    cells.extend(has_lead_times.then(|| ChangeLeadTime::cells(statistics.lead_time.as_ref())).into_iter().flatten());
    cells.extend(statistics.allocation.into_iter().flat_map(|it| Unallocated::from(Some(it)).cells()));
    cells.extend(statistics.capacity.into_iter().flat_map(capacity_cells));
    rows.push(cells)?;
    Ok(rows)
}

/// The `data` and `meta` of `/velocity` and `/lead-time`, for programs that do not use HTTP.
///
/// # Errors
/// If it cannot be serialized as JSON.
pub fn statistics_json(report: &Report, statistics: &ReportStatistics) -> Result<serde_json::Value, serde_json::Error> {
    let meta = Meta::of(report, Some(statistics.interval), &statistics.warnings, true);
    data_and_meta(Data::of(report.kind(), statistics), meta)
}
