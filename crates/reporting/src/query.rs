//! What is asked, by whom.

use std::collections::BTreeSet;

use chrono_tz::Tz;
use mergeline_domain::metrics::{
    ATTRIBUTION, DefaultRange, Interval, InvalidParameter, PR_CYCLE_TIME, PR_PHASES, RangeRequest, VELOCITY,
};
use mergeline_domain::{RepoName, TeamSlug};
use mergeline_store::{StoreError, TeamSelector};

/// What is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportKind {
    /// Merged pull requests by week.
    Velocity,
    /// How long merged pull requests took, by month.
    LeadTime,
    /// A period beside the one before.
    Summary,
    /// The pull requests behind the numbers.
    PullRequests,
}

impl ReportKind {
    /// The id of the formula that the report is about.
    pub fn definition(self) -> &'static str {
        match self {
            Self::Velocity | Self::Summary => VELOCITY,
            Self::LeadTime => PR_CYCLE_TIME,
            Self::PullRequests => ATTRIBUTION,
        }
    }

    /// The ids of all formulas in the report.
    pub fn definitions(self) -> &'static [&'static str] {
        match self {
            Self::Velocity | Self::Summary => &[VELOCITY, PR_CYCLE_TIME, PR_PHASES],
            Self::LeadTime => &[PR_CYCLE_TIME, VELOCITY, PR_PHASES],
            Self::PullRequests => &[ATTRIBUTION, PR_CYCLE_TIME, PR_PHASES],
        }
    }

    /// What a range covers when the query does not say. That of pull requests is velocity's, so that the numbers of both belong
    /// together.
    pub fn default_range(self) -> DefaultRange {
        match self {
            Self::Velocity | Self::PullRequests => DefaultRange::UpToNow { interval: Interval::Week, count: 12 },
            Self::LeadTime => DefaultRange::UpToNow { interval: Interval::Month, count: 6 },
            Self::Summary => DefaultRange::CompletedWeeks(4),
        }
    }

    /// The calendar unit of a bucket when the query does not say.
    pub fn default_interval(self) -> Interval {
        match self {
            Self::LeadTime => Interval::Month,
            Self::Velocity | Self::Summary | Self::PullRequests => Interval::Week,
        }
    }

    /// Whether as many days before the range are read as well.
    pub(crate) fn compares(self) -> bool {
        self == Self::Summary
    }

    /// Whether pull requests are summed up, so that `privacy.min_group_size` hides small groups.
    pub(crate) fn aggregates(self) -> bool {
        self != Self::PullRequests
    }
}

/// A query about one team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamQuery {
    /// The team.
    pub team: TeamSelector,
    /// Which days.
    pub range: RangeRequest,
    /// Where days begin; `None` for the teams file's time zone.
    pub timezone: Option<Tz>,
    /// The calendar unit of a bucket; `None` for the report's own.
    pub interval: Option<Interval>,
    /// Only pull requests of these repositories; empty for all.
    pub repositories: Vec<RepoName>,
    /// Only pull requests into this branch; `None` for all.
    pub base: Option<String>,
    /// Whether each pull request counts with the weight 1, whatever the membership says.
    pub ignore_weights: bool,
}

impl TeamQuery {
    /// Everything of a team in a range.
    pub fn new(team: TeamSelector, range: RangeRequest) -> Self {
        Self {
            team,
            range,
            timezone: None,
            interval: None,
            repositories: Vec::new(),
            base: None,
            ignore_weights: false,
        }
    }

    /// The parts that cannot be used where small groups are hidden. Any query but one for whole ISO weeks of the file's time zone
    /// could be asked once with somebody and once without, and the difference would be that person's numbers.
    pub(crate) fn parts_that_tell_people_apart(&self) -> Vec<InvalidParameter> {
        let is_week = matches!(self.interval, None | Some(Interval::Week));
        let parts = [
            ("tz", self.timezone.is_some(), "leave it out"),
            ("repo", !self.repositories.is_empty(), "leave it out"),
            ("base", self.base.is_some(), "leave it out"),
            ("interval", !is_week, "write week, or leave it out"),
            // The two weightings of one week differ by the numbers of those who are only partly in the team.
            ("weighting", self.ignore_weights, "write allocated, or leave it out"),
        ];
        let parts = parts.into_iter().filter(|(_, is_given, _)| *is_given);
        let parts = parts.map(|(name, _, instead)| (name, instead.to_owned()));
        let refuse = |(name, instead): (&str, String)| {
            let message = format!("{instead}: the teams file sets privacy.min_group_size");
            InvalidParameter::new(name, "min_group_size", message)
        };
        parts.chain(self.range.parts_beside_weeks()).map(refuse).collect()
    }
}

/// Who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Viewer {
    teams: Option<BTreeSet<TeamSlug>>,
}

impl Viewer {
    /// Somebody who may know of all teams.
    pub const ALL_TEAMS: Self = Self { teams: None };

    /// Somebody who may know of these teams only.
    pub fn of_teams(teams: BTreeSet<TeamSlug>) -> Self {
        Self { teams: Some(teams) }
    }

    /// The only teams that the viewer may know of; `None` for all.
    pub fn teams(&self) -> Option<&BTreeSet<TeamSlug>> {
        self.teams.as_ref()
    }

    /// Whether there may be teams that the viewer must not know of.
    pub fn is_limited(&self) -> bool {
        self.teams.is_some()
    }

    /// Whether the viewer may know of the team.
    pub fn sees(&self, team: &TeamSlug) -> bool {
        self.teams.as_ref().is_none_or(|teams| teams.contains(team))
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// There is no such team, or the viewer must not know of it.
    #[error("there is no such team")]
    UnknownTeam,
    /// Parts of the query cannot be used.
    #[error("{}", described(.0))]
    Invalid(Vec<InvalidParameter>),
    /// The database does not know the time zone of the teams file.
    #[error(
        "the database does not know the time zone {0} of the teams file: name another one there, or update the database \
         server's time zones"
    )]
    UnknownTimezone(Tz),
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

    fn query() -> TeamQuery {
        TeamQuery::new(TeamSelector::Slug("payments".parse().expect("a slug")), RangeRequest::DEFAULT)
    }

    #[test]
    fn where_small_groups_are_hidden_only_whole_weeks_of_everything_are_asked_for() {
        let names = |query: &TeamQuery| {
            query.parts_that_tell_people_apart().into_iter().map(|part| part.parameter).collect::<Vec<_>>()
        };
        assert_eq!(names(&query()), Vec::<String>::new());
        assert_eq!(names(&TeamQuery { interval: Some(Interval::Week), ..query() }), Vec::<String>::new());
        let narrow = TeamQuery {
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
    fn a_limited_viewer_sees_its_teams_alone() {
        let slug = |text: &str| text.parse::<TeamSlug>().expect("a slug");
        let limited = Viewer::of_teams(BTreeSet::from([slug("payments")]));
        assert!(limited.sees(&slug("payments")) && !limited.sees(&slug("platform")) && limited.is_limited());
        assert!(Viewer::ALL_TEAMS.sees(&slug("platform")) && !Viewer::ALL_TEAMS.is_limited());
    }
}
