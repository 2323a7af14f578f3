//! What a source reports of incidents: issues with a label.

use chrono::{DateTime, Utc};
use mergeline_domain::ExternalId;

use crate::Etag;

/// An issue that is an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedIncident {
    /// Its id at its source.
    pub id: ExternalId,
    /// Its number in its repository.
    pub number: i64,
    /// Its title.
    pub title: String,
    /// All its labels.
    pub labels: Vec<String>,
    /// Its page.
    pub url: Option<String>,
    /// When it was opened.
    pub opened_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// When it was closed, and what that means; `None` while it is open.
    pub closed: Option<(DateTime<Utc>, Closing)>,
}

/// What it means that an issue was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// The incident is over.
    Resolved,
    /// It was none.
    Dismissed,
    /// It is part of another one.
    Merged,
}

/// All issues of a repository with a label.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IncidentList {
    /// Them, in any order.
    pub incidents: Vec<ListedIncident>,
    /// The version of the list, if the source says so.
    pub etag: Option<Etag>,
}
