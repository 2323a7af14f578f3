//! `GET /v1/metrics/dora`, `/v1/metrics/team/{team_id}/dora` and `/v1/metrics/service/{service}/dora`: DORA's metrics.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use chrono::NaiveDate;
use http::{HeaderValue, Method};
use mergeline_domain::delivery::{DeploymentKind, FailureReason, MissingReason, ReworkReason};
use mergeline_domain::metrics::{
    CHANGE_LEAD_TIME, Count as CountOf, Edition, FEW, NOT_FOR_PEOPLE, QUICK_CHECK, QuickCheckAnswers, Timing,
};
use mergeline_reporting::{DoraBucketNumbers, DoraMetrics, DoraReport, DoraSubject};
use mergeline_store::SourceCoverage;
use schemars::JsonSchema;
use serde::Serialize;

use super::reports::data_and_meta;
use super::resources::{Completeness, Coverage, DurationStatistics, Range, TeamRef, instant};
use crate::auth::scope::Scope;
use crate::http::envelope::{DATA_AS_OF, answer, csv};
use crate::http::errors::ApiError;
use crate::http::etag::ETag;
use crate::http::negotiation::Format;
use crate::http::operation::{Admit, Body, Operation, enveloped};
use crate::http::parameters::{
    BASIS, BOM, DAYS, DoraSelection, EDITION, FAILURES, FORMAT, FROM, Form, INTERVAL, LAST, Parameter, ParameterReader,
    Parameters, SERVICE, SEVERITY, TO, TZ, WEEK, WEIGHTING,
};
use crate::http::request::ApiRequest;
use crate::http::tables::{Cell, Rows};
use crate::state::Api;

pub(crate) const ORGANIZATION: Operation = Operation {
    method: Method::GET,
    path: "/metrics/dora",
    handler: |filter| on(filter, organization),
    admission: Admit::Statistics,
    id: "getDora",
    summary: "DORA's metrics of the whole organization",
    description: "Deployment frequency, change lead time, change fail rate, rework rate, recovery times and deployment success rate of \
                  production, by week (or `interval`) and for the whole range. The default range is the last 12 weeks.",
    scope: Some(Scope::MetricsRead),
    parameters: DoraParameters::DESCRIPTIONS,
    has_csv: true,
    has_etag: true,
    request_body: None,
    body: Body::Json(enveloped::<Dora, DoraMeta>),
};

pub(crate) const TEAM: Operation = Operation {
    path: "/metrics/team/{team_id}/dora",
    handler: |filter| on(filter, team),
    id: "getTeamDora",
    summary: "DORA's metrics of a team",
    description: "The same of a team: deployments with the team's share of each, by `basis`. Each number has a count of distinct \
                  deployments (`n`) and the sum of the shares (`weight`).",
    ..ORGANIZATION
};

pub(crate) const SERVICE_DORA: Operation = Operation {
    path: "/metrics/service/{service}/dora",
    handler: |filter| on(filter, service),
    id: "getServiceDora",
    summary: "DORA's metrics of a service",
    description: "The same of one service.",
    parameters: SubjectParameters::DESCRIPTIONS,
    ..ORGANIZATION
};

#[derive(Debug)]
struct DoraParameters {
    selection: DoraSelection,
    form: Form,
}

impl Parameters for DoraParameters {
    const DESCRIPTIONS: &'static [&'static Parameter] = &[
        &FROM, &TO, &DAYS, &LAST, &WEEK, &TZ, &INTERVAL, &SERVICE, &BASIS, &FAILURES, &SEVERITY, &EDITION, &WEIGHTING,
        &FORMAT, &BOM,
    ];

    fn read(reader: &mut ParameterReader) -> Self {
        Self { selection: DoraSelection::read(reader), form: Form::read(reader) }
    }
}

/// Those of a service, which is not a part of anything.
struct SubjectParameters(DoraParameters);

impl Parameters for SubjectParameters {
    const DESCRIPTIONS: &'static [&'static Parameter] = &[
        &FROM, &TO, &DAYS, &LAST, &WEEK, &TZ, &INTERVAL, &BASIS, &FAILURES, &SEVERITY, &EDITION, &WEIGHTING, &FORMAT,
        &BOM,
    ];

    fn read(reader: &mut ParameterReader) -> Self {
        let selection = DoraSelection::without_service(reader);
        Self(DoraParameters { selection, form: Form::read(reader) })
    }
}

/// DORA's metrics over a range.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Dora {
    /// Null unless they are a team's.
    team: Option<TeamRef>,
    /// Null unless they are a service's.
    service: Option<ServiceRef>,
    /// Every unit that the range touches, including those without deployments.
    buckets: Vec<DoraBucket>,
    /// The whole range, computed from what happened in it, not from the buckets.
    total: DoraTotal,
}

/// A service of a response.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ServiceRef {
    id: i64,
    slug: String,
    name: String,
}

impl From<&mergeline_store::Service> for ServiceRef {
    fn from(service: &mergeline_store::Service) -> Self {
        Self { id: service.id.0, slug: service.slug.clone(), name: service.name.clone() }
    }
}

/// A calendar unit and its numbers.
#[derive(Debug, Serialize, JsonSchema)]
struct DoraBucket {
    /// `2026-06-01`, `2026-W23`, `2026-06` or `2026-Q2`.
    bucket: String,
    /// The first day.
    start: NaiveDate,
    /// The first day after the bucket.
    end: NaiveDate,
    #[serde(flatten)]
    completeness: Completeness,
    #[serde(flatten)]
    numbers: DoraNumbers,
}

/// The numbers of the whole range.
#[derive(Debug, Serialize, JsonSchema)]
struct DoraTotal {
    #[serde(flatten)]
    completeness: Completeness,
    #[serde(flatten)]
    numbers: DoraNumbers,
    /// Pull requests that were merged in the range and not delivered so far, by reason.
    not_delivered: NotDelivered,
    /// DORA's Quick Check score of the range, each from 0 to 10 (`quick_check@2025`).
    quick_check: QuickCheck,
}

/// Pull requests that were not delivered so far, by reason.
#[derive(Debug, Serialize, JsonSchema)]
struct NotDelivered {
    /// No deployment contains them yet.
    not_deployed_yet: Count,
    /// Production already had them before its first known deployment, or with it.
    before_first_deployment: Count,
    /// No source reports deployments of their service.
    no_source: Count,
    /// They change no files of any service.
    no_service: Count,
    /// Their merge commit, or what may have delivered them, cannot be read.
    unknown_history: Count,
    /// Their details are not read yet, or the files that tell their service.
    not_collected: Count,
}

impl From<&BTreeMap<MissingReason, CountOf>> for NotDelivered {
    fn from(counts: &BTreeMap<MissingReason, CountOf>) -> Self {
        let count = |reason| counts.get(&reason).copied().unwrap_or_default().into();
        Self {
            not_deployed_yet: count(MissingReason::NotDeployedYet),
            before_first_deployment: count(MissingReason::BeforeFirstDeployment),
            no_source: count(MissingReason::NoSource),
            no_service: count(MissingReason::NoService),
            unknown_history: count(MissingReason::UnknownHistory),
            not_collected: count(MissingReason::NotCollected),
        }
    }
}

impl NotDelivered {
    /// Each reason with its count.
    fn by_reason(&self) -> [(&'static str, Count); 6] {
        [
            ("not_deployed_yet", self.not_deployed_yet),
            ("before_first_deployment", self.before_first_deployment),
            ("no_source", self.no_source),
            ("no_service", self.no_service),
            ("unknown_history", self.unknown_history),
            ("not_collected", self.not_collected),
        ]
    }
}

/// How many, and the sum of the shares of the team; for the organization and a service the same number.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub(crate) struct Count {
    /// Distinct ones.
    n: i64,
    /// The sum of the shares, exact to eight decimals.
    weight: f64,
}

impl Count {
    pub(crate) fn cells(self) -> [Cell<'static>; 2] {
        [Cell::Whole(Some(self.n)), Cell::Number(Some(self.weight))]
    }
}

impl From<CountOf> for Count {
    fn from(count: CountOf) -> Self {
        Self { n: count.n, weight: count.share.as_part() }
    }
}

/// DORA's metrics of one bucket, or of the whole range.
#[derive(Debug, Serialize, JsonSchema)]
struct DoraNumbers {
    deployment_frequency: Frequency,
    change_lead_time: LeadTime,
    change_fail_rate: FailRate,
    rework_rate: ReworkRate,
    deployment_success_rate: SuccessRate,
    recovery_time: Recovery,
    mttr: Recovery,
    deployment_recovery_time: DeploymentRecovery,
    /// What belongs to no team, by `basis`: with the shares of all teams it is the number. Null for a team's numbers.
    unattributed: Option<Unattributed>,
}

/// What no team has.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
struct Unattributed {
    /// Of finished deployments.
    finished: f64,
    /// Of succeeded ones.
    succeeded: f64,
    /// Of failed ones.
    failed: f64,
    /// Of rework.
    rework: f64,
    /// Of resolved incidents.
    incidents: f64,
    /// Of incidents that were open at the end.
    open_incidents: f64,
}

impl From<mergeline_domain::metrics::Unattributed> for Unattributed {
    fn from(it: mergeline_domain::metrics::Unattributed) -> Self {
        Self {
            finished: it.finished.as_part(),
            succeeded: it.succeeded.as_part(),
            failed: it.failed.as_part(),
            rework: it.rework.as_part(),
            incidents: it.incidents.as_part(),
            open_incidents: it.open_incidents.as_part(),
        }
    }
}

/// Succeeded production deployments (`deployment_frequency@1`).
#[derive(Debug, Serialize, JsonSchema)]
struct Frequency {
    #[serde(flatten)]
    succeeded: Count,
    /// How many days are in the range and have started; 0 if nothing of them is known.
    days: i64,
    /// By their number. Null where no source reports deployments, or no day is known.
    per_day: Option<f64>,
    /// By the team's shares.
    per_day_weighted: Option<f64>,
    /// By what they were, each kind with at least one.
    kinds: Kinds,
    class: Option<ClassName>,
}

/// Succeeded deployments by kind.
#[derive(Debug, Serialize, JsonSchema)]
struct Kinds {
    first: Count,
    change: Count,
    rollback: Count,
    redeploy: Count,
    unknown: Count,
}

/// From the first commit to production (`change_lead_time@1`).
#[derive(Debug, Serialize, JsonSchema)]
struct LeadTime {
    #[serde(flatten)]
    durations: DurationStatistics,
    /// All delivered pull requests, also those without a known first commit.
    delivered: Count,
    /// From the merge to production.
    deploy: DurationStatistics,
    class: Option<ClassName>,
}

/// Failed deployments (`change_fail_rate@1`).
#[derive(Debug, Serialize, JsonSchema)]
struct FailRate {
    failed: Count,
    /// By number. Null without succeeded deployments.
    rate: Option<f64>,
    /// By the team's shares.
    rate_weighted: Option<f64>,
    /// By reason. A deployment may have several.
    reasons: FailureReasons,
    class: Option<ClassName>,
}

/// Failed deployments by reason.
#[derive(Debug, Serialize, JsonSchema)]
struct FailureReasons {
    incident: Count,
    rolled_back: Count,
    reverted: Count,
    failed_afterwards: Count,
    declared: Count,
}

/// Unplanned deployments (`rework_rate@1`).
#[derive(Debug, Serialize, JsonSchema)]
struct ReworkRate {
    rework: Count,
    /// By number. Null without succeeded deployments.
    rate: Option<f64>,
    /// By the team's shares.
    rate_weighted: Option<f64>,
    /// By reason. A deployment may have several.
    reasons: ReworkReasons,
}

/// Rework by reason.
#[derive(Debug, Serialize, JsonSchema)]
struct ReworkReasons {
    declared: Count,
    rollback: Count,
    revert: Count,
    hotfix: Count,
    incident_fix: Count,
}

/// Attempts that succeeded (`deployment_success_rate@1`).
#[derive(Debug, Serialize, JsonSchema)]
struct SuccessRate {
    finished: Count,
    /// By number. Null without finished attempts.
    rate: Option<f64>,
    /// By the team's shares.
    rate_weighted: Option<f64>,
}

/// How long incidents lasted (`recovery_time@1`: those with a deployment; `mttr@1`: all).
#[derive(Debug, Serialize, JsonSchema)]
struct Recovery {
    #[serde(flatten)]
    durations: DurationStatistics,
    /// Those of the same incidents that were open at the end.
    open: Count,
    class: Option<ClassName>,
}

/// How long failed deployments lasted (`deployment_recovery_time@1`).
#[derive(Debug, Serialize, JsonSchema)]
struct DeploymentRecovery {
    #[serde(flatten)]
    durations: DurationStatistics,
    /// Failed deployments that nothing remedied so far.
    unremedied: Count,
    class: Option<ClassName>,
}

/// The class of a value in an edition of the report; null without `edition` or a value.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
struct ClassName {
    #[schemars(extend("enum" = ["elite", "high", "medium", "low"]))]
    name: &'static str,
    /// Whether it is made of fewer than five deployments, pull requests or incidents.
    few: bool,
}

/// The score of DORA's Quick Check; null where a metric has no value.
#[derive(Debug, Serialize, JsonSchema)]
struct QuickCheck {
    change_lead_time: Option<f64>,
    deployment_frequency: Option<f64>,
    /// Of `recovery_time`, or without incidents of `deployment_recovery_time`.
    recovery_time: Option<f64>,
    change_fail_rate: Option<f64>,
    rework_rate: Option<f64>,
    throughput: Option<f64>,
    stability: Option<f64>,
    score: Option<f64>,
}

/// Context for reading the numbers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DoraMeta {
    /// The ID of the first formula; see `/v1/definitions`.
    definition: &'static str,
    /// The IDs of all formulas in the response.
    definitions: Vec<&'static str>,
    /// By what deployments belong to teams.
    basis: &'static str,
    /// Only what happened in this service; null for all.
    service: Option<ServiceRef>,
    /// The reasons that make a deployment a failed one.
    failures: Vec<&'static str>,
    /// Only incidents of these severities; null for all.
    severities: Option<Vec<String>>,
    /// The edition of the classes; null without them.
    edition: Option<&'static str>,
    timezone: String,
    #[schemars(extend("enum" = ["day", "week", "month", "quarter"]))]
    interval: &'static str,
    range: Range,
    #[schemars(extend("enum" = ["allocated", "full"]))]
    weighting: &'static str,
    /// The start of the oldest of the latest complete collections: newer data is not guaranteed.
    #[schemars(extend("format" = "date-time"))]
    data_as_of: Option<String>,
    coverage: Coverage,
    deployments: DeploymentsCovered,
    /// Each warning is a stable code, a colon and a sentence.
    warnings: Vec<String>,
    /// What the numbers must not be used for.
    caveat: &'static str,
}

/// How far deployments are read.
#[derive(Debug, Serialize, JsonSchema)]
struct DeploymentsCovered {
    /// Services with a known deployment to production.
    services_with_deployments: i64,
    /// Services without any.
    services_without_deployments: i64,
    /// Everything that was created since then was read. Null while any repository was never read.
    #[schemars(extend("format" = "date-time"))]
    since: Option<String>,
    /// Everything was read up to then.
    #[schemars(extend("format" = "date-time"))]
    until: Option<String>,
    /// All incidents were read up to then. Null without labels for incidents, and while any repository was never read.
    #[schemars(extend("format" = "date-time"))]
    incidents_until: Option<String>,
    /// How many repositories' deployments could not be read at the last attempt.
    failing: usize,
    /// How many repositories' incidents could not be read.
    incidents_failing: usize,
    /// The codes of the reasons.
    incident_problems: Vec<String>,
    /// The same by source, by name.
    sources: Vec<SourceCovered>,
}

/// How far a source of deployments is read.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SourceCovered {
    #[schemars(extend("enum" = ["github-deployments", "github-actions", "github-releases", "merges", "events"]))]
    source: String,
    /// The services that it reports.
    services: i64,
    /// Everything that was created since then was read; of `events`, which are posted, since the first one.
    #[schemars(extend("format" = "date-time"))]
    since: Option<String>,
    /// Everything was read up to then. `events` count as read until now, to the full hour.
    #[schemars(extend("format" = "date-time"))]
    until: Option<String>,
    /// The last state that was posted. Null for the other sources.
    #[schemars(extend("format" = "date-time"))]
    last_event_at: Option<String>,
    /// How many repositories could not be read at the last attempt.
    failing: i64,
    /// The codes of the reasons, such as `no_permission`.
    problems: Vec<String>,
}

impl From<&SourceCoverage> for SourceCovered {
    fn from(it: &SourceCoverage) -> Self {
        Self {
            source: it.source.clone(),
            services: it.services,
            since: it.covered_since.map(instant),
            until: it.complete_until.map(instant),
            last_event_at: it.last_event_at.map(instant),
            failing: it.failing,
            problems: it.problems.clone(),
        }
    }
}

fn class(name: Option<mergeline_domain::metrics::Class>, n: i64) -> Option<ClassName> {
    name.map(|name| ClassName { name: name.into(), few: n < FEW })
}

impl DoraNumbers {
    fn of(bucket: &DoraBucketNumbers, edition: Option<Edition>, is_of_team: bool) -> Self {
        let numbers = &bucket.numbers;
        let deployments = &numbers.deployments;
        let frequency = bucket.frequency();
        let kind = |kind: DeploymentKind| deployments.kinds.get(&kind).copied().unwrap_or_default().into();
        let failure = |reason: FailureReason| deployments.failures.get(&reason).copied().unwrap_or_default().into();
        let rework = |reason: ReworkReason| deployments.reworks.get(&reason).copied().unwrap_or_default().into();
        let succeeded = deployments.succeeded;
        let fail_rate = deployments.failed.weighted_rate_of(succeeded);
        let recovery = |timing: &Timing, open: CountOf| Recovery {
            durations: timing.into(),
            open: open.into(),
            class: class(edition.zip(timing.median()).map(|(edition, p50)| edition.recovery(p50)), timing.count.n),
        };
        Self {
            deployment_frequency: Frequency {
                succeeded: succeeded.into(),
                days: bucket.days,
                per_day: frequency.map(|(per_day, _)| per_day),
                per_day_weighted: frequency.map(|(_, weighted)| weighted),
                kinds: Kinds {
                    first: kind(DeploymentKind::First),
                    change: kind(DeploymentKind::Change),
                    rollback: kind(DeploymentKind::Rollback),
                    redeploy: kind(DeploymentKind::Redeploy),
                    unknown: kind(DeploymentKind::Unknown),
                },
                class: class(
                    edition
                        .zip(frequency.filter(|_| succeeded.n > 0))
                        .map(|(edition, (_, weighted))| edition.frequency(weighted)),
                    succeeded.n,
                ),
            },
            change_lead_time: LeadTime {
                durations: (&numbers.lead_time).into(),
                delivered: numbers.delivered.into(),
                deploy: (&numbers.deploy).into(),
                class: class(
                    edition.zip(numbers.lead_time.median()).map(|(edition, p50)| edition.lead_time(p50)),
                    numbers.lead_time.count.n,
                ),
            },
            change_fail_rate: FailRate {
                failed: deployments.failed.into(),
                rate: deployments.failed.rate_of(succeeded),
                rate_weighted: fail_rate,
                reasons: FailureReasons {
                    incident: failure(FailureReason::Incident),
                    rolled_back: failure(FailureReason::RolledBack),
                    reverted: failure(FailureReason::Reverted),
                    failed_afterwards: failure(FailureReason::FailedAfterwards),
                    declared: failure(FailureReason::Declared),
                },
                class: class(edition.zip(fail_rate).map(|(edition, rate)| edition.change_fail_rate(rate)), succeeded.n),
            },
            rework_rate: ReworkRate {
                rework: deployments.rework.into(),
                rate: deployments.rework.rate_of(succeeded),
                rate_weighted: deployments.rework.weighted_rate_of(succeeded),
                reasons: ReworkReasons {
                    declared: rework(ReworkReason::Declared),
                    rollback: rework(ReworkReason::Rollback),
                    revert: rework(ReworkReason::Revert),
                    hotfix: rework(ReworkReason::Hotfix),
                    incident_fix: rework(ReworkReason::IncidentFix),
                },
            },
            deployment_success_rate: SuccessRate {
                finished: deployments.finished.into(),
                rate: succeeded.rate_of(deployments.finished),
                rate_weighted: succeeded.weighted_rate_of(deployments.finished),
            },
            recovery_time: recovery(&numbers.recovery, numbers.open_linked_incidents),
            mttr: recovery(&numbers.mttr, numbers.open_incidents),
            deployment_recovery_time: DeploymentRecovery {
                durations: (&numbers.deployment_recovery).into(),
                unremedied: deployments.unremedied.into(),
                class: class(
                    edition.zip(numbers.deployment_recovery.median()).map(|(edition, p50)| edition.recovery(p50)),
                    numbers.deployment_recovery.count.n,
                ),
            },
            unattributed: (!is_of_team).then(|| numbers.unattributed.into()),
        }
    }

    /// The column names of [`Self::cells`].
    fn columns() -> Vec<String> {
        let counts = [
            "deployments",
            "deployments_weighted",
            "days",
            "deployments_per_day",
            "deployments_per_day_weighted",
            "first",
            "change",
            "rollback",
            "redeploy",
            "unknown",
            "delivered",
            "delivered_weighted",
            "failed",
            "failed_weighted",
            "change_fail_rate",
            "change_fail_rate_weighted",
            "rework",
            "rework_weighted",
            "rework_rate",
            "rework_rate_weighted",
            "finished",
            "finished_weighted",
            "deployment_success_rate",
            "deployment_success_rate_weighted",
            "unremedied",
            "open_incidents",
            "open_incidents_weighted",
            "open_incidents_with_deployment",
            "failed_incident",
            "failed_rolled_back",
            "failed_reverted",
            "failed_failed_afterwards",
            "failed_declared",
            "rework_declared",
            "rework_rollback",
            "rework_revert",
            "rework_hotfix",
            "rework_incident_fix",
            "unattributed_finished",
            "unattributed_succeeded",
            "unattributed_failed",
            "unattributed_rework",
            "unattributed_incidents",
            "unattributed_open_incidents",
            "deployment_frequency_class",
            "change_lead_time_class",
            "change_fail_rate_class",
            "recovery_time_class",
            "deployment_recovery_time_class",
        ];
        let timings = ["change_lead_time", "deploy", "recovery_time", "mttr", "deployment_recovery_time"];
        let durations = timings.iter().flat_map(|name| DurationStatistics::COLUMNS.map(|c| format!("{name}_{c}")));
        counts.map(str::to_owned).into_iter().chain(durations).collect()
    }

    fn cells(&self) -> Vec<Cell<'static>> {
        let Self { deployment_frequency: frequency, change_lead_time: lead, change_fail_rate: failed, .. } = self;
        let whole = |count: Count| Cell::Whole(Some(count.n));
        let weight = |count: Count| Cell::Number(Some(count.weight));
        let unattributed = |part: fn(&Unattributed) -> f64| Cell::Number(self.unattributed.as_ref().map(part));
        let class = |class: Option<ClassName>| Cell::optional(class.map(|class| class.name));
        let kinds = &frequency.kinds;
        let counts = [
            whole(frequency.succeeded),
            weight(frequency.succeeded),
            Cell::Whole(Some(frequency.days)),
            Cell::Number(frequency.per_day),
            Cell::Number(frequency.per_day_weighted),
            whole(kinds.first),
            whole(kinds.change),
            whole(kinds.rollback),
            whole(kinds.redeploy),
            whole(kinds.unknown),
            whole(lead.delivered),
            weight(lead.delivered),
            whole(failed.failed),
            weight(failed.failed),
            Cell::Number(failed.rate),
            Cell::Number(failed.rate_weighted),
            whole(self.rework_rate.rework),
            weight(self.rework_rate.rework),
            Cell::Number(self.rework_rate.rate),
            Cell::Number(self.rework_rate.rate_weighted),
            whole(self.deployment_success_rate.finished),
            weight(self.deployment_success_rate.finished),
            Cell::Number(self.deployment_success_rate.rate),
            Cell::Number(self.deployment_success_rate.rate_weighted),
            whole(self.deployment_recovery_time.unremedied),
            whole(self.mttr.open),
            weight(self.mttr.open),
            whole(self.recovery_time.open),
            whole(failed.reasons.incident),
            whole(failed.reasons.rolled_back),
            whole(failed.reasons.reverted),
            whole(failed.reasons.failed_afterwards),
            whole(failed.reasons.declared),
            whole(self.rework_rate.reasons.declared),
            whole(self.rework_rate.reasons.rollback),
            whole(self.rework_rate.reasons.revert),
            whole(self.rework_rate.reasons.hotfix),
            whole(self.rework_rate.reasons.incident_fix),
            unattributed(|it| it.finished),
            unattributed(|it| it.succeeded),
            unattributed(|it| it.failed),
            unattributed(|it| it.rework),
            unattributed(|it| it.incidents),
            unattributed(|it| it.open_incidents),
            class(frequency.class),
            class(lead.class),
            class(failed.class),
            class(self.recovery_time.class),
            class(self.deployment_recovery_time.class),
        ];
        let durations = [
            &lead.durations,
            &lead.deploy,
            &self.recovery_time.durations,
            &self.mttr.durations,
            &self.deployment_recovery_time.durations,
        ];
        counts.into_iter().chain(durations.into_iter().flat_map(DurationStatistics::cells)).collect()
    }
}

impl QuickCheck {
    fn of(total: &DoraBucketNumbers) -> Self {
        let numbers = &total.numbers;
        let succeeded = numbers.deployments.succeeded;
        let check = mergeline_domain::metrics::QuickCheck::of(&QuickCheckAnswers {
            lead_time: numbers.lead_time.median(),
            frequency: total.frequency().map(|(_, weighted)| weighted),
            recovery: numbers.time_to_recover(),
            change_fail_rate: numbers.deployments.failed.weighted_rate_of(succeeded),
            rework_rate: numbers.deployments.rework.weighted_rate_of(succeeded),
        });
        Self {
            change_lead_time: check.lead_time,
            deployment_frequency: check.frequency,
            recovery_time: check.recovery,
            change_fail_rate: check.change_fail_rate,
            rework_rate: check.rework_rate,
            throughput: check.throughput,
            stability: check.stability,
            score: check.score,
        }
    }

    fn scores(&self) -> [(&'static str, Option<f64>); 8] {
        [
            ("change_lead_time", self.change_lead_time),
            ("deployment_frequency", self.deployment_frequency),
            ("recovery_time", self.recovery_time),
            ("change_fail_rate", self.change_fail_rate),
            ("rework_rate", self.rework_rate),
            ("throughput", self.throughput),
            ("stability", self.stability),
            ("score", self.score),
        ]
    }
}

impl DoraTotal {
    /// What only the whole range has, by the names of the columns.
    fn extras(&self) -> Vec<(String, Cell<'static>)> {
        let reasons = self.not_delivered.by_reason().into_iter().flat_map(|(reason, count)| {
            let name = format!("not_delivered_{reason}");
            let [n, weight] = count.cells();
            [(name.clone(), n), (format!("{name}_weighted"), weight)]
        });
        let scores = self.quick_check.scores().into_iter();
        let scores = scores.map(|(name, score)| (format!("quick_check_{name}"), Cell::Number(score)));
        reasons.chain(scores).collect()
    }
}

impl Dora {
    fn of(report: &DoraReport, metrics: &DoraMetrics) -> Self {
        let edition = report.query().edition;
        let is_of_team = report.team().is_some();
        let buckets = metrics.buckets.iter().map(|bucket| DoraBucket {
            bucket: bucket.label.clone(),
            start: bucket.start,
            end: bucket.end,
            completeness: bucket.incomplete.as_slice().into(),
            numbers: DoraNumbers::of(bucket, edition, is_of_team),
        });
        Self {
            team: report.team().map(TeamRef::from),
            service: report.service().filter(|_| report.query().service.is_none()).map(ServiceRef::from),
            buckets: buckets.collect(),
            total: DoraTotal {
                completeness: metrics.total.incomplete.as_slice().into(),
                numbers: DoraNumbers::of(&metrics.total, edition, is_of_team),
                not_delivered: (&metrics.undelivered).into(),
                quick_check: QuickCheck::of(&metrics.total),
            },
        }
    }
}

impl DoraMeta {
    fn of(report: &DoraReport, metrics: &DoraMetrics, names_repositories: bool) -> Self {
        let (range, coverage, query) = (report.range(), report.coverage(), report.query());
        let deployments = report.deployment_coverage();
        let definitions = DoraReport::DEFINITIONS.into_iter().chain([query.basis.definition(), QUICK_CHECK]);
        Self {
            definition: DoraReport::DEFINITIONS.first().copied().unwrap_or(CHANGE_LEAD_TIME),
            definitions: definitions.collect(),
            basis: query.basis.definition(),
            service: query.service.as_ref().and(report.service()).map(ServiceRef::from),
            failures: report.failures().iter().map(<&str>::from).collect(),
            severities: Some(query.severities.clone()).filter(|severities| !severities.is_empty()),
            edition: query.edition.map(<&str>::from),
            timezone: range.zone.name().to_owned(),
            interval: report.interval().as_str(),
            range: Range { from: range.from, to: range.to },
            weighting: if query.ignore_weights { "full" } else { "allocated" },
            data_as_of: coverage.data_as_of.map(instant),
            coverage: Coverage::of(coverage, names_repositories && !report.is_limited()),
            deployments: DeploymentsCovered {
                services_with_deployments: deployments.with_source,
                services_without_deployments: deployments.without_source,
                since: deployments.covered_since.map(instant),
                until: deployments.complete_until.map(instant),
                incidents_until: deployments.incidents_until.map(instant),
                failing: deployments.problems.len(),
                incidents_failing: deployments.incident_problems.len(),
                incident_problems: deployments
                    .incident_problems
                    .iter()
                    .map(|(_, code)| code.clone())
                    .collect::<BTreeSet<_>>()
                    .into_iter()
                    .collect(),
                sources: report.sources().iter().map(SourceCovered::from).collect(),
            },
            warnings: metrics.warnings.iter().map(ToString::to_string).collect(),
            caveat: NOT_FOR_PEOPLE,
        }
    }
}

/// DORA's metrics of the organization.
async fn organization(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    dora(&api, &request, request.parameters()?, DoraSubject::Organization).await
}

/// DORA's metrics of a team.
async fn team(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    dora(&api, &request, request.parameters()?, DoraSubject::Team(request.team()?)).await
}

/// DORA's metrics of a service.
async fn service(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    let SubjectParameters(parameters) = request.parameters()?;
    dora(&api, &request, parameters, DoraSubject::Service(request.service()?)).await
}

async fn dora(
    api: &Api,
    request: &ApiRequest,
    parameters: DoraParameters,
    subject: DoraSubject,
) -> Result<Response, ApiError> {
    let DoraParameters { selection, form } = parameters;
    let format = request.format(form.format)?;
    let viewer = request.access()?.viewer();
    let mut report =
        DoraReport::prepare(&api.store, selection.about(subject), &viewer, api.now(), api.stale_after).await?;
    let etag = ETag::of(&[request.operation.id, &report.fingerprint(), &format!("{format:?} {form:?}")]);
    let as_of = report.coverage().data_as_of.map(instant);
    let with_freshness = |mut response: Response| {
        if let Some(value) = as_of.as_deref().and_then(|text| HeaderValue::from_str(text).ok()) {
            response.headers_mut().insert(DATA_AS_OF, value);
        }
        response
    };
    if etag.is_known(&request.headers) {
        return Ok(with_freshness(etag.not_modified()));
    }
    let metrics = report.metrics().await?;
    let meta = DoraMeta::of(&report, &metrics, format != Format::Csv);
    let data = Dora::of(&report, &metrics);
    let response = match format {
        Format::Json => answer(data, meta),
        Format::Csv => csv(rows(&data, &metrics)?, &file_name(&report), &meta, form.has_bom)?,
    };
    Ok(with_freshness(etag.on(response)))
}

/// The `data` and `meta` of a team's metrics, for programs that do not use HTTP.
///
/// # Errors
/// If it cannot be serialized as JSON.
pub fn dora_json(report: &DoraReport, metrics: &DoraMetrics) -> Result<serde_json::Value, serde_json::Error> {
    data_and_meta(Dora::of(report, metrics), DoraMeta::of(report, metrics, true))
}

/// The file name under which a browser saves the table: `payments-dora`.
fn file_name(report: &DoraReport) -> String {
    let team = report.team().map(|team| team.slug.to_string());
    let subject = team.or_else(|| report.service().map(|service| service.slug.clone()));
    format!("{}-dora", subject.unwrap_or_else(|| "organization".to_owned()))
}

/// A row for each bucket, and one for the whole range, called `total`, in which alone the last columns have values.
fn rows(data: &Dora, metrics: &DoraMetrics) -> Result<Rows, ApiError> {
    let (names, extras): (Vec<String>, Vec<Cell<'_>>) = data.total.extras().into_iter().unzip();
    let columns = DoraNumbers::columns();
    let header = ["bucket", "start", "end", "complete"].into_iter();
    let mut rows = Rows::new(header.chain(columns.iter().chain(&names).map(String::as_str)))?;
    let mut push = |label: &str, start: NaiveDate, end: NaiveDate, complete: bool, numbers: &DoraNumbers, more| {
        let (start, end) = (start.to_string(), end.to_string());
        let span = [Cell::Text(label), Cell::Text(&start), Cell::Text(&end), Cell::Flag(complete)];
        let more: Vec<Cell<'_>> = more;
        rows.push(span.into_iter().chain(numbers.cells()).chain(more))
    };
    for bucket in &data.buckets {
        let nothing = names.iter().map(|_| Cell::Number(None)).collect();
        push(&bucket.bucket, bucket.start, bucket.end, bucket.completeness.complete, &bucket.numbers, nothing)?;
    }
    let DoraTotal { completeness, numbers, .. } = &data.total;
    push("total", metrics.total.start, metrics.total.end, completeness.complete, numbers, extras)?;
    Ok(rows)
}
