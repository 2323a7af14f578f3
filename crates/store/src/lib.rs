#![doc = include_str!("../README.md")]

mod access;
mod actor;
mod attributions;
mod configuration;
mod connection;
mod custom;
mod delivery;
mod details;
mod erasure;
mod error;
mod events;
mod flow;
mod goals;
mod holder;
mod ledger;
mod limits;
mod logins;
mod messages;
mod metrics;
mod pages;
mod passwords;
mod planner;
mod progress;
mod progress_columns;
mod pruning;
mod quarantine;
mod renewal;
mod repositories;
mod reviews;
mod revision;
mod roles;
mod session;
mod status;
mod tenant;
mod webhooks;

pub use actor::Actor;
pub use attributions::{PULL_REQUESTS_AT_ONCE, Reattributed};
pub use configuration::{Applied, ApplyError, ApplyOptions, Snapshot, UNKNOWN_ZONE_HELP};
pub use connection::{DatabaseSettings, Reader, Writer};
pub use custom::MetricBucket;
pub use delivery::{
    AskedDeployment, Channel, DeliveredFor, DeliveredPullRequest, DeploymentCoverage, DeploymentFilter, DeploymentList,
    DeploymentProblem, DeploymentProgress, DeploymentReading, DeploymentRow, DeploymentStateRow, Differences,
    DoraScope, DoraTerms, EventDigest, EventOutcome, EventRefusal, EventSubject, InForce, IncidentFilter,
    IncidentProgress, IncidentRow, KnownEnvironment, LinkedIncidentRow, ListCoverage, Merges, OpenCommit, Poster,
    Reported, Sender, Service, ServiceOwner, ServiceSelector, ServiceState, SourceCoverage, StoredDeployment,
    StoredIncident, TeamShare, UnreadList, Wait, WaitingPullRequest, WithoutFiles,
};
pub use details::WithoutDetails;
pub use erasure::{Account, Count, Stored, Traces};
pub use error::StoreError;
pub use events::{Event, EventKind};
pub use flow::InvestedPullRequest;
pub use goals::LinkedPullRequest;
pub use holder::{HeldLease, Holder};
pub use ledger::{Reason, RepositoryResult, ResultState, RunId, RunState, Settled};
pub use logins::{LoginKind, LoginStatus, Logins, WayIn};
pub use mergeline_domain::delivery::RepositoryId;
pub use messages::{
    ChannelStatus, ClaimTerms, ClaimedMessage, ClaimedMessages, END_OF, FailingRepository, MessageKey, MessageOutcome,
    PlannedChanges, PlannedMessage,
};
pub use metrics::{
    Audience, Bucketing, DataStatus, Filter, ListedState, Member, OpenPullRequests, PullRequestList, PullRequestOrder,
    ReadSession, Team, TeamMembership, TeamPullRequest, TeamRef, TeamSelector,
};
pub use pages::{KeptPullRequest, PageOfWork, StoredPage};
pub use passwords::{LoginAddress, Passwords};
pub use pruning::Prunable;
pub use quarantine::{Following, KnownBy, Place, QuarantineEntry, QuarantineKey, Undecodable};
pub use renewal::Renewal;
pub use repositories::{Identity, Lease, LeaseOutcome, Repository, UnreadableChange};
pub use reviews::UnreadReviews;
pub use revision::Revision;
pub use status::{
    ConfiguredLogin, DatabaseStatus, Explanation, QuarantineReason, RepositoryStatus, RunStatus, Share, Times,
};
pub use tenant::Tenant;
pub use webhooks::{
    Announcements, DeliveryOutcome, KnownDelivery, PluginActivity, ReceivedDelivery, ReceivedEvent, SourceActivity,
};
