//! Deployments: what their sources tell of them, and what is derived from it.

mod commits;
mod deployments;
mod derive;
mod files;
mod incidents;
mod issues;
mod lists;
mod metrics;
mod overview;
mod posted;
mod progress;
mod reported;
mod rules;
mod services;
mod stream;

pub use commits::OpenCommit;
pub use deployments::AskedDeployment;
pub use derive::Differences;
pub(crate) use derive::{derive, forget_deliveries, lock_services, note_first_deliveries};
pub use files::WithoutFiles;
pub use issues::IncidentProgress;
pub use lists::{
    DeliveredFor, DeliveredPullRequest, DeploymentFilter, DeploymentRow, DeploymentStateRow, InForce, IncidentFilter,
    IncidentRow, LinkedIncidentRow, ServiceState, TeamShare, Wait, WaitingPullRequest,
};
pub use metrics::{
    DeploymentCoverage, DoraScope, DoraTerms, ListCoverage, Service, ServiceOwner, ServiceSelector, SourceCoverage,
};
pub use overview::{KnownEnvironment, UnreadList};
pub use posted::{
    Channel, EventDigest, EventOutcome, EventRefusal, EventSubject, Poster, Sender, StoredDeployment, StoredIncident,
};
pub use progress::{DeploymentProblem, DeploymentProgress, DeploymentReading};
pub use reported::{DeploymentList, Merges, Reported};
pub(crate) use services::{follow_names, write_services};
