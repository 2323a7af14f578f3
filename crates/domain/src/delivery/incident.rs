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

/// What a sender says that became of an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IncidentChange {
    /// It was resolved then.
    Resolved(DateTime<Utc>),
    /// It was opened again then.
    Reopened(DateTime<Utc>),
    /// It turned out then to be none.
    Dismissed(DateTime<Utc>),
    /// It was merged into another one then.
    Merged {
        /// When.
        at: DateTime<Utc>,
        /// The id that its sender gave the other one, if it says so.
        into: Option<String>,
    },
    /// It was open then: it was opened again if it had been over.
    SeenOpen(DateTime<Utc>),
    /// It was over when it was seen.
    SeenResolved {
        /// Since when, if people set that. It may be from before it was opened again.
        at: Option<DateTime<Utc>>,
        /// When it was seen.
        seen_at: DateTime<Utc>,
    },
}

impl IncidentChange {
    /// The state that it leads to.
    pub fn state(&self) -> (DateTime<Utc>, IncidentStateKind) {
        match *self {
            Self::Resolved(at) => (at, IncidentStateKind::Resolved),
            Self::SeenResolved { at, seen_at } => (at.unwrap_or(seen_at), IncidentStateKind::Resolved),
            Self::Reopened(at) | Self::SeenOpen(at) => (at, IncidentStateKind::Reopened),
            Self::Dismissed(at) => (at, IncidentStateKind::Dismissed),
            Self::Merged { at, .. } => (at, IncidentStateKind::Merged),
        }
    }

    /// The same, but not after an instant: the clock of its sender may be ahead.
    #[must_use]
    pub fn no_later_than(self, now: DateTime<Utc>) -> Self {
        match self {
            Self::Resolved(at) => Self::Resolved(at.min(now)),
            Self::Reopened(at) => Self::Reopened(at.min(now)),
            Self::Dismissed(at) => Self::Dismissed(at.min(now)),
            Self::Merged { at, into } => Self::Merged { at: at.min(now), into },
            Self::SeenOpen(at) => Self::SeenOpen(at.min(now)),
            Self::SeenResolved { at, seen_at } => {
                Self::SeenResolved { at: at.map(|at| at.min(now)), seen_at: seen_at.min(now) }
            }
        }
    }

    /// What a delivery, which may come late and more than once, adds to these states.
    pub fn delivered(&self, states: &[IncidentState]) -> Option<(DateTime<Utc>, IncidentStateKind)> {
        let (at, kind) = match *self {
            Self::SeenOpen(at) => {
                let until: Vec<IncidentState> = states.iter().filter(|state| state.at <= at).copied().collect();
                if IncidentOutcome::of(&until) == IncidentOutcome::Open {
                    return None;
                }
                self.state()
            }
            // Each later change of it shows that it is over.
            Self::SeenResolved { at: None, .. }
                if matches!(IncidentOutcome::of(states), IncidentOutcome::Resolved { .. }) =>
            {
                return None;
            }
            Self::SeenResolved { at: Some(at), seen_at } => {
                let reopened = states.iter().filter(|state| state.kind == IncidentStateKind::Reopened);
                let is_outdated = reopened.map(|state| state.at).any(|reopened| at <= reopened && reopened <= seen_at);
                (if is_outdated { seen_at } else { at }, IncidentStateKind::Resolved)
            }
            _ => self.state(),
        };
        // It does not end before it starts, although clocks differ.
        let opened = states.iter().filter(|state| state.kind == IncidentStateKind::Opened).map(|state| state.at).min();
        Some((opened.map_or(at, |opened| at.max(opened)), kind))
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
