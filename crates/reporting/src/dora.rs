//! DORA's metrics of the organization, a team or a service.

use std::collections::BTreeMap;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use mergeline_domain::delivery::{DeploymentKind, FailureReason, MissingReason, ServiceId, Share};
use mergeline_domain::metrics::{
    Basis, CHANGE_FAIL_RATE, CHANGE_LEAD_TIME, Count, Coverage, DELIVERY, DEPLOYMENT_FREQUENCY,
    DEPLOYMENT_RECOVERY_TIME, DEPLOYMENT_SUCCESS_RATE, DateRange, DefaultRange, DoraBucket, Edition, FEW, Incomplete,
    Interval, InvalidParameter, MEDIAN_INTERVAL, MTTR, RECOVERY_TIME, REWORK_RATE, RangeRequest, Timing, Warning,
    WarningCode, coverage_warnings,
};
use mergeline_domain::{RepoName, TeamId, count_of};
use mergeline_store::{
    Bucketing, DataStatus, DeploymentCoverage, DoraScope, DoraTerms, ReadSession, Reader, Service, ServiceSelector,
    SourceCoverage, StoreError, TeamRef, TeamSelector,
};

use crate::query::{ReportError, Viewer, parts_that_isolate_people};
use crate::report::applying;

/// Shares are exact to eight decimals: what is left of up to this many deployments may be rounding.
const ROUNDING: Share = Share(10_000);

/// Whose numbers are requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DoraSubject {
    /// Those of all.
    Organization,
    /// Those of a team.
    Team(TeamSelector),
    /// Those of a service.
    Service(ServiceSelector),
}

/// A query for DORA's metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoraQuery {
    /// Whose numbers.
    pub subject: DoraSubject,
    /// The days.
    pub range: RangeRequest,
    /// The zone in which days start; `None` for the teams file's time zone.
    pub timezone: Option<Tz>,
    /// The calendar unit of a bucket; `None` for weeks.
    pub interval: Option<Interval>,
    /// Of a team, only what happened in this service.
    pub service: Option<ServiceSelector>,
    /// By what deployments belong to teams.
    pub basis: Basis,
    /// Which reasons make a deployment a failed one; empty for all.
    pub failures: Vec<FailureReason>,
    /// Only incidents of these severities; empty for all.
    pub severities: Vec<String>,
    /// The edition of the report whose classes are shown.
    pub edition: Option<Edition>,
    /// Whether everything counts with weight 1.
    pub ignore_weights: bool,
}

impl DoraQuery {
    /// All metrics of a subject in a range.
    pub fn new(subject: DoraSubject, range: RangeRequest) -> Self {
        Self {
            subject,
            range,
            timezone: None,
            interval: None,
            service: None,
            basis: Basis::default(),
            failures: Vec::new(),
            severities: Vec::new(),
            edition: None,
            ignore_weights: false,
        }
    }
}

/// A validated query, with everything needed to answer it.
#[derive(Debug)]
pub struct DoraReport {
    query: DoraQuery,
    team: Option<TeamRef>,
    service: Option<Service>,
    range: DateRange,
    interval: Interval,
    status: DataStatus,
    deployments: DeploymentCoverage,
    sources: Vec<SourceCoverage>,
    reader: ReadSession,
    warnings: Vec<Warning>,
    is_limited: bool,
    data_version: String,
    now: DateTime<Utc>,
    stale_after: TimeDelta,
}

/// DORA's metrics over a range.
#[derive(Debug, Clone, PartialEq)]
pub struct DoraMetrics {
    /// Every unit that the range touches, including those without deployments.
    pub buckets: Vec<DoraBucketNumbers>,
    /// The whole range, computed from what happened in it, not from the buckets.
    pub total: DoraBucketNumbers,
    /// Pull requests that were merged in the range and not delivered so far, by reason.
    pub undelivered: BTreeMap<MissingReason, Count>,
    /// What readers must know, including about the collection.
    pub warnings: Vec<Warning>,
}

/// A calendar unit, or a whole range, and its numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct DoraBucketNumbers {
    /// `2026-06-01`, `2026-W23`, `2026-06` or `2026-Q2`; `total` for the whole range.
    pub label: String,
    /// The first day.
    pub start: NaiveDate,
    /// The first day after the unit.
    pub end: NaiveDate,
    /// How many of its days are in the range and have started; 0 if nothing of it is known.
    pub days: i64,
    /// Why it is not final; nothing if the whole unit is in the range, is over, and pull requests, deployments and incidents were read to
    /// its end.
    pub incomplete: Vec<Incomplete>,
    /// Whether a source reports deployments. If not, there is no frequency.
    pub has_source: bool,
    /// What happened in it.
    pub numbers: DoraBucket,
}

impl DoraBucketNumbers {
    /// Succeeded deployments per day, by their number and by their shares; `None` without a source or a known day.
    pub fn frequency(&self) -> Option<(f64, f64)> {
        let days = u32::try_from(self.days).ok().filter(|days| *days > 0)?;
        let succeeded = self.numbers.deployments.succeeded;
        self.has_source.then(|| (whole(succeeded.n) / f64::from(days), succeeded.share.as_part() / f64::from(days)))
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are not 2^53 of anything")]
fn whole(n: i64) -> f64 {
    n as f64
}

impl DoraReport {
    /// The IDs of all formulas in the response.
    pub const DEFINITIONS: [&'static str; 10] = [
        DEPLOYMENT_FREQUENCY,
        CHANGE_LEAD_TIME,
        CHANGE_FAIL_RATE,
        REWORK_RATE,
        DEPLOYMENT_SUCCESS_RATE,
        RECOVERY_TIME,
        MTTR,
        DEPLOYMENT_RECOVERY_TIME,
        DELIVERY,
        MEDIAN_INTERVAL,
    ];

    /// Validates a query, finds its subject, and reads how far collection has progressed. Data is stale if the last complete
    /// collection is longer ago than `stale_after`.
    ///
    /// # Errors
    /// [`ReportError::UnknownTeam`], [`ReportError::UnknownService`], [`ReportError::LimitedToTeams`] and
    /// [`ReportError::Invalid`] for problems that the client can fix.
    pub async fn prepare(
        store: &Reader,
        query: DoraQuery,
        viewer: &Viewer,
        now: DateTime<Utc>,
        stale_after: TimeDelta,
    ) -> Result<Self, ReportError> {
        if viewer.is_limited() && !matches!(query.subject, DoraSubject::Team(_)) {
            return Err(ReportError::LimitedToTeams);
        }
        let selector = match &query.subject {
            DoraSubject::Team(team) => Some(team),
            DoraSubject::Organization | DoraSubject::Service(_) => None,
        };
        let (mut reader, mut status) = store.session_with_status(selector, &[]).await?;
        let team = match selector {
            Some(asked) => {
                let team = status.team.take().filter(|team| viewer.sees(&team.slug));
                Some(team.ok_or_else(|| ReportError::UnknownTeam(Some(asked.clone())))?)
            }
            None => None,
        };
        let service = match (&query.subject, &query.service) {
            (DoraSubject::Service(service), _) => {
                Some(reader.service(service).await?.ok_or(ReportError::UnknownService)?)
            }
            (_, Some(service)) => {
                let found = reader.service(service).await?;
                Some(part_of(&mut reader, found, team.as_ref().map(|team| team.id), viewer).await?)
            }
            (_, None) => None,
        };
        if let Some(service) = &service {
            let names: Vec<RepoName> = service.repositories.iter().filter_map(|name| name.parse().ok()).collect();
            if !names.is_empty() {
                status = DataStatus { team: status.team.take(), ..reader.status(&names).await? };
            }
        }
        let hides_small_groups = status.min_group_size > 0;
        if hides_small_groups {
            let filters = [("tz", query.timezone.is_some()), ("service", query.service.is_some())];
            let refused = parts_that_isolate_people(&filters, query.interval, query.ignore_weights, &query.range);
            if !refused.is_empty() {
                return Err(ReportError::Invalid(refused));
            }
        }
        let zone = query.timezone.unwrap_or(status.timezone);
        let default = DefaultRange::UpToNow { interval: Interval::Week, count: 12 };
        let range = query.range.resolve(zone, now, default, query.interval)?;
        let range = if hides_small_groups { range.whole_weeks() } else { range };
        let is_limited = viewer.is_limited();
        let of_service = service.as_ref().map(|service| service.id);
        let deployments = reader.deployment_coverage(of_service, None, range.start()..range.end(), now).await?;
        let sources = reader.deployment_sources(of_service, now).await?;
        let warnings = coverage_warnings(&status.coverage, &range, now - stale_after, !is_limited).list;
        let data_version = match viewer.teams() {
            Some(teams) => format!("{teams:?} {}", reader.data_versions_of_teams(teams).await?),
            None => status.data_version.to_string(),
        };
        let interval = if hides_small_groups { Interval::Week } else { query.interval.unwrap_or(Interval::Week) };
        Ok(Self {
            query,
            team,
            service,
            range,
            interval,
            status,
            deployments,
            sources,
            reader,
            warnings,
            is_limited,
            data_version,
            now,
            stale_after,
        })
    }

    /// The query as requested.
    pub fn query(&self) -> &DoraQuery {
        &self.query
    }

    /// The reasons that make a deployment a failed one.
    pub fn failures(&self) -> &[FailureReason] {
        match self.query.failures.as_slice() {
            [] => FailureReason::ALL,
            chosen => chosen,
        }
    }

    /// The team, if it is about one.
    pub fn team(&self) -> Option<&TeamRef> {
        self.team.as_ref()
    }

    /// The service, if it is about one.
    pub fn service(&self) -> Option<&Service> {
        self.service.as_ref()
    }

    /// The days it covers.
    pub fn range(&self) -> &DateRange {
        &self.range
    }

    /// The calendar unit of the buckets.
    pub fn interval(&self) -> Interval {
        self.interval
    }

    /// How far the collection of pull requests has progressed.
    pub fn coverage(&self) -> &Coverage {
        &self.status.coverage
    }

    /// How far deployments are read.
    pub fn deployment_coverage(&self) -> &DeploymentCoverage {
        &self.deployments
    }

    /// How far each source of deployments is read.
    pub fn sources(&self) -> &[SourceCoverage] {
        &self.sources
    }

    /// Whether repository names are hidden from the viewer.
    pub fn is_limited(&self) -> bool {
        self.is_limited
    }

    /// A text that changes exactly when the response does.
    pub fn fingerprint(&self) -> String {
        let coverage = &self.status.coverage;
        let day = |at: Option<DateTime<Utc>>| at.map(|at| at.with_timezone(&self.range.zone).date_naive());
        let deployments = &self.deployments;
        let lists = [&coverage.failing, &coverage.pending, &coverage.never_collected];
        let repositories = if self.is_limited { format!("{:?}", lists.map(Vec::len)) } else { format!("{lists:?}") };
        format!(
            "{:?} {:?} {:?} {} {:?} {:?} {:?} {:?} {:?} {:?} {repositories} {:?} {} {} {:?} {:?} {:?} {:?}",
            self.reader.tenant(),
            Self::DEFINITIONS,
            self.status.revision,
            self.data_version,
            self.team,
            self.service,
            self.range,
            self.query,
            day(coverage.complete_until),
            [is_read, has_read_incidents].map(|is| is(&self.deployments, &self.range, self.now, self.stale_after)),
            coverage.covered_since,
            coverage.collected,
            coverage.quarantined,
            self.warnings,
            (deployments, &self.sources),
            day(Some(self.now)),
            self.status.min_group_size
        )
    }

    /// The metrics.
    ///
    /// # Errors
    /// [`ReportError::Invalid`] for a time zone that the database does not know.
    pub async fn metrics(&mut self) -> Result<DoraMetrics, ReportError> {
        let failures = self.failures().to_vec();
        let severities = (!self.query.severities.is_empty()).then(|| self.query.severities.clone());
        let terms = DoraTerms { basis: self.query.basis, failures, severities };
        let hides_small_groups = self.status.min_group_size > 0;
        let bucketing = Bucketing {
            interval: self.interval,
            zone: self.range.zone,
            ignore_weights: self.query.ignore_weights,
            count_contributors: hides_small_groups,
            measures: None,
        };
        let service = self.service.as_ref().map(|service| service.id);
        let scope = DoraScope { team: self.team.as_ref().map(|team| team.id), service };
        let days = (self.range.from, self.range.to);
        let found = self.reader.dora(scope, &terms, days, &bucketing).await;
        let mut found = found.map_err(|error| self.refusal(error))?;
        let is_suppressed = hides_small_groups && self.hide_small_groups(&mut found.buckets, &mut found.total).await?;
        let warnings = self.all_warnings(&found.total, is_suppressed);
        // Deployments of repositories that are no longer collected count.
        let has_source = self.deployments.with_source > 0 || found.total.deployments.finished.n > 0;
        let buckets = found.buckets.into_iter().map(|numbers| {
            let (start, end) = (numbers.start, self.interval.end(numbers.start));
            let days = self.days(start, end, &numbers);
            DoraBucketNumbers {
                label: self.interval.label(start),
                start,
                end,
                days,
                incomplete: self.incomplete(start, end),
                has_source,
                numbers,
            }
        });
        Ok(DoraMetrics {
            buckets: buckets.collect(),
            total: DoraBucketNumbers {
                label: "total".to_owned(),
                start: self.range.from,
                end: self.range.to,
                days: self.days(self.range.from, self.range.to, &found.total),
                incomplete: self.incomplete(self.range.from, self.range.to),
                has_source,
                numbers: found.total,
            },
            undelivered: found.undelivered,
            warnings,
        })
    }

    /// How many days of a unit are in the range and have started.
    fn days(&self, start: NaiveDate, end: NaiveDate, numbers: &DoraBucket) -> i64 {
        let days = (start.max(self.range.from), end.min(self.range.to));
        counted_days(&self.deployments, self.range.zone, self.now, days, numbers.deployments.finished.n > 0)
    }

    /// The current day.
    fn today(&self) -> NaiveDate {
        self.now.with_timezone(&self.range.zone).date_naive()
    }

    /// Why the numbers from the start of one day to that of another are not final.
    fn incomplete(&self, from: NaiveDate, to: NaiveDate) -> Vec<Incomplete> {
        incomplete_deliveries(&self.status.coverage, &self.deployments, &self.range, (from, to), self.today())
    }

    /// Removes durations of pull requests of fewer people than configured, and of weeks that are not over. Returns whether any was
    /// removed.
    async fn hide_small_groups(
        &mut self,
        buckets: &mut [DoraBucket],
        total: &mut DoraBucket,
    ) -> Result<bool, ReportError> {
        if self.team.is_none() {
            let service = self.service.as_ref().map(|service| service.id);
            limit_to_smallest_groups(&mut self.reader, service, &self.range, buckets).await?;
        }
        let today = self.today();
        Ok(hide_small_timings(buckets, total, today, self.status.min_group_size))
    }

    fn all_warnings(&self, total: &DoraBucket, is_suppressed: bool) -> Vec<Warning> {
        let deployments = &self.deployments;
        let kind = |kind: DeploymentKind| total.deployments.kinds.get(&kind).map_or(0, |count| count.n);
        let succeeded = total.deployments.succeeded.n;
        let is_read = is_read(deployments, &self.range, self.now, self.stale_after);
        let warnings = [
            no_deployment_source(deployments, total.deployments.finished.n > 0),
            deployments_not_read(deployments, &self.range, self.now, self.stale_after, self.is_limited),
            incidents_not_read(deployments, &self.range, self.now, self.stale_after, self.is_limited),
            (
                deployments.has_assumed,
                WarningCode::AssumedDeployments,
                "each collected merge counts as a deployment that succeeded: how it went, when it reached production, and merges by others \
                 are not known"
                    .to_owned(),
            ),
            (
                deployments.without_files > 0,
                WarningCode::FilesPending,
                format!(
                    "{} merged pull requests were not compared with the paths of services yet: they count as before, or for none",
                    deployments.without_files
                ),
            ),
            (
                deployments.with_source > 0 && succeeded == 0 && is_read,
                WarningCode::NoDeployments,
                "there is no succeeded production deployment in the range".to_owned(),
            ),
            (
                deployments.abandoned > 0,
                WarningCode::UnfinishedDeployments,
                format!(
                    "{} neither succeeded nor failed within 24 hours; {} not count",
                    count_of(deployments.abandoned, "deployment"),
                    if deployments.abandoned == 1 { "it does" } else { "they do" }
                ),
            ),
            (
                kind(DeploymentKind::Unknown) > 0,
                WarningCode::UnknownHistory,
                "the commits of some deployments cannot be read, so it is unknown what they delivered".to_owned(),
            ),
            (
                kind(DeploymentKind::First) > 0,
                WarningCode::FirstDeploymentInRange,
                "what the first deployment of a repository contains does not count as delivered".to_owned(),
            ),
            no_incident_source(deployments),
            (
                total.open_incidents.n > 0,
                WarningCode::OpenIncidents,
                {
                    let (were, have) = if total.open_incidents.n == 1 { ("was", "it has") } else { ("were", "they have") };
                    let incidents = count_of(total.open_incidents.n, "incident");
                    format!("{incidents} {were} open at the end of the range; {have} no duration")
                },
            ),
            (
                [total.unattributed.finished, total.unattributed.incidents, total.unattributed.open_incidents]
                    .iter()
                    .any(|share| *share > ROUNDING),
                WarningCode::UnattributedShare,
                "some deployments or incidents belong to no team, wholly or in part".to_owned(),
            ),
            (
                (1..FEW).contains(&succeeded) || (1..FEW).contains(&total.lead_time.count.n),
                WarningCode::Few,
                format!("fewer than {FEW} deployments or pull requests say little"),
            ),
            (
                is_suppressed,
                WarningCode::Suppressed,
                "durations of fewer people than privacy.min_group_size, or of a week that is not over, are not shown, nor are \
                 their sums"
                    .to_owned(),
            ),
        ];
        self.warnings.iter().cloned().chain(applying(warnings)).collect()
    }

    fn refusal(&self, error: StoreError) -> ReportError {
        match error {
            StoreError::UnknownValue(_) if self.query.timezone.is_some() => {
                InvalidParameter::new("tz", "invalid", "this database does not know the time zone").into()
            }
            error @ StoreError::UnknownValue(_) => ReportError::UnknownTimezone(self.range.zone, error),
            error => error.into(),
        }
    }
}

/// Why the numbers of deployments and incidents from the start of one day to that of another are not final. Until pull requests are read,
/// it is unknown what was delivered.
pub(crate) fn incomplete_deliveries(
    coverage: &Coverage,
    deployments: &DeploymentCoverage,
    range: &DateRange,
    (from, to): (NaiveDate, NaiveDate),
    today: NaiveDate,
) -> Vec<Incomplete> {
    let days = DateRange { from, to, ..*range };
    let DeploymentCoverage { wants_incidents, incidents_until, .. } = deployments;
    let has_incidents = !wants_incidents || incidents_until.is_some_and(|until| due(&days, today) <= until);
    let mut reasons = coverage.incomplete_range(&days, today);
    if lacks_deployments(deployments, &days, today) {
        reasons.push(Incomplete::DeploymentsNotRead);
    }
    if !has_incidents && from <= today {
        reasons.push(Incomplete::IncidentsNotRead);
    }
    if from < range.from || range.to < to {
        reasons.push(Incomplete::OutsideRange);
    }
    reasons
}

/// Until when what happened on these days must have been read. As for pull requests, what is running is read every few hours.
fn due(days: &DateRange, today: NaiveDate) -> DateTime<Utc> {
    let is_running = today < days.to;
    let yesterday = DateRange { from: today - Days::new(1), to: today, ..*days };
    if is_running { yesterday.start() } else { days.end() }
}

/// Whether deployments of these days, as far as they have started, are not all known.
pub(crate) fn lacks_deployments(deployments: &DeploymentCoverage, days: &DateRange, today: NaiveDate) -> bool {
    let DeploymentCoverage { covered_since, complete_until, .. } = deployments;
    let has_them = covered_since.is_some_and(|since| since <= days.start())
        && complete_until.is_some_and(|until| due(days, today) <= until);
    !has_them && days.from <= today
}

/// Whether deployments were read for the range, as far as it is over, and lately.
fn is_read(deployments: &DeploymentCoverage, range: &DateRange, now: DateTime<Utc>, stale_after: TimeDelta) -> bool {
    let DeploymentCoverage { covered_since, complete_until, .. } = deployments;
    covered_since.is_some_and(|since| since <= range.start())
        && complete_until.is_some_and(|until| range.end().min(now) <= until + stale_after)
}

/// Whether incidents were read for the range, as far as it is over, and lately.
fn has_read_incidents(
    deployments: &DeploymentCoverage,
    range: &DateRange,
    now: DateTime<Utc>,
    stale_after: TimeDelta,
) -> bool {
    let DeploymentCoverage { incidents_until, wants_incidents, .. } = deployments;
    !wants_incidents || incidents_until.is_some_and(|until| range.end().min(now) <= until + stale_after)
}

/// Whether to warn that nothing tells deployments, and how.
pub(crate) fn no_deployment_source(deployments: &DeploymentCoverage, has_any: bool) -> (bool, WarningCode, String) {
    (
        deployments.with_source == 0 && !has_any,
        WarningCode::NoDeploymentSource,
        "no deployment to production is known; environments.production in the teams file says what production is"
            .to_owned(),
    )
}

/// Whether to warn that nothing tells incidents, and how.
pub(crate) fn no_incident_source(deployments: &DeploymentCoverage) -> (bool, WarningCode, String) {
    (
        !deployments.has_incidents,
        WarningCode::NoIncidentSource,
        "no incidents are known, so only rollbacks, reverts and failures tell failed deployments".to_owned(),
    )
}

/// Whether to warn that incidents were not read, and how.
pub(crate) fn incidents_not_read(
    deployments: &DeploymentCoverage,
    range: &DateRange,
    now: DateTime<Utc>,
    stale_after: TimeDelta,
    is_limited: bool,
) -> (bool, WarningCode, String) {
    (
        !has_read_incidents(deployments, range, now, stale_after) || !deployments.incident_problems.is_empty(),
        WarningCode::IncidentsNotRead,
        not_read("incidents", &deployments.incident_problems, is_limited),
    )
}

/// Whether to warn that deployments were not read, and how.
pub(crate) fn deployments_not_read(
    deployments: &DeploymentCoverage,
    range: &DateRange,
    now: DateTime<Utc>,
    stale_after: TimeDelta,
    is_limited: bool,
) -> (bool, WarningCode, String) {
    let applies = !is_read(deployments, range, now, stale_after) || !deployments.problems.is_empty();
    (applies, WarningCode::DeploymentsNotRead, not_read("deployments", &deployments.problems, is_limited))
}

fn not_read(what: &str, problems: &[(String, String)], is_limited: bool) -> String {
    match (problems, is_limited) {
        ([], _) => format!("{what} were not read for the whole range"),
        (_, true) => format!("{what} of {} repositories could not be read", problems.len()),
        (_, false) => {
            let names: Vec<String> = problems.iter().map(|(name, code)| format!("{name} ({code})")).collect();
            format!("{what} could not be read: {}", names.join(", "))
        }
    }
}

/// How many of the days `[from, to)` have started; 0 if none of them is known: all are before deployments were first read, or after they
/// were last read. Where something happened, something is known.
pub(crate) fn counted_days(
    deployments: &DeploymentCoverage,
    zone: Tz,
    now: DateTime<Utc>,
    (from, to): (NaiveDate, NaiveDate),
    has_happened: bool,
) -> i64 {
    let day = |at: DateTime<Utc>| at.with_timezone(&zone).date_naive();
    let until = |at: DateTime<Utc>| to.min(day(at) + TimeDelta::days(1));
    let is_known = deployments
        .known_since
        .zip(deployments.known_until)
        .is_some_and(|(since, last)| from.max(day(since)) < until(last.min(now)));
    if is_known || has_happened { (until(now) - from).num_days().max(0) } else { 0 }
}

/// Counts behind each lead time of a week of the organization or a service no more people than its smallest team has: it would
/// reveal theirs.
pub(crate) async fn limit_to_smallest_groups(
    reader: &mut ReadSession,
    service: Option<ServiceId>,
    range: &DateRange,
    weeks: &mut [DoraBucket],
) -> Result<(), ReportError> {
    let smallest = reader.smallest_groups(service, range.start(), range.end(), range.zone).await?;
    for week in weeks {
        let start = week.start;
        for (measure, timing) in [("change_lead_time", &mut week.lead_time), ("delivered_deploy", &mut week.deploy)] {
            let smallest = smallest.get(&(start, measure.to_owned())).copied();
            timing.contributors = timing.contributors.min(smallest.unwrap_or_default());
        }
    }
    Ok(())
}

/// Removes the durations of weeks with fewer people than configured, or that are not over, and of the whole range where one was
/// removed: the sum would reveal it. Returns whether any was removed.
pub(crate) fn hide_small_timings(
    weeks: &mut [DoraBucket],
    total: &mut DoraBucket,
    today: NaiveDate,
    min_group_size: i64,
) -> bool {
    let of_pull_requests: [fn(&mut DoraBucket) -> &mut Timing; 2] =
        [|bucket| &mut bucket.lead_time, |bucket| &mut bucket.deploy];
    let mut is_any_hidden = false;
    for timing in of_pull_requests {
        let mut is_one_hidden = false;
        for week in weeks.iter_mut() {
            let is_over = Interval::Week.end(week.start) <= today;
            let timing = timing(week);
            if timing.count.n > 0 && (timing.contributors < min_group_size || !is_over) {
                timing.durations = None;
                is_one_hidden = true;
            }
        }
        if is_one_hidden {
            timing(total).durations = None;
            is_any_hidden = true;
        }
    }
    is_any_hidden
}

/// A service that was asked for as a part, if there is one and the viewer's team has anything in it.
pub(crate) async fn part_of(
    reader: &mut ReadSession,
    found: Option<Service>,
    team: Option<TeamId>,
    viewer: &Viewer,
) -> Result<Service, ReportError> {
    let unknown = || InvalidParameter::new("service", "unknown_service", "there is no such service");
    let service = found.ok_or_else(unknown)?;
    if viewer.is_limited() {
        let has_part = match team {
            Some(team) => reader.has_part_in(team, service.id).await?,
            None => false,
        };
        if !has_part {
            return Err(unknown().into());
        }
    }
    Ok(service)
}
