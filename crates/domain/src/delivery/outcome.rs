//! The outcome of a deployment, from the states it has had.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

/// After this time without a final state, a deployment is abandoned.
const ABANDONED_AFTER: TimeDelta = TimeDelta::hours(24);

/// A state of a deployment.
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
pub enum DeploymentStateKind {
    /// Waiting, queued or running.
    InProgress,
    /// The deployment succeeded.
    Success,
    /// The deployment failed.
    Failure,
    /// Its source ended it before it succeeded or failed.
    Cancelled,
    /// A later deployment replaced it, or its environment was removed. Never an outcome.
    Inactive,
}

/// A state with its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeploymentState {
    /// When.
    pub at: DateTime<Utc>,
    /// Which.
    pub kind: DeploymentStateKind,
}

/// The outcome of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeploymentOutcome {
    /// It has had a success.
    Succeeded {
        /// The first success.
        at: DateTime<Utc>,
        /// The first failure after it, such as that of a health check.
        failed_afterwards_at: Option<DateTime<Utc>>,
    },
    /// It has had a failure and no success.
    Failed {
        /// The first failure.
        at: DateTime<Utc>,
    },
    /// It was cancelled, and is not counted.
    Cancelled,
    /// None of these yet.
    Unfinished,
}

impl DeploymentOutcome {
    /// The outcome of a deployment with these states, in any order.
    pub fn of(states: &[DeploymentState]) -> Self {
        use DeploymentStateKind::{Cancelled, Failure, Success};
        let times = |kind| states.iter().filter(move |state| state.kind == kind).map(|state| state.at);
        match (times(Success).min(), times(Failure).min()) {
            (Some(at), _) => {
                let failed_afterwards_at = times(Failure).filter(|failed_at| *failed_at > at).min();
                Self::Succeeded { at, failed_afterwards_at }
            }
            (None, Some(at)) => Self::Failed { at },
            (None, None) if times(Cancelled).next().is_some() => Self::Cancelled,
            (None, None) => Self::Unfinished,
        }
    }

    /// When it succeeded, if it did.
    pub fn succeeded_at(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Succeeded { at, .. } => Some(*at),
            _ => None,
        }
    }

    /// When it succeeded or failed.
    pub fn finished_at(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Succeeded { at, .. } | Self::Failed { at } => Some(*at),
            Self::Cancelled | Self::Unfinished => None,
        }
    }

    /// Whether a deployment that was created then has been unfinished for too long to be counted.
    pub fn is_abandoned(&self, created_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        *self == Self::Unfinished && now - created_at > ABANDONED_AFTER
    }
}
