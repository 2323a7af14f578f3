//! What a listing has shown so far.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use mergeline_domain::progress::ReadBack;
use mergeline_source::{Etag, Page};
use mergeline_store::UnreadableChange;

/// A change that is further ahead comes from a broken clock, and must not hide earlier changes.
pub(super) const MAX_AHEAD: TimeDelta = TimeDelta::days(1);
/// The smallest page size that a reading starts with.
pub(super) const SMALLEST_PAGE: u8 = 5;

/// What a reading has seen so far.
#[derive(Debug, Default)]
pub(super) struct ListingProgress {
    pub(super) pages: u32,
    pub(super) is_anything: bool,
    pub(super) newest: Option<DateTime<Utc>>,
    pub(super) etag: Option<Etag>,
    pub(super) numbers: HashSet<i64>,
    /// Unreadable rows by position.
    pub(super) unreadable: BTreeMap<u32, UnreadableChange>,
    /// When the readable rows changed.
    pub(super) readable: Vec<DateTime<Utc>>,
    /// When the last row of the previous pages changed.
    pub(super) oldest: Option<DateTime<Utc>>,
    /// How many pull requests the source could return at once.
    pub(super) page_size: Option<u8>,
    /// The position up to which rows are stored.
    pub(super) read_back: ReadBack,
}

impl ListingProgress {
    /// Notes what a page showed. Returns whether there is more that is new enough.
    pub(super) fn note(&mut self, page: &Page, started_at: DateTime<Utc>, down_to: DateTime<Utc>) -> bool {
        // The watermark comes from the first page: later changes move to the front and are seen next time.
        if self.pages == 0 {
            let horizon = started_at + MAX_AHEAD;
            let times = page.pull_requests.iter().map(|pull_request| pull_request.updated_at);
            self.newest = times.filter(|at| *at <= horizon).max();
            self.etag.clone_from(&page.etag);
        }
        self.pages += 1;
        self.is_anything |= !page.is_empty();
        self.note_unreadable(page, started_at);
        page.has_next && !page.is_beyond(down_to)
    }

    /// Whether an unreadable row may have changed after `known`.
    pub(super) fn may_be_new(&self, known: Option<DateTime<Utc>>) -> bool {
        self.unreadable.values().any(|row| known.is_none_or(|known| known < row.until))
    }

    /// When the unreadable rows changed, as ranges. For the last row the start is unknown: it only matters while the
    /// row may be newer than what was listed.
    pub(super) fn not_shown(&self) -> impl Iterator<Item = (DateTime<Utc>, DateTime<Utc>)> {
        let oldest = self.oldest.unwrap_or(DateTime::UNIX_EPOCH);
        self.unreadable.values().map(move |row| (row.from.unwrap_or(oldest.min(row.until)), row.until))
    }

    /// Whether a pull request was listed.
    pub(super) fn shows(&self, number: i64) -> bool {
        self.numbers.contains(&number)
    }

    /// Notes the unreadable rows of a page, in a list that is read since `started_at`.
    pub(super) fn note_unreadable(&mut self, page: &Page, started_at: DateTime<Utc>) {
        let changed_at = |number: Option<i64>| {
            let neighbor = page.pull_requests.iter().find(|pull_request| Some(pull_request.number) == number);
            neighbor.map(|neighbor| neighbor.updated_at)
        };
        self.numbers.extend(page.numbers());
        self.readable.extend(page.pull_requests.iter().map(|pull_request| pull_request.updated_at));
        for row in &page.unreadable {
            let until = changed_at(row.after).or(self.oldest).unwrap_or(started_at);
            self.unreadable.insert(row.position, UnreadableChange { from: changed_at(row.before), until });
        }
        self.oldest = page.pull_requests.iter().map(|pull_request| pull_request.updated_at).min().or(self.oldest);
    }
}

/// How far a listing by update is with a page, as stored.
pub(super) fn read_back(page: &Page) -> ReadBack {
    let end = page.end.clone();
    ReadBack { rows: end.as_ref().map_or(0, |end| end.rows), cursor: end.map(|end| end.cursor) }
}
