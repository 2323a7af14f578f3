//! Issues for the fake GitHub.

use chrono::{DateTime, Utc};

use crate::at;

/// An issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeIssue {
    /// The repository's `owner/name`.
    pub repository: String,
    /// Its id, beyond 32 bits like real ones.
    pub id: i64,
    /// Its number in the repository.
    pub number: i64,
    /// The title.
    pub title: String,
    /// Its labels.
    pub labels: Vec<String>,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// When it was closed.
    pub closed_at: Option<DateTime<Utc>>,
    /// Why it was closed or opened again: `completed`, `not_planned`, `duplicate` or `reopened`.
    pub state_reason: Option<String>,
}

/// New issues have about this id today.
const FIRST_ISSUE: i64 = 4_100_000_000;

/// An open issue with one label.
///
/// # Panics
/// If the time is invalid, because tests write it.
pub fn issue(repository: &str, number: i64, label: &str, created_at: &str) -> FakeIssue {
    FakeIssue {
        repository: repository.to_owned(),
        id: FIRST_ISSUE + number,
        number,
        title: format!("Issue {number}"),
        labels: vec![label.to_owned()],
        created_at: at(created_at),
        updated_at: at(created_at),
        closed_at: None,
        state_reason: None,
    }
}

impl FakeIssue {
    /// With one more label.
    #[must_use]
    pub fn labeled(mut self, label: &str) -> Self {
        self.labels.push(label.to_owned());
        self
    }

    /// Closed for a reason.
    ///
    /// # Panics
    /// If the time is invalid, because tests write it.
    #[must_use]
    pub fn closed(mut self, time: &str, reason: &str) -> Self {
        self.closed_at = Some(at(time));
        self.updated_at = at(time);
        self.state_reason = Some(reason.to_owned());
        self
    }

    /// Open again.
    ///
    /// # Panics
    /// If the time is invalid, because tests write it.
    #[must_use]
    pub fn reopened(mut self, time: &str) -> Self {
        self.closed_at = None;
        self.updated_at = at(time);
        self.state_reason = Some("reopened".to_owned());
        self
    }

    /// Without labels, which changes it.
    ///
    /// # Panics
    /// If the time is invalid, because tests write it.
    #[must_use]
    pub fn without_labels(mut self, time: &str) -> Self {
        self.labels.clear();
        self.updated_at = at(time);
        self
    }
}
