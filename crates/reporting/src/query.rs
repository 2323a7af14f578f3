//! Queries and viewers.

use std::collections::BTreeSet;

use chrono_tz::Tz;
use mergeline_domain::metrics::{
    ATTRIBUTION, CHANGE, CHANGE_LEAD_TIME, CUSTOM_METRIC, DefaultRange, FORECAST, FTE_WEEKS, GOAL, INVESTMENT,
    Interval, InvalidParameter, MEDIAN_INTERVAL, MeasureKind, PICKUP_CALENDAR, PR_CYCLE_TIME, PR_PHASES,
    PR_PICKUP_WORKING, REVIEW_FLOW, REVIEW_SPREAD, RangeRequest, SIZE_EFFECT, TIME_SHARE, VELOCITY, WIP_AGE,
};
use mergeline_domain::{RepoName, TeamSlug};
use mergeline_store::{StoreError, TeamSelector};

/// How many weeks of history tell what has changed, and what comes next: three years, and the current one.
const HISTORY_WEEKS: u32 = 157;

/// For how many weeks goals are judged, time is divided, and reviews are counted, if the query does not say so.
const HALF_A_YEAR: u32 = 26;

/// The kinds of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportKind {
    /// Merged pull requests by week.
    Velocity,
    /// How long merged pull requests took, by month.
    LeadTime,
    /// A period compared with the previous one.
    Summary,
    /// The same of each visible team.
    Overview,
    /// The pull requests behind the numbers.
    PullRequests,
    /// Lasting changes of a team's weeks.
    Change,
    /// What a team is likely to merge.
    Forecast,
    /// How a team's goals stand.
    Goals,
    /// Where a team's time goes.
    Time,
    /// The reviews that a team gave and got.
    Reviews,
    /// The metrics of the teams file.
    Custom,
}

impl ReportKind {
    /// The ID of the report's main formula.
    pub fn definition(self) -> &'static str {
        match self {
            Self::Velocity | Self::Summary | Self::Overview => VELOCITY,
            Self::LeadTime => PR_CYCLE_TIME,
            Self::PullRequests => ATTRIBUTION,
            Self::Change => CHANGE,
            Self::Forecast => FORECAST,
            Self::Goals => GOAL,
            Self::Time => TIME_SHARE,
            Self::Reviews => REVIEW_FLOW,
            Self::Custom => CUSTOM_METRIC,
        }
    }

    /// The IDs of all formulas in the report.
    pub fn definitions(self) -> &'static [&'static str] {
        match self {
            Self::Velocity => &[VELOCITY, PR_CYCLE_TIME, PR_PHASES, MEDIAN_INTERVAL, FTE_WEEKS],
            Self::Summary | Self::Overview => &[VELOCITY, PR_CYCLE_TIME, PR_PHASES, MEDIAN_INTERVAL],
            Self::LeadTime => &[PR_CYCLE_TIME, CHANGE_LEAD_TIME, VELOCITY, PR_PHASES, MEDIAN_INTERVAL],
            Self::PullRequests => &[ATTRIBUTION, PR_CYCLE_TIME, PR_PHASES, CHANGE_LEAD_TIME],
            Self::Change => &[CHANGE, VELOCITY, PR_CYCLE_TIME, FTE_WEEKS, CUSTOM_METRIC],
            Self::Forecast => &[FORECAST, VELOCITY],
            Self::Goals => &[GOAL, PR_PHASES, PR_CYCLE_TIME, PR_PICKUP_WORKING, WIP_AGE, CUSTOM_METRIC],
            Self::Time => &[TIME_SHARE, SIZE_EFFECT, PICKUP_CALENDAR, WIP_AGE, INVESTMENT, PR_PHASES, VELOCITY],
            Self::Reviews => &[REVIEW_FLOW, REVIEW_SPREAD],
            Self::Custom => &[CUSTOM_METRIC, VELOCITY, PR_CYCLE_TIME, PR_PHASES, CHANGE_LEAD_TIME],
        }
    }

    /// The range if the query does not set one. Pull requests use the default of velocity, so that the numbers of both
    /// match.
    pub fn default_range(self) -> DefaultRange {
        match self {
            Self::Velocity | Self::PullRequests => DefaultRange::UpToNow { interval: Interval::Week, count: 12 },
            Self::LeadTime => DefaultRange::UpToNow { interval: Interval::Month, count: 6 },
            Self::Summary | Self::Overview => DefaultRange::CompletedWeeks(4),
            Self::Change | Self::Forecast => DefaultRange::UpToNow { interval: Interval::Week, count: HISTORY_WEEKS },
            Self::Goals | Self::Time | Self::Reviews | Self::Custom => DefaultRange::CompletedWeeks(HALF_A_YEAR),
        }
    }

    /// The calendar unit of a bucket if the query does not set one.
    pub fn default_interval(self) -> Interval {
        match self {
            Self::LeadTime => Interval::Month,
            Self::Velocity
            | Self::Summary
            | Self::Overview
            | Self::PullRequests
            | Self::Change
            | Self::Forecast
            | Self::Goals
            | Self::Time
            | Self::Reviews
            | Self::Custom => Interval::Week,
        }
    }

    /// Of which measures it shows percentiles; of all if `None`.
    pub(crate) fn percentiles(self) -> Option<&'static [MeasureKind]> {
        match self {
            Self::Change => Some(&[MeasureKind::CycleTime]),
            Self::Forecast => Some(&[]),
            Self::Velocity
            | Self::LeadTime
            | Self::Summary
            | Self::Overview
            | Self::PullRequests
            | Self::Goals
            | Self::Time
            | Self::Reviews
            | Self::Custom => None,
        }
    }

    /// Whether the preceding period of the same length is also read.
    pub(crate) fn compares(self) -> bool {
        matches!(self, Self::Summary | Self::Overview)
    }

    /// Whether it is about several teams, each of which the viewer must be allowed to see.
    pub(crate) fn is_of_teams(self) -> bool {
        self == Self::Overview
    }

    /// Whether pull requests are aggregated, so that `privacy.min_group_size` hides small groups.
    pub(crate) fn aggregates(self) -> bool {
        self != Self::PullRequests
    }
}

/// A query about a team or the organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportQuery {
    /// The team; `None` for the organization, where each pull request counts once.
    pub team: Option<TeamSelector>,
    /// The days.
    pub range: RangeRequest,
    /// The zone in which days start; `None` for the teams file's time zone.
    pub timezone: Option<Tz>,
    /// The calendar unit of a bucket; `None` for the report's default.
    pub interval: Option<Interval>,
    /// Only pull requests in these repositories; empty for all.
    pub repositories: Vec<RepoName>,
    /// Only pull requests into this branch; `None` for all.
    pub base: Option<String>,
    /// Whether each pull request counts with weight 1, regardless of the membership.
    pub ignore_weights: bool,
}

impl ReportQuery {
    /// All data of a team in a range.
    pub fn new(team: TeamSelector, range: RangeRequest) -> Self {
        Self {
            team: Some(team),
            range,
            timezone: None,
            interval: None,
            repositories: Vec::new(),
            base: None,
            ignore_weights: false,
        }
    }

    /// Parameters that are not allowed where small groups are hidden. With any query other than whole ISO weeks in the
    /// file's time zone, two queries could be sent, one with a person and one without, and the difference would be that
    /// person's numbers.
    pub(crate) fn parts_that_isolate_people(&self) -> Vec<InvalidParameter> {
        let filters =
            [("tz", self.timezone.is_some()), ("repo", !self.repositories.is_empty()), ("base", self.base.is_some())];
        parts_that_isolate_people(&filters, self.interval, self.ignore_weights, &self.range)
    }
}

/// The parameters that are not allowed where small groups are hidden: filters that are given, days, and other weights.
pub(crate) fn parts_that_isolate_people(
    filters: &[(&str, bool)],
    interval: Option<Interval>,
    ignore_weights: bool,
    range: &RangeRequest,
) -> Vec<InvalidParameter> {
    let is_week = matches!(interval, None | Some(Interval::Week));
    let filters = filters.iter().map(|(name, is_given)| (*name, *is_given, "leave it out"));
    let parts = filters.chain([
        ("interval", !is_week, "write week, or leave it out"),
        // The two weightings of a week differ by the numbers of people who are only partly in the team.
        ("weighting", ignore_weights, "write allocated, or leave it out"),
    ]);
    let parts = parts.filter(|(_, is_given, _)| *is_given);
    let parts = parts.map(|(name, _, instead)| (name, instead.to_owned()));
    let refuse = |(name, instead): (&str, String)| {
        let message = format!("{instead}: the teams file sets privacy.min_group_size");
        InvalidParameter::new(name, "min_group_size", message)
    };
    parts.chain(range.parts_beside_weeks()).map(refuse).collect()
}

/// Who is asking.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Viewer {
    teams: Option<BTreeSet<TeamSlug>>,
}

impl Viewer {
    /// A viewer who may see all teams.
    pub const ALL_TEAMS: Self = Self { teams: None };

    /// A viewer who may see only these teams.
    pub fn of_teams(teams: BTreeSet<TeamSlug>) -> Self {
        Self { teams: Some(teams) }
    }

    /// The only teams that the viewer may see; `None` for all.
    pub fn teams(&self) -> Option<&BTreeSet<TeamSlug>> {
        self.teams.as_ref()
    }

    /// Whether there may be teams that the viewer must not see.
    pub fn is_limited(&self) -> bool {
        self.teams.is_some()
    }

    /// Whether the viewer may see the team.
    pub fn sees(&self, team: &TeamSlug) -> bool {
        self.teams.as_ref().is_none_or(|teams| teams.contains(team))
    }
}

/// Why a report failed.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The team does not exist, or the viewer must not see it.
    #[error("there is no such team{}", .0.as_ref().map(|team| format!(": {team}")).unwrap_or_default())]
    UnknownTeam(Option<TeamSelector>),
    /// The service does not exist.
    #[error("there is no such service")]
    UnknownService,
    /// The viewer may see only some teams, and this does not belong to one.
    #[error("this does not belong to a team")]
    LimitedToTeams,
    /// Parameters of the query are invalid.
    #[error("{}", described(.0))]
    Invalid(Vec<InvalidParameter>),
    /// The database does not know the time zone of the teams file.
    #[error(
        "the database does not know the time zone {0} of the teams file: name another one there, or update the database \
         server's time zones"
    )]
    UnknownTimezone(Tz, #[source] StoreError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn described(invalid: &[InvalidParameter]) -> String {
    let texts: Vec<String> = invalid.iter().map(|part| format!("{}: {}", part.parameter, part.message)).collect();
    texts.join("; ")
}

impl From<InvalidParameter> for ReportError {
    fn from(invalid: InvalidParameter) -> Self {
        Self::Invalid(vec![invalid])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query() -> ReportQuery {
        ReportQuery::new(TeamSelector::Slug("payments".parse().expect("a slug")), RangeRequest::DEFAULT)
    }

    #[test]
    fn hiding_small_groups_allows_only_whole_weeks() {
        let names = |query: &ReportQuery| {
            query.parts_that_isolate_people().into_iter().map(|part| part.parameter).collect::<Vec<_>>()
        };
        assert_eq!(names(&query()), Vec::<String>::new());
        assert_eq!(names(&ReportQuery { interval: Some(Interval::Week), ..query() }), Vec::<String>::new());
        let narrow = ReportQuery {
            range: RangeRequest::Days { from: "2026-06-02".parse().ok(), to: None },
            timezone: Some(Tz::UTC),
            interval: Some(Interval::Day),
            repositories: vec!["acme/api".parse().expect("a name")],
            base: Some("main".to_owned()),
            ignore_weights: true,
            ..query()
        };
        assert_eq!(names(&narrow), ["tz", "repo", "base", "interval", "weighting", "from"]);
    }

    #[test]
    fn a_limited_viewer_sees_only_its_teams() {
        let slug = |text: &str| text.parse::<TeamSlug>().expect("a slug");
        let limited = Viewer::of_teams(BTreeSet::from([slug("payments")]));
        assert!(limited.sees(&slug("payments")) && !limited.sees(&slug("platform")) && limited.is_limited());
        assert!(Viewer::ALL_TEAMS.sees(&slug("platform")) && !Viewer::ALL_TEAMS.is_limited());
    }
}
