//! Pages of a list of pull requests.

use chrono::{DateTime, Utc};
use mergeline_domain::PullRequest;
use mergeline_domain::progress::Cursor;

use crate::RepositoryIdentity;

/// An item of a page that could not be decoded. The other items of the page are not affected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndecodableItem {
    /// The pull request's number.
    pub number: i64,
    /// When it was opened, if that could be decoded.
    pub created_at: Option<DateTime<Utc>>,
    /// Why.
    pub reason: String,
}

/// A row of a list that cannot be read even alone, or that has no number. Its pull request is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableRow {
    /// Its place in the list, from 1.
    pub position: u32,
    /// The number of the preceding pull request in the list, if it was read with it.
    pub after: Option<i64>,
    /// The number of the following pull request, if there is one and it was read with it.
    pub before: Option<i64>,
    /// What the source responds instead.
    pub reason: String,
}

/// The version of a list's first page, and what it is valid for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Etag {
    /// As the source sent it, including quotes.
    pub value: String,
    /// A digest of the credentials and the address.
    pub scope: String,
}

/// How far a list is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// How many of its rows, from the start.
    pub rows: u32,
    /// Where it continues.
    pub cursor: Cursor,
}

/// Where the reading of a list starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// At the start. With an ETag, the first page may be [`PageAnswer::Unchanged`].
    Beginning(Option<Etag>),
    /// Where an earlier reading stopped.
    After(Cursor),
}

/// A page of a repository's pull requests.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// The decoded pull requests, in the order of the list.
    pub pull_requests: Vec<PullRequest>,
    /// The pull requests that could not be decoded.
    pub undecodable: Vec<UndecodableItem>,
    /// The rows that the source could not return.
    pub unreadable: Vec<UnreadableRow>,
    /// Which repository this is; `None` on an empty page.
    pub repository: Option<RepositoryIdentity>,
    /// The ETag of the response.
    pub etag: Option<Etag>,
    /// Whether there are further pages.
    pub has_next: bool,
    /// How many pages of this size follow, if the source says so.
    pub pages_left: Option<u32>,
    /// How far the list is read with it; `None` outside a list.
    pub end: Option<Position>,
    /// Whether the list has no row at all. A page may also be empty because its rows were on the page before.
    pub is_list_empty: bool,
    /// How many pull requests the source could return at once, if that is fewer than requested.
    pub smaller: Option<u8>,
    /// A larger page size that the list can continue with from here; `None` if there is none.
    pub larger: Option<u8>,
}

impl Page {
    /// Whether nothing at all was listed.
    pub fn is_empty(&self) -> bool {
        self.rows() == 0
    }

    /// How many rows are on the page, including undecodable and unreadable ones.
    pub fn rows(&self) -> usize {
        self.pull_requests.len() + self.undecodable.len() + self.unreadable.len()
    }

    /// Adds the rows of a later page.
    pub fn append(&mut self, mut later: Self) {
        self.pull_requests.append(&mut later.pull_requests);
        self.undecodable.append(&mut later.undecodable);
        self.unreadable.append(&mut later.unreadable);
        self.has_next = later.has_next;
        self.pages_left = later.pages_left;
        self.end = later.end.or(self.end.take());
        self.smaller = later.smaller.or(self.smaller);
        self.larger = later.larger;
    }

    /// Whether it has a change from before `since`. In a list by update, all later rows do too.
    pub fn is_beyond(&self, since: DateTime<Utc>) -> bool {
        self.pull_requests.iter().any(|pull_request| pull_request.updated_at < since)
    }

    /// The newest change on the page.
    pub fn newest(&self) -> Option<DateTime<Utc>> {
        self.pull_requests.iter().map(|pull_request| pull_request.updated_at).max()
    }

    /// The numbers of all pull requests on it that have one.
    pub fn numbers(&self) -> impl Iterator<Item = i64> {
        let understood = self.pull_requests.iter().map(|pull_request| pull_request.number);
        understood.chain(self.undecodable.iter().map(|item| item.number))
    }
}

/// The response to a conditional request.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one a page, moved a few times")]
pub enum PageAnswer {
    /// Unchanged, which costs nothing of the hourly limit where the source says so.
    Unchanged,
    /// The current page.
    Page(Page),
}

/// The length of a repository's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListLength {
    /// The number of pull requests up to the newest readable one, or of all of them if none of the newest can be
    /// read.
    pub rows: u32,
    /// When the newest readable one was opened; `None` if there is none.
    pub newest: Option<DateTime<Utc>>,
}

/// A row of a list by update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeAt {
    /// When it changed last.
    pub changed_at: DateTime<Utc>,
    /// How many rows the list has; `None` if the source does not say.
    pub rows: Option<u32>,
}
