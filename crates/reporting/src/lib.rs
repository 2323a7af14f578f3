#![doc = include_str!("../README.md")]

mod custom;
mod delivery;
mod dora;
mod flow;
mod goals;
mod insight;
mod overview;
mod pull_requests;
mod query;
mod report;
mod reviews;
mod statistics;
mod summary;

pub use custom::{MeasuredMetric, MeasuredUnit, TeamMetrics};
pub use delivery::{DeliveryQuery, DeliveryReport, DeploymentList, IncidentList, PRODUCTION, WaitingList};
pub use dora::{DoraBucketNumbers, DoraMetrics, DoraQuery, DoraReport, DoraSubject};
pub use flow::TeamTime;
pub use goals::{JudgedGoal, TeamGoals};
pub use insight::{MetricChange, TeamBackTest, TeamChanges, TeamForecast};
pub use overview::{Overview, TeamOverview};
pub use pull_requests::{PagePosition, PullRequestPage, cut_to_page};
pub use query::{ReportError, ReportKind, ReportQuery, Viewer};
pub use report::Report;
pub use reviews::ReviewsOfTeam;
pub use statistics::{BucketNumbers, Deliveries, Numbers, ReportStatistics};
pub use summary::{OpenNumbers, PeriodNumbers, SummaryChange, TeamSummary};
