//! What the two cookies hold.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use mergeline_domain::Identity;
use serde::{Deserialize, Serialize};

/// How long a session lasts. Changes at the provider, such as a removed group, count at the next login.
pub const SESSION_HOURS: i64 = 8;
/// How long a login may take.
pub const ATTEMPT_MINUTES: i64 = 10;

/// Somebody who has logged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The provider that vouches for them.
    pub(crate) issuer: String,
    /// What it said.
    pub identity: Identity,
    /// The groups that mattered at the login. Whether somebody is in others is not known.
    pub(crate) asked: BTreeSet<String>,
}

impl Session {
    /// When the session ends.
    pub fn expires_at(&self) -> DateTime<Utc> {
        self.identity.logged_in_at + TimeDelta::hours(SESSION_HOURS)
    }

    /// Whether it is known of each of these groups if the person is in it.
    pub fn knows(&self, groups: &BTreeSet<&str>) -> bool {
        groups.iter().all(|group| self.asked.contains(*group))
    }

    /// Whether it still counts.
    pub(crate) fn is_in_force(&self, issuer: &str, now: DateTime<Utc>) -> bool {
        self.issuer == issuer && now < self.expires_at()
    }
}

/// A login that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    /// Sent to the provider and back, so that an answer belongs to this browser's login.
    pub(crate) state: String,
    /// Comes back inside the ID token, so that the token belongs to this login.
    pub(crate) nonce: String,
    /// The secret of PKCE.
    pub(crate) verifier: String,
    /// Where the person wanted to go.
    pub(crate) to: String,
    pub(crate) started_at: DateTime<Utc>,
}

impl Attempt {
    pub(crate) fn is_in_force(&self, now: DateTime<Utc>) -> bool {
        now < self.started_at + TimeDelta::minutes(ATTEMPT_MINUTES)
    }
}
