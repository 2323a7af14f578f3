//! Pull requests that are requested one by one: those in quarantine, those missing from a list, and those that a list
//! cannot show.

use std::collections::BTreeSet;
use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};
use mergeline_source::{ErrorKind, Page, Session, UndecodableItem, UnreadableRow};
use mergeline_store::{Following, KnownBy, PageOfWork, Place, Undecodable};

use super::page::opened_before;
use super::progress::ListingProgress;
use super::{Interruption, RepositoryJob, timed};

/// How many are retried in a run.
pub(super) const AT_ONCE: u32 = 20;
/// The most numbers that are tried to find that of an unreadable row. Issues have numbers too.
const MAX_GUESSES: i64 = 20;
/// How many rows away to look for a readable row.
const MAX_STEPS: u32 = 20;

/// The result of reading a pull request by its number.
enum Single {
    Read(Box<mergeline_domain::PullRequest>),
    Undecodable(UndecodableItem),
    /// The source fails to return it.
    Unreadable(String),
    Gone,
}

/// After this, everything in quarantine is due.
const LONGER_THAN_ANY_PAUSE: TimeDelta = TimeDelta::days(3);

impl RepositoryJob<'_> {
    /// Retries what could not be read before, each after a growing pause: some of what is due at `due_at`. Returns
    /// whether rows have moved, so that the list must be read again to locate them.
    pub(super) async fn retry_quarantined(&mut self, due_at: DateTime<Utc>) -> Result<bool, Interruption> {
        let store = self.collecting.store;
        let now = self.now();
        let due = timed(&mut self.result.database, store.quarantined(self.repository.id, due_at, AT_ONCE)).await?;
        let (mut numbers, mut rows) = (Vec::new(), Vec::new());
        for known_by in due {
            match known_by {
                KnownBy::Number(number) => numbers.push(number),
                KnownBy::Place { position, place, following } => rows.push((position, place, following)),
            }
        }
        let understood = self.confirmed_gone(&numbers).await?;
        self.mark_deleted(&understood).await?;
        let (readable, have_moved) = self.read_rows(&rows).await?;
        if !(understood.is_empty() && readable.is_empty()) {
            // What no longer exists has left the quarantine too.
            let page = PageOfWork { understood, readable, ..PageOfWork::default() };
            let stored = store.upsert_page(&self.lease, self.rostered.revision, page, now);
            let stored = timed(&mut self.result.database, stored).await?;
            // Which rows these were in the list by update is unknown: the next listing checks all rows that it cannot
            // show.
            if stored.released > 0 {
                self.repository.unreadable.clear();
            }
        }
        Ok(have_moved)
    }

    /// Whether the rows that a listing could not show are known. If one of them may have changed since it was noted,
    /// everything in quarantine is requested again at once, and so is what is stored but not listed. There must be at
    /// least as many pull requests that can be these rows as there are rows.
    pub(super) async fn is_accounted_for(&mut self, seen: &ListingProgress) -> Result<bool, Interruption> {
        if !self.is_explained(seen) {
            return Ok(false);
        }
        let known = self.repository.unreadable.iter().map(|row| row.until).max();
        if !seen.may_be_new(known) {
            return Ok(true);
        }
        let later = self.now() + LONGER_THAN_ANY_PAUSE;
        if self.retry_quarantined(later).await? || !self.is_explained(seen) {
            return Ok(false);
        }
        let (store, repository) = (self.collecting.store, self.repository.id);
        let quarantined = timed(&mut self.result.database, store.quarantined(repository, later, u32::MAX)).await?;
        let mut missing = BTreeSet::new();
        for (from, until) in seen.not_shown() {
            let stored = timed(&mut self.result.database, store.stored_between(repository, from, until)).await?;
            missing.extend(stored.into_iter().filter(|number| !seen.shows(*number)));
        }
        let may_be = quarantined.iter().filter(|known_by| match known_by {
            KnownBy::Number(number) => {
                missing.remove(number);
                !seen.shows(*number)
            }
            KnownBy::Place { .. } => true,
        });
        let may_be = may_be.count();
        if missing.len() > AT_ONCE as usize {
            // Reading the whole list again takes fewer requests.
            return Ok(false);
        }
        let missing: Vec<i64> = missing.into_iter().collect();
        let gone = self.confirmed_gone(&missing).await?;
        self.mark_deleted(&gone).await?;
        Ok(seen.not_shown().count() <= may_be + missing.len() - gone.len())
    }

    /// Requests pull requests by number and stores them. Those that the source fails to return are put into quarantine, or
    /// stay there. Returns the numbers that do not exist.
    pub(super) async fn read_singly(&mut self, numbers: &[i64]) -> Result<Vec<i64>, Interruption> {
        let mut gone = Vec::new();
        for &number in numbers {
            self.has_time()?;
            let mut page = Page::default();
            match self.single(number).await? {
                Single::Read(pull_request) => page.pull_requests.push(*pull_request),
                Single::Undecodable(item) => page.undecodable.push(item),
                Single::Unreadable(reason) => {
                    page.undecodable.push(UndecodableItem { number, created_at: None, reason });
                }
                Single::Gone => {
                    gone.push(number);
                    continue;
                }
            }
            self.keep(page, DateTime::<Utc>::MIN_UTC, None).await?;
        }
        Ok(gone)
    }

    async fn single(&self, number: i64) -> Result<Single, Interruption> {
        let name = self.repository.called();
        match self.session.pull_request(name, number).await {
            Ok(Ok(pull_request)) => Ok(Single::Read(Box::new(pull_request))),
            Ok(Err(item)) => Ok(Single::Undecodable(item)),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(Single::Gone),
            Err(error) if error.kind == ErrorKind::TooLarge => {
                Ok(Single::Unreadable(format!("#{number} cannot be read, not even alone: {error}")))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Requests rows of the list by creation and stores what it gets. Returns the places that are readable now, and
    /// whether rows have moved.
    async fn read_rows(
        &mut self,
        rows: &[(u32, Place, Option<Following>)],
    ) -> Result<(Vec<Place>, bool), Interruption> {
        let mut readable = Vec::new();
        for &(position, place, following) in rows {
            self.has_time()?;
            let page = self.row(position).await?;
            if !self.is_where_it_was(position, place, following).await? {
                return Ok((readable, true));
            }
            if let Some(row) = page.unreadable.first() {
                let following = match following {
                    Some(following) => Some(following),
                    None => self.following(position).await?,
                };
                let undecodable = vec![by_place(row, place, following, None)];
                let (store, now) = (self.collecting.store, self.now());
                let page = PageOfWork { undecodable, ..PageOfWork::default() };
                let stored = store.upsert_page(&self.lease, self.rostered.revision, page, now);
                timed(&mut self.result.database, stored).await?;
            } else {
                readable.push(place);
                self.keep(page, DateTime::<Utc>::MIN_UTC, None).await?;
            }
        }
        Ok((readable, false))
    }

    /// A row of the list by creation, which may be unreadable.
    async fn row(&self, position: u32) -> Result<Page, Interruption> {
        Ok(self.session.row(self.repository.called(), position).await?)
    }

    /// Whether a row is still at the same distance from the rows before and after it, as far as these are known.
    async fn is_where_it_was(
        &self,
        position: u32,
        place: Place,
        following: Option<Following>,
    ) -> Result<bool, Interruption> {
        let is_followed = match following {
            Some(Following { number, rows }) => self.number_of(position + rows).await? == Some(number),
            None if place.after == 0 => place.rows == 1 && position == 1,
            None => true,
        };
        let is_behind = match place {
            Place { after: 0, rows } => position == rows,
            Place { rows, .. } if position <= rows => false,
            Place { after, rows } => is_followed && self.number_of(position - rows).await? == Some(after),
        };
        Ok(is_followed && is_behind)
    }

    async fn number_of(&self, position: u32) -> Result<Option<i64>, Interruption> {
        Ok(self.row(position).await?.numbers().next())
    }

    /// The nearest readable row after a row.
    async fn following(&self, position: u32) -> Result<Option<Following>, Interruption> {
        for rows in 1..MAX_STEPS {
            let page = self.row(position + rows).await?;
            match page.numbers().next() {
                Some(number) => return Ok(Some(Following { number, rows })),
                None if page.is_empty() => break,
                None => {}
            }
        }
        Ok(None)
    }

    /// The place of a row after the nearest readable one before it, and when that one was opened.
    async fn place_of(&self, position: u32) -> Result<(Place, Option<DateTime<Utc>>), Interruption> {
        for rows in 1..position.min(MAX_STEPS) {
            let page = self.row(position - rows).await?;
            if let Some(after) = page.numbers().next() {
                let created_at = page.pull_requests.first().map(|pull_request| pull_request.created_at);
                return Ok((Place { after, rows }, created_at));
            }
        }
        Ok((Place { after: 0, rows: position }, None))
    }

    /// Finds the numbers of the rows that a page by creation cannot show: between those of their neighbors, if these
    /// are close. What can be read alone is added to the page. The rest is returned for quarantine, by place if the
    /// number cannot be found.
    pub(super) async fn name_unreadable(&mut self, page: &mut Page) -> Result<Vec<Undecodable>, Interruption> {
        let mut named = Vec::new();
        let mut rows = std::mem::take(&mut page.unreadable).into_iter().peekable();
        while let Some(row) = rows.next() {
            let (first, after) = (row.position, row.after);
            let (mut last, mut before) = (row.position, row.before);
            let mut together = vec![row];
            while let Some(next) = rows.next_if(|next| next.position == last + 1) {
                (last, before) = (next.position, next.before);
                together.push(next);
            }
            let (place, created_from) = match after {
                Some(after) => (Place { after, rows: 1 }, opened_before(page, after + 1)),
                None => self.place_of(first).await?,
            };
            let following = match before {
                Some(number) => Some(Following { number, rows: 1 }),
                None => self.following(last).await?,
            };
            // All consecutive unreadable rows, including those on adjacent pages.
            let (ahead, behind) =
                (place.rows as usize - 1, following.map_or(0, |following| following.rows as usize - 1));
            let in_a_row = ahead + together.len() + behind;
            let after = Some(place.after).filter(|after| *after > 0);
            let is_first = first <= MAX_STEPS;
            let numbers = between(after, following.map(|following| following.number), is_first);
            let found = self.found(numbers, in_a_row).await?;
            let is_all = found.len() == in_a_row;
            for (place, (number, single)) in found.into_iter().enumerate() {
                let row = place.checked_sub(ahead).and_then(|place| together.get(place)).filter(|_| is_all);
                match (single, row) {
                    (Single::Read(pull_request), _) => page.pull_requests.push(*pull_request),
                    (Single::Undecodable(item), _) => page.undecodable.push(item),
                    (Single::Unreadable(reason), Some(row)) => {
                        let reason = format!("{}; {reason}", row.reason);
                        named.push(Undecodable { known_by: KnownBy::Number(number), reason, created_from });
                    }
                    (Single::Unreadable(_), None) | (Single::Gone, _) => {}
                }
            }
            if !is_all {
                named.extend(together.iter().map(|row| {
                    let place = Place { rows: place.rows + row.position - first, ..place };
                    let following = following.map(|it| Following { rows: it.rows + last - row.position, ..it });
                    by_place(row, place, following, created_from)
                }));
            }
        }
        Ok(named)
    }

    /// The first `at_most` of these numbers that exist.
    async fn found(&self, numbers: Range<i64>, at_most: usize) -> Result<Vec<(i64, Single)>, Interruption> {
        let mut found = Vec::new();
        for number in numbers {
            if found.len() == at_most {
                break;
            }
            match self.single(number).await? {
                Single::Gone => {}
                single => found.push((number, single)),
            }
        }
        Ok(found)
    }
}

/// The numbers that a row between two others may have in a list by creation. Empty if there are too many, or a neighbor
/// is unknown.
fn between(after: Option<i64>, before: Option<i64>, is_first: bool) -> Range<i64> {
    let range = match (after, before) {
        (Some(after), Some(before)) => after + 1..before,
        (Some(after), None) => after + 1..after + 1 + MAX_GUESSES,
        (None, before) if is_first => {
            let end = before.unwrap_or(1 + MAX_GUESSES);
            (end - MAX_GUESSES).max(1)..end
        }
        (None, _) => 0..0,
    };
    if range.end - range.start > MAX_GUESSES { 0..0 } else { range }
}

fn by_place(
    row: &UnreadableRow,
    place: Place,
    following: Option<Following>,
    created_from: Option<DateTime<Utc>>,
) -> Undecodable {
    let known_by = KnownBy::Place { position: row.position, place, following };
    Undecodable { known_by, reason: row.reason.clone(), created_from }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_is_searched_only_between_close_neighbors() {
        assert_eq!(between(Some(56), Some(58), false), 57..58);
        assert_eq!(between(Some(56), None, false), 57..77);
        assert_eq!(between(None, Some(3), true), 1..3);
        assert!(between(Some(56), Some(500), false).is_empty());
        assert!(between(None, Some(500), false).is_empty(), "it may be any row read before");
    }
}
