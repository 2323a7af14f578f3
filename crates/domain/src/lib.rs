#![doc = include_str!("../README.md")]

mod access;
mod attribution;
pub mod benchmark;
mod changes;
pub mod delivery;
mod details;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod groups;
pub mod insight;
pub mod messages;
pub mod metrics;
mod names;
mod percentile;
mod period;
pub mod plan;
mod problem;
pub mod progress;
mod pull_request;
mod recovery;
pub mod teams_file;
mod weight;
mod words;
mod zone;

pub use access::{AccessChange, AccessLine, AccessLines, Grant, Identity, Refusal, Role, Who, domain_of};
pub use attribution::{
    Attribution, Judging, Membership, MembershipId, Person, PersonId, Roster, SkipReason, TeamId, Verdict,
};
pub use changes::ListChange;
pub use details::{Commit, CountedReview, Details, DraftEvent, History, Review};
pub use names::{
    ChannelId, ExternalId, Forge, GoalId, InstanceId, Login, MetricId, NameError, RepoEntry, RepoExclusion, RepoName,
    RepoPattern, RepoRules, ServiceSlug, TeamSlug,
};
pub use percentile::{Sample, weighted_mean, weighted_percentile};
pub use period::{Period, PeriodError, iso_week, monday_of, start_of_day};
pub use problem::{Position, Problem, Problems, bounded_integer, error_chain};
pub use pull_request::{AccountKind, AttributedBy, Author, Exclusion, PullRequest, PullRequestState, State};
pub use recovery::Recovery;
pub use weight::{Weight, WeightError};
pub use words::{count_of, is_line, one_line};
pub use zone::{names_of, parse_zone};
