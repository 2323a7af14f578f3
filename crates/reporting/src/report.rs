//! A validated query, with everything needed to answer it.

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use mergeline_domain::insight::FlowContext;
use mergeline_domain::metrics::{
    Coverage, DateRange, InvalidParameter, RangeRequest, STALE_AFTER, Warning, WarningCode, coverage_warnings,
};
use mergeline_domain::{RepoName, TeamSlug, monday_of};
use mergeline_store::{
    DataStatus, DeploymentCoverage, Filter, ReadSession, Reader, RepositoryId, StoreError, TeamRef, TeamSelector,
};

use crate::dora::deployments_not_read;
use crate::query::{ReportError, ReportKind, ReportQuery, Viewer};

/// A report about an existing team, or the organization: the query, the days it covers, and how far collection has progressed. All of it is
/// read on one connection.
#[derive(Debug)]
pub struct Report {
    pub(crate) kind: ReportKind,
    pub(crate) query: ReportQuery,
    pub(crate) team: Option<TeamRef>,
    pub(crate) range: DateRange,
    pub(crate) filter: Filter,
    pub(crate) status: DataStatus,
    /// How far deployments are read; only for lead times.
    pub(crate) deployments: Option<DeploymentCoverage>,
    pub(crate) now: DateTime<Utc>,
    /// After this time without a complete collection, the data is stale.
    pub(crate) stale_after: TimeDelta,
    pub(crate) is_limited: bool,
    pub(crate) viewer: Viewer,
    /// Whether everything that could be read was read and is counted. Only then does a 0 mean that there is nothing.
    pub(crate) is_read: bool,
    pub(crate) reader: ReadSession,
    warnings: Vec<Warning>,
    data_version: String,
}

impl Report {
    /// Validates a query, finds its team, and reads how far collection has progressed. Data is stale if the last complete collection
    /// is longer ago than `stale_after`.
    ///
    /// # Errors
    /// [`ReportError::UnknownTeam`], [`ReportError::LimitedToTeams`] and [`ReportError::Invalid`] for problems that the client
    /// can fix.
    pub async fn prepare(
        store: &Reader,
        kind: ReportKind,
        query: ReportQuery,
        viewer: &Viewer,
        now: DateTime<Utc>,
        stale_after: TimeDelta,
    ) -> Result<Self, ReportError> {
        if viewer.is_limited() && query.team.is_none() && !kind.is_of_teams() {
            return Err(ReportError::LimitedToTeams);
        }
        let (mut reader, mut status) = store.session_with_status(query.team.as_ref(), &query.repositories).await?;
        if kind.is_of_teams() {
            // Of each team by itself, and of no other.
            status.coverage.is_reattributing = false;
        }
        let team = match &query.team {
            // A limited viewer must not learn which other teams exist.
            Some(asked) => {
                let team = status.team.take().filter(|team| viewer.sees(&team.slug));
                Some(team.ok_or_else(|| ReportError::UnknownTeam(Some(asked.clone())))?)
            }
            None => None,
        };
        let hides_small_groups = kind.aggregates() && status.min_group_size > 0;
        if hides_small_groups {
            let refused = query.parts_that_isolate_people();
            if !refused.is_empty() {
                return Err(ReportError::Invalid(refused));
            }
        }
        let zone = query.timezone.unwrap_or(status.timezone);
        let range = query.range.resolve(zone, now, kind.default_range(), query.interval)?;
        let range = if hides_small_groups { range.whole_weeks() } else { range };
        let is_limited = viewer.is_limited();
        // A team's number and its slug give the same query.
        let query = ReportQuery { team: team.as_ref().map(|team| TeamSelector::Id(team.id)), ..query };
        let only_of = team.as_ref().filter(|_| is_limited);
        let repositories = repository_ids(&mut reader, &query.repositories, only_of).await?;
        let filter = Filter { from: range.start(), to: range.end(), repositories, base: query.base.clone() };
        if status.coverage.quarantined > 0 {
            status.coverage.quarantined = reader.quarantined(&filter).await?;
        }
        let deployments = match kind {
            ReportKind::LeadTime => {
                let repositories = filter.repositories.as_deref();
                Some(reader.deployment_coverage(None, repositories, filter.from..filter.to, now).await?)
            }
            _ => None,
        };
        let read = if kind.compares() { DateRange { from: range.preceding().from, ..range } } else { range };
        let mut warnings = coverage_warnings(&status.coverage, &read, now - stale_after, !is_limited);
        // Without a source, lead times are of pull requests alone.
        if let Some(deployments) = deployments.as_ref().filter(|it| it.with_source > 0 || !it.problems.is_empty()) {
            let (applies, code, message) = deployments_not_read(deployments, &range, now, stale_after, is_limited);
            warnings.list.extend(applies.then(|| Warning::new(code, message)));
        }
        // A limited viewer must not learn what happens in other teams' repositories.
        let data_version = match viewer.teams() {
            Some(teams) => format!("{teams:?} {}", reader.data_versions_of_teams(teams).await?),
            None => status.data_version.to_string(),
        };
        Ok(Self {
            kind,
            query,
            team,
            range,
            filter,
            status,
            deployments,
            now,
            stale_after,
            is_limited,
            viewer: viewer.clone(),
            is_read: warnings.is_read,
            reader,
            warnings: warnings.list,
            data_version,
        })
    }

    /// A report about a team for somebody who may see all, with the usual limit of age.
    ///
    /// # Errors
    /// As for [`Self::prepare`].
    pub async fn of_team(
        store: &Reader,
        kind: ReportKind,
        team: &TeamSlug,
        range: RangeRequest,
        now: DateTime<Utc>,
    ) -> Result<Self, ReportError> {
        let query = ReportQuery::new(TeamSelector::Slug(team.clone()), range);
        Self::prepare(store, kind, query, &Viewer::ALL_TEAMS, now, STALE_AFTER).await
    }

    /// The kind of report.
    pub fn kind(&self) -> ReportKind {
        self.kind
    }

    /// The team, if it is about one.
    pub fn team(&self) -> Option<&TeamRef> {
        self.team.as_ref()
    }

    /// The team of a report that is always about one.
    pub(crate) fn required_team(&self) -> Result<TeamRef, ReportError> {
        self.team.clone().ok_or(ReportError::UnknownTeam(None))
    }

    /// The query as requested.
    pub fn query(&self) -> &ReportQuery {
        &self.query
    }

    /// The days it covers.
    pub fn range(&self) -> &DateRange {
        &self.range
    }

    /// How far collection has progressed, for the repositories of the query.
    pub fn coverage(&self) -> &Coverage {
        &self.status.coverage
    }

    /// Whether repository names are hidden from the viewer.
    pub fn is_limited(&self) -> bool {
        self.is_limited
    }

    /// The current time.
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// Durations of fewer people are not shown; 0 if all are.
    pub fn min_group_size(&self) -> i64 {
        self.status.min_group_size
    }

    /// By what pull requests and reviews are looked at.
    pub(crate) fn flow_context(&self) -> FlowContext {
        FlowContext { range: self.range, now: self.now, min_group_size: self.smallest_group() }
    }

    /// Whether all days of the range are ahead, so that it has no data although everything was read.
    pub(crate) fn has_not_started(&self) -> bool {
        self.today() < self.range.from
    }

    /// The fewest people whose durations are shown.
    pub(crate) fn smallest_group(&self) -> usize {
        usize::try_from(self.min_group_size()).unwrap_or_default()
    }

    /// What readers must know about the collection.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Identifies the list that the rows belong to. New data only adds or moves rows, but another configuration, team
    /// or filter is another list.
    pub fn list_identity(&self) -> String {
        format!("{:?} {:?} {:?} {:?}", self.reader.tenant(), self.status.revision, self.team, self.filter)
    }

    /// A text that changes exactly when the response does. It is made of the tenant, the formulas, the configuration, the last
    /// change, the query, the day that the data reaches (and therefore which buckets are complete), and the notes about
    /// the collection. It does not include when data was last checked without a change.
    pub fn fingerprint(&self) -> String {
        // What is hidden changes with the unfinished week.
        let running_week = self.hides_small_groups().then(|| self.running_week());
        // Why a unit is not final changes at midnight, until the last one is over.
        let interval = self.query.interval.unwrap_or(self.kind.default_interval());
        let last = interval.end(interval.start(self.range.to - Days::new(1)));
        let today = self.today().min(last);
        let coverage = &self.status.coverage;
        let day = |at: Option<DateTime<Utc>>| at.map(|at| at.with_timezone(&self.range.zone).date_naive());
        let reached = day(coverage.complete_until);
        let deployments = self
            .deployments
            .as_ref()
            .map(|it| (it.with_source, [it.known_since, it.known_until, it.covered_since, it.complete_until].map(day)));
        let lists = [&coverage.failing, &coverage.pending, &coverage.never_collected];
        // As shown in the response.
        let repositories = if self.is_limited { format!("{:?}", lists.map(Vec::len)) } else { format!("{lists:?}") };
        format!(
            "{:?} {:?} {:?} {:?} {} {:?} {:?} {:?} {:?} {running_week:?} {today} {reached:?} {deployments:?} {repositories} {:?} {} {} {:?}",
            self.reader.tenant(),
            self.kind.definition(),
            self.kind.definitions(),
            self.status.revision,
            self.data_version,
            self.team,
            self.range,
            self.query,
            self.filter.repositories,
            coverage.covered_since,
            coverage.collected,
            coverage.quarantined,
            self.warnings
        )
    }

    /// Whether durations of small groups are hidden.
    pub(crate) fn hides_small_groups(&self) -> bool {
        self.kind.aggregates() && self.status.min_group_size > 0
    }

    /// The current day.
    pub(crate) fn today(&self) -> NaiveDate {
        self.now.with_timezone(&self.range.zone).date_naive()
    }

    /// The first day of the unfinished week.
    pub(crate) fn running_week(&self) -> NaiveDate {
        monday_of(self.today())
    }

    /// What a database error says about the query. An unknown time zone is the client's problem if the query set it,
    /// otherwise the teams file's.
    pub(crate) fn refusal(&self, error: StoreError) -> ReportError {
        match error {
            StoreError::UnknownValue(_) if self.query.timezone.is_some() => {
                InvalidParameter::new("tz", "invalid", "this database does not know the time zone").into()
            }
            error @ StoreError::UnknownValue(_) => ReportError::UnknownTimezone(self.range.zone, error),
            error => error.into(),
        }
    }
}

/// Of a range that is wholly ahead.
pub(crate) const NOT_STARTED: &str = "the range has not started yet";

/// The warnings that apply.
pub(crate) fn applying<T: Into<String>>(warnings: impl IntoIterator<Item = (bool, WarningCode, T)>) -> Vec<Warning> {
    let warnings = warnings.into_iter().filter(|(applies, ..)| *applies);
    warnings.map(|(_, code, message)| Warning::new(code, message)).collect()
}

/// The IDs of the requested repositories. An unknown name is an error, because it would only ever give zeros. A limited
/// viewer knows only repositories in which the team has pull requests.
async fn repository_ids(
    reader: &mut ReadSession,
    names: &[RepoName],
    only_of: Option<&TeamRef>,
) -> Result<Option<Vec<RepositoryId>>, ReportError> {
    if names.is_empty() {
        return Ok(None);
    }
    let found = reader.repository_ids(names, only_of.map(|team| team.id)).await?;
    let is_unknown = |name: &&RepoName| found.iter().all(|(known, _)| known != name.as_str());
    let unknown = names.iter().filter(is_unknown).map(|name| {
        let message = format!("`{name}` is not among the collected repositories");
        InvalidParameter::new("repo", "unknown_repository", message)
    });
    let unknown: Vec<InvalidParameter> = unknown.collect();
    if unknown.is_empty() {
        Ok(Some(found.into_iter().map(|(_, id)| id).collect()))
    } else {
        Err(ReportError::Invalid(unknown))
    }
}
