//! What reached production, when, and by which deployment: [`timeline`] turns the deployments of a stream and the commits
//! of its repositories into facts, and [`judge`] says which of them failed, were rework, and what remedied them. Pure; the
//! same facts in any order give the same answer.

mod commits;
mod environment;
mod ids;
mod incident;
mod judgment;
mod outcome;
mod paths;
mod posted;
mod shares;
mod source;
mod stream;
#[cfg(test)]
mod tests;
mod timeline;

pub use commits::{CommitGraph, Oid, OidError};
pub(crate) use environment::IGNORING_CASE;
pub use environment::{
    Environment, EnvironmentGroup, EnvironmentRules, HotfixRules, LISTED_ENVIRONMENT, ServiceRules, service_of,
    service_of_listed,
};
pub use ids::{DeploymentId, IncidentId, PullRequestId, RepositoryId, ServiceId};
pub use incident::{
    DEFAULT_INCIDENT_WINDOW, IncidentChange, IncidentOutcome, IncidentState, IncidentStateKind, LinkRule,
    LinkedIncident, deployment_before,
};
pub use judgment::{DEFAULT_REMEDY_WINDOW, FailureReason, Judgment, Remedy, ReworkReason, judge};
pub use outcome::{DeploymentOutcome, DeploymentState, DeploymentStateKind};
pub use paths::{ChangedFiles, PathPattern, PathPatternError, PathRules};
pub use posted::{DeploymentEvent, IncidentEvent, PostedDeployment, PostedIncident, RevisionEvent, checked_instant};
pub use shares::{Share, Shares, shares_of};
pub use source::{DeploymentSource, Origin, SourceOptions, SourceRules};
pub use stream::{Deployment, MergedPullRequest, Revision, Stream, Via};
pub use timeline::{DeploymentFact, DeploymentKind, MissingReason, Timeline, timeline};
