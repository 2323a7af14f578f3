//! Pull requests that are asked for singly: those in quarantine, those that a list lacks, and those that it cannot show.

use std::ops::Range;

use mergeline_github::{GitHubError, Page, UndecodableItem, UnreadableRow};
use mergeline_store::{PageOfWork, QuarantineKey, Undecodable};

use super::page::opened_before;
use super::{Stopped, Work, timed};

/// How many are tried again in a run.
pub(super) const AT_ONCE: u32 = 20;
/// The most numbers that are tried to find the one of a row that cannot be read. Issues have numbers too.
const MAX_GUESSES: i64 = 20;

/// What an attempt to read a pull request by its number came to.
enum Single {
    Read(Box<mergeline_domain::PullRequest>),
    Undecodable(UndecodableItem),
    /// GitHub fails at it.
    Unreadable(String),
    Gone,
}

impl Work<'_> {
    /// Tries again what could not be read before, each after a growing pause.
    pub(super) async fn retry_quarantined(&mut self) -> Result<(), Stopped> {
        let store = self.collecting.store;
        let now = self.now();
        let due = timed(&mut self.result.database, store.quarantined(self.repository.id, now, AT_ONCE)).await?;
        let (mut numbers, mut positions) = (Vec::new(), Vec::new());
        for key in due {
            match key {
                QuarantineKey::Number(number) => numbers.push(number),
                QuarantineKey::Position(position) => positions.push(position),
            }
        }
        let understood = self.read_singly(&numbers).await?;
        let readable = self.read_rows(&positions).await?;
        if !(understood.is_empty() && readable.is_empty()) {
            // What is not there any more has left the quarantine as well.
            let page = PageOfWork { understood, readable, ..PageOfWork::default() };
            let stored = store.upsert_page(&self.lease, self.rostered.revision, page, now);
            timed(&mut self.result.database, stored).await?;
        }
        Ok(())
    }

    /// Asks for pull requests by number and stores them. What GitHub fails at is put into quarantine, or stays there. Returns
    /// those that are not there.
    pub(super) async fn read_singly(&mut self, numbers: &[i64]) -> Result<Vec<i64>, Stopped> {
        let mut gone = Vec::new();
        for &number in numbers {
            self.may_go_on()?;
            let mut page = Page::default();
            match self.single(number).await? {
                Single::Read(pull_request) => page.pull_requests.push(*pull_request),
                Single::Undecodable(item) => page.undecodable.push(item),
                Single::Unreadable(reason) => {
                    page.undecodable.push(UndecodableItem { number: Some(number), created_at: None, reason });
                }
                Single::Gone => {
                    gone.push(number);
                    continue;
                }
            }
            self.keep(page, chrono::DateTime::<chrono::Utc>::MIN_UTC, None).await?;
        }
        Ok(gone)
    }

    async fn single(&self, number: i64) -> Result<Single, Stopped> {
        let name = self.repository.called();
        match self.session.pull_request(name, number).await {
            Ok(Ok(pull_request)) => Ok(Single::Read(Box::new(pull_request))),
            Ok(Err(item)) => Ok(Single::Undecodable(UndecodableItem { number: Some(number), ..item })),
            Err(GitHubError::NotFound) => Ok(Single::Gone),
            Err(error) if error.wants_smaller_page() => {
                Ok(Single::Unreadable(format!("#{number} cannot be read, not even alone: {error}")))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Asks for places in the list by creation and stores what is there. Returns those that can be read now.
    async fn read_rows(&mut self, positions: &[u32]) -> Result<Vec<u32>, Stopped> {
        let name = self.repository.called().clone();
        let mut readable = Vec::new();
        for &position in positions {
            self.may_go_on()?;
            let page = match self.session.by_creation(&name, 1, position).await {
                Ok(page) => page,
                Err(error @ GitHubError::PageUnreadable { .. }) => {
                    let reason = error.to_string();
                    let row = UnreadableRow { position, after: None, before: None, reason };
                    Page { unreadable: vec![row], ..Page::default() }
                }
                Err(error) => return Err(error.into()),
            };
            if page.unreadable.is_empty() {
                readable.push(position);
                self.keep(page, chrono::DateTime::<chrono::Utc>::MIN_UTC, None).await?;
            } else {
                let undecodable = page.unreadable.into_iter().map(|row| by_position(row, None)).collect();
                let (store, now) = (self.collecting.store, self.now());
                let page = PageOfWork { undecodable, ..PageOfWork::default() };
                let stored = store.upsert_page(&self.lease, self.rostered.revision, page, now);
                timed(&mut self.result.database, stored).await?;
            }
        }
        Ok(readable)
    }

    /// Number and time of opening of the row before a place in the list by creation, as far as that can be read.
    async fn row_before(&self, position: u32) -> Result<Option<(i64, chrono::DateTime<chrono::Utc>)>, Stopped> {
        if position < 2 {
            return Ok(None);
        }
        match self.session.by_creation(self.repository.called(), 1, position - 1).await {
            Ok(page) => Ok(page
                .pull_requests
                .first()
                .filter(|_| page.unreadable.is_empty())
                .map(|it| (it.number, it.created_at))),
            Err(error) if error.wants_smaller_page() || matches!(error, GitHubError::PageUnreadable { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Finds the numbers of the rows that a page by creation cannot show: between those of their neighbours, as far as there are
    /// few. What can be read alone is added to the page; what cannot is to be put into quarantine, by its place where its number
    /// cannot be found.
    pub(super) async fn name_unreadable(&mut self, page: &mut Page) -> Result<Vec<Undecodable>, Stopped> {
        let mut named = Vec::new();
        let mut rows = std::mem::take(&mut page.unreadable).into_iter().peekable();
        while let Some(row) = rows.next() {
            let mut together = vec![row];
            while let Some(next) = rows.next_if(|next| next.after == together[0].after) {
                together.push(next);
            }
            let (after, created_from) = match together[0].after {
                Some(after) => (Some(after), opened_before(page, after + 1)),
                None => self.row_before(together[0].position).await?.unzip(),
            };
            for number in between(after, together.iter().find_map(|row| row.before), together[0].position == 1) {
                if together.is_empty() {
                    break;
                }
                match self.single(number).await? {
                    Single::Gone => continue,
                    Single::Read(pull_request) => page.pull_requests.push(*pull_request),
                    Single::Undecodable(item) => page.undecodable.push(item),
                    Single::Unreadable(reason) => {
                        let reason = format!("{}; {reason}", together[0].reason);
                        named.push(Undecodable { key: QuarantineKey::Number(number), reason, created_from });
                    }
                }
                together.remove(0);
            }
            named.extend(together.into_iter().map(|row| by_position(row, created_from)));
        }
        Ok(named)
    }
}

/// The numbers that a row between two others may have, in a list by creation; none where there are too many, or one of them is
/// not known.
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

fn by_position(row: UnreadableRow, created_from: Option<chrono::DateTime<chrono::Utc>>) -> Undecodable {
    Undecodable { key: QuarantineKey::Position(row.position), reason: row.reason, created_from }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_looked_for_between_its_neighbours_where_they_are_near() {
        assert_eq!(between(Some(56), Some(58), false), 57..58);
        assert_eq!(between(Some(56), None, false), 57..77);
        assert_eq!(between(None, Some(3), true), 1..3);
        assert!(between(Some(56), Some(500), false).is_empty());
        assert!(between(None, Some(500), false).is_empty(), "it may be any that was read before");
    }
}
