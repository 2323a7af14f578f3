#![doc = include_str!("../README.md")]

mod deployments;
mod error;
mod incidents;
mod limits;
mod page;
mod repository;
mod runs;
mod source;

#[cfg(feature = "contract")]
pub mod contract;

pub use deployments::{
    Announced, CommitPage, CommitRecord, DeploymentPage, DeploymentPageAnswer, ListedDeployment, ListedState,
    UndecodableDeployment,
};
pub use error::{ErrorKind, SourceError};
pub use incidents::{Closing, IncidentList, ListedIncident};
pub use limits::{Block, Remaining, Usage, WaitBudget};
pub use page::{ChangeAt, Etag, ListLength, Page, PageAnswer, Position, Start, UndecodableItem, UnreadableRow};
pub use repository::{ListedRepository, OwnedRepositories, RepositoryFacts, RepositoryIdentity, RepositoryKey};
pub use runs::{ListedRun, ReportedDeployment, RunPage, RunQuery};
pub use source::{Changes, Commits, DeploymentStates, Deployments, FilesOfPullRequests, Histories, Session, Source};
