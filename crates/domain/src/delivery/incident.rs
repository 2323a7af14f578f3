//! Incidents: how they end, and which deployment caused them.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::ids::{DeploymentId, IncidentId};

/// For how long after a deployment an incident is linked to it, unless the configuration says otherwise.
pub const DEFAULT_INCIDENT_WINDOW: TimeDelta = TimeDelta::hours(24);

/// What happened to an incident.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum IncidentStateKind {
    /// It was opened.
    Opened,
    /// It is open again; the earlier resolution does not count.
    Reopened,
    /// It is over.
    Resolved,
    /// Not an incident; excluded from all metrics.
    Dismissed,
    /// It is part of another one, and excluded from all metrics.
    Merged,
}

/// A state with its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncidentState {
    /// When.
    pub at: DateTime<Utc>,
    /// Which.
    pub kind: IncidentStateKind,
}

/// The current state of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncidentOutcome {
    /// It is not over.
    Open,
    /// It is over.
    Resolved {
        /// Since when.
        at: DateTime<Utc>,
    },
    /// It was dismissed or merged into another one, and is excluded from all metrics.
    NotCounted,
}

impl IncidentOutcome {
    /// The current state of an incident with these states, in any order: the last one decides. Of several at one instant, the later
    /// one in the order of [`IncidentStateKind`] does.
    pub fn of(states: &[IncidentState]) -> Self {
        match states.iter().max() {
            Some(IncidentState { at, kind: IncidentStateKind::Resolved }) => Self::Resolved { at: *at },
            Some(IncidentState { kind: IncidentStateKind::Dismissed | IncidentStateKind::Merged, .. }) => {
                Self::NotCounted
            }
            _ => Self::Open,
        }
    }
}

/// An incident with the deployment that caused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkedIncident {
    /// The incident.
    pub id: IncidentId,
    /// The deployment.
    pub deployment: DeploymentId,
}

/// Why an incident is linked to a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, strum::Display, strum::EnumString, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum LinkRule {
    /// Its source names the deployment.
    Named,
    /// A person chose the deployment.
    Set,
    /// It started within the window after the deployment.
    Window,
}

/// The last of its service's deployments when an incident started, if it was within the window. `deployments` are
/// counted, succeeded, production deployments in ascending order, with the time of their success.
pub fn deployment_before(
    started_at: DateTime<Utc>,
    deployments: &[(DeploymentId, DateTime<Utc>)],
    window: TimeDelta,
) -> Option<DeploymentId> {
    let later = deployments.partition_point(|(_, at)| *at <= started_at);
    let (deployment, at) = deployments.get(later.checked_sub(1)?)?;
    (started_at - *at < window).then_some(*deployment)
}
