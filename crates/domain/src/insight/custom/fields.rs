//! The words of metrics: what they are of, and what can be asked about each of these things.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::VariantArray;

use crate::metrics::Interval;

/// What a metric is of.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum MetricOf {
    /// Pull requests that were merged or closed.
    PullRequests,
    /// Deployments to production that succeeded or failed; rollouts belong to the deployment that they repeat.
    Deployments,
    /// Incidents, by when they were resolved or when they started.
    Incidents,
    /// Reviews of the team's pull requests by other people.
    Reviews,
}

impl MetricOf {
    /// All of them.
    pub const ALL: &'static [Self] = <Self as VariantArray>::VARIANTS;

    /// What of them can be compared with texts.
    pub fn texts(self) -> &'static [TextField] {
        use TextField::{BaseBranches, Branches, Kinds, Labels, Repositories, Services, Severities, Titles};
        match self {
            Self::PullRequests | Self::Reviews => &[Repositories, BaseBranches, Branches, Labels, Titles],
            Self::Deployments => &[Services, Kinds],
            Self::Incidents => &[Services, Labels, Titles, Severities],
        }
    }

    /// What of them can be measured.
    pub fn measures(self) -> &'static [MetricMeasure] {
        use MetricMeasure::{
            Coding, CycleTime, Deploy, Files, LeadTime, Lines, Pickup, PullRequests, RecoveryTime, Review, Wait,
        };
        match self {
            Self::PullRequests => &[CycleTime, Coding, Pickup, Review, Deploy, LeadTime, Lines, Files],
            Self::Deployments => &[RecoveryTime, PullRequests],
            Self::Incidents => &[RecoveryTime],
            Self::Reviews => &[Wait, Lines, Files],
        }
    }

    /// What of them is true or false.
    pub fn flags(self) -> &'static [FlagField] {
        use FlagField::{Approved, Deployment, Draft, Failure, Internal, Revert, Reviewed, Rework};
        match self {
            Self::PullRequests => &[Reviewed, Approved, Draft, Revert],
            Self::Deployments => &[Failure, Rework],
            Self::Incidents => &[Deployment],
            Self::Reviews => &[Internal],
        }
    }

    /// By which event they are counted: the first one if nothing is said. Reviews have one only.
    pub fn states(self) -> &'static [MetricState] {
        use MetricState::{Closed, Failed, Merged, Resolved, Started, Succeeded};
        match self {
            Self::PullRequests => &[Merged, Closed],
            Self::Deployments => &[Succeeded, Failed],
            Self::Incidents => &[Resolved, Started],
            Self::Reviews => &[],
        }
    }

    /// What counts of them are counted in.
    pub(super) fn unit(self) -> MetricUnit {
        match self {
            Self::PullRequests => MetricUnit::PullRequests,
            Self::Deployments => MetricUnit::Deployments,
            Self::Incidents => MetricUnit::Incidents,
            Self::Reviews => MetricUnit::Reviews,
        }
    }

    /// What they are called: `pull requests`.
    pub fn things(self) -> String {
        self.to_string().replace('_', " ")
    }

    /// Whether they are of people, who are then counted where small groups are hidden. Deployments and incidents are of services.
    pub fn is_of_people(self) -> bool {
        matches!(self, Self::PullRequests | Self::Reviews)
    }
}

/// How they become a number.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum MetricStatistic {
    /// How many there are, each counted once.
    Count,
    /// The sum of their weights.
    Weight,
    /// The weighted part of those that `than` takes.
    Share,
    /// The weighted median of the measure.
    P50,
    /// Three of four are at most that, weighted.
    P75,
    /// Nine of ten are at most that, weighted.
    P90,
    /// The weighted mean of the measure.
    Mean,
}

impl MetricStatistic {
    /// Whether it is one of a measure.
    pub fn has_measure(self) -> bool {
        matches!(self, Self::P50 | Self::P75 | Self::P90 | Self::Mean)
    }

    /// The percentile that it is, between 0 and 1.
    pub fn percentile(self) -> Option<f64> {
        match self {
            Self::P50 => Some(0.5),
            Self::P75 => Some(0.75),
            Self::P90 => Some(0.9),
            Self::Count | Self::Weight | Self::Share | Self::Mean => None,
        }
    }
}

/// A time or a size.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum MetricMeasure {
    /// From the opening to the merge.
    CycleTime,
    /// From the first commit to the opening.
    Coding,
    /// From ready for review to the first review.
    Pickup,
    /// From the first review to the merge.
    Review,
    /// From the merge to production.
    Deploy,
    /// From the first commit to production.
    LeadTime,
    /// Lines added and deleted.
    Lines,
    /// Files changed.
    Files,
    /// From the start of an incident, or from a deployment that failed, to its end.
    RecoveryTime,
    /// The pull requests that a deployment delivered.
    PullRequests,
    /// From ready for review to a review.
    Wait,
}

impl MetricMeasure {
    /// All of them.
    pub const ALL: &'static [Self] = <Self as VariantArray>::VARIANTS;

    /// What it is counted in.
    pub fn unit(self) -> MetricUnit {
        match self {
            Self::CycleTime
            | Self::Coding
            | Self::Pickup
            | Self::Review
            | Self::Deploy
            | Self::LeadTime
            | Self::RecoveryTime
            | Self::Wait => MetricUnit::Hours,
            Self::PullRequests => MetricUnit::PullRequests,
            Self::Lines => MetricUnit::Lines,
            Self::Files => MetricUnit::Files,
        }
    }

    /// Whether it is read after the pull request itself.
    pub(super) fn needs_details(self) -> bool {
        !matches!(self, Self::CycleTime | Self::Deploy)
    }

    /// Whether it is a time, stored in seconds.
    pub fn is_time(self) -> bool {
        self.unit() == MetricUnit::Hours
    }

    /// The event without which nothing of a thing has it: what was only closed has no cycle time.
    pub fn needs(self, of: MetricOf) -> Option<MetricState> {
        match (of, self) {
            (MetricOf::PullRequests, Self::CycleTime | Self::Review | Self::Deploy | Self::LeadTime) => {
                Some(MetricState::Merged)
            }
            (MetricOf::Deployments, _) => Some(MetricState::Succeeded),
            _ => None,
        }
    }
}

/// What the values of a metric are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum MetricUnit {
    /// Pull requests, also parts of them.
    PullRequests,
    /// Deployments, also parts of them.
    Deployments,
    /// Incidents, also parts of them.
    Incidents,
    /// Reviews, also parts of them.
    Reviews,
    /// A part, from 0 to 1.
    Share,
    /// Hours.
    Hours,
    /// Lines.
    Lines,
    /// Files.
    Files,
}

/// The calendar unit of a metric's numbers.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum MetricInterval {
    /// Whole weeks.
    #[default]
    Week,
    /// Months.
    Month,
}

impl MetricInterval {
    /// The same unit, as of other numbers.
    pub fn interval(self) -> Interval {
        match self {
            Self::Week => Interval::Week,
            Self::Month => Interval::Month,
        }
    }
}

/// An event by which something is counted.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum MetricState {
    /// A pull request was merged.
    Merged,
    /// A pull request was closed without a merge.
    Closed,
    /// A deployment succeeded.
    Succeeded,
    /// A deployment did not succeed.
    Failed,
    /// An incident was resolved.
    Resolved,
    /// An incident started.
    Started,
}

impl MetricState {
    /// The event, as a word for people.
    pub(super) fn event(self) -> &'static str {
        match self {
            Self::Merged => "merge",
            Self::Closed => "close",
            Self::Succeeded | Self::Failed => "deployment",
            Self::Resolved => "resolution",
            Self::Started => "start",
        }
    }

    /// The end of `incidents that …`.
    pub(super) fn verb(self) -> &'static str {
        match self {
            Self::Merged => "were merged",
            Self::Closed => "were closed",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Resolved => "were resolved",
            Self::Started => "started",
        }
    }
}

/// A field of texts: one of them must fit.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::Display,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum TextField {
    /// Names of repositories, the present and the configured one.
    Repositories,
    /// The branch that it went into.
    BaseBranches,
    /// The branch that it came from.
    Branches,
    /// Its labels, of which one must fit.
    Labels,
    /// Its title.
    Titles,
    /// The slug of its service.
    Services,
    /// The kind of a deployment.
    Kinds,
    /// How severe an incident is.
    Severities,
}

impl TextField {
    /// All of them.
    pub const ALL: &'static [Self] = <Self as VariantArray>::VARIANTS;

    /// Whether it is read after the pull request itself.
    pub(super) fn needs_details(self) -> bool {
        matches!(self, Self::Branches | Self::Labels)
    }

    /// The only texts that there are, if they are few; then `*` stands for itself.
    pub fn choices(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Kinds => Some(&["first", "change", "rollback", "redeploy", "unknown"]),
            Self::Severities => Some(&["critical", "high", "medium", "low"]),
            Self::Repositories | Self::BaseBranches | Self::Branches | Self::Labels | Self::Titles | Self::Services => {
                None
            }
        }
    }

    /// Whether `*` stands for anything.
    pub fn has_patterns(self) -> bool {
        self != Self::Labels && self.choices().is_none()
    }
}

/// A field that is true or false.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::Display,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum FlagField {
    /// It has a review of another person.
    Reviewed,
    /// It has an approval.
    Approved,
    /// It ended as a draft.
    Draft,
    /// It takes another one back.
    Revert,
    /// A deployment that succeeded and then failed, for any of the reasons that there are.
    Failure,
    /// A deployment that repairs an earlier one.
    Rework,
    /// An incident that a deployment made.
    Deployment,
    /// A review by somebody of the same team.
    Internal,
}

impl FlagField {
    /// All of them.
    pub const ALL: &'static [Self] = <Self as VariantArray>::VARIANTS;

    /// Whether it is read after the pull request itself.
    pub(super) fn needs_details(self) -> bool {
        matches!(self, Self::Reviewed | Self::Approved | Self::Revert)
    }
}
