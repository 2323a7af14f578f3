//! The backfill stream, down to the start of the window. It reads by creation, oldest first, which changes do not
//! disturb, or by update, newest first. It continues where it stopped.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use futures::StreamExt;
use mergeline_domain::progress::{Cursor, ProgressEvent, ReadForward, Reading};
use mergeline_source::{Changes, Page, PageAnswer, Session, Source, SourceError, Start};
use mergeline_store::{KnownBy, Place, Undecodable};

use super::progress::{ListingProgress, SMALLEST_PAGE, read_back};
use super::{Interruption, RepositoryJob, pipeline};
use crate::sources::AnyChanges;

/// How often a backfill is read if pull requests vanish during each reading.
const MAX_READINGS: u32 = 4;
/// Very small pages are expensive: after this many readable ones, a larger size is tried.
const PAGES_BEFORE_LARGER: u32 = 10;
/// Pages of at least this size are not very small.
const SMALL_PAGE: u8 = 25;

impl RepositoryJob<'_> {
    /// Continues a repository's backfill, if there is one, as far as time allows.
    pub(super) async fn backfill(&mut self) -> Result<(), Interruption> {
        while let Some(backfill) = self.repository.progress.backfill.clone() {
            let read = match backfill.reading {
                Reading::ByUpdate(read) => {
                    self.may_continue()?;
                    let (session, name) = (self.session, self.repository.called());
                    let start = read.cursor.map_or(Start::Beginning(None), Start::After);
                    let pages = session.changes(name, self.repository.progress.page_size, start);
                    Box::pin(self.read_back(backfill.since, pages, None)).await?;
                    continue;
                }
                Reading::ByCreation(read) if read.readings == 0 => {
                    self.begin_reading(0).await?;
                    continue;
                }
                Reading::ByCreation(read) => read,
            };
            if !self.read_by_creation(backfill.since, &read).await? {
                // Continue with another page size.
                continue;
            }
            let read = self.read_forward().unwrap_or(read);
            if read.length.is_some_and(|length| read.seen < length) && read.readings < MAX_READINGS {
                // A pull request vanished in the meantime. Those behind it moved up, and one at the start of a page was
                // missed.
                let (repository, seen, length) = (self.repository.called(), read.seen, read.length);
                tracing::info!(
                    repo.name = %repository, seen, length,
                    "Reading {repository} again: only {seen} pull requests were listed, fewer than there were"
                );
                self.begin_reading(read.readings).await?;
                continue;
            }
            self.finish_backfill().await?;
        }
        Ok(())
    }

    pub(super) async fn finish_backfill(&mut self) -> Result<(), Interruption> {
        self.advance(ProgressEvent::BackfillFinished { at: self.now() }).await
    }

    /// The progress of a backfill by creation, if one is running.
    fn read_forward(&self) -> Option<ReadForward> {
        match &self.repository.progress.backfill.as_ref()?.reading {
            Reading::ByCreation(read) => Some(read.clone()),
            Reading::ByUpdate(_) => None,
        }
    }

    /// Reads a backfill by update, down to `since`, page by page, and stores the position with each page. After the last page it is
    /// finished, unless there are unreadable rows: in the list by creation, neighbors identify those. `first` is what
    /// the first page showed, if the reading starts at the beginning of the list.
    pub(super) async fn read_back(
        &mut self,
        since: DateTime<Utc>,
        mut pages: AnyChanges<'_>,
        first: Option<(Page, ListingProgress)>,
    ) -> Result<(), Interruption> {
        // Boxed: it is a large future.
        let outcome = Box::pin(self.read_back_to(since, &mut pages, first)).await;
        let smaller = pages.page_size().max(SMALLEST_PAGE);
        if smaller < self.repository.progress.page_size {
            self.set_page_size(smaller).await?;
        }
        outcome
    }

    async fn read_back_to(
        &mut self,
        since: DateTime<Utc>,
        pages: &mut AnyChanges<'_>,
        first: Option<(Page, ListingProgress)>,
    ) -> Result<(), Interruption> {
        let is_from_the_beginning = first.is_some();
        let (mut arrived, mut seen) = first.map_or_else(Default::default, |(page, seen)| (Some(page), seen));
        loop {
            let page = match arrived.take() {
                Some(page) => page,
                None => match self.next_page(pages).await? {
                    Some(PageAnswer::Page(page)) => {
                        self.identify(&page).await?;
                        seen.note_unreadable(&page, self.now());
                        page
                    }
                    // The previous page was the last one, so the backfill is finished.
                    Some(PageAnswer::Unchanged) | None => return self.finish_backfill().await,
                },
            };
            let read_back = read_back(&page);
            if page.is_list_empty && !page.has_next {
                return Err(Interruption::lists_nothing());
            }
            let is_over = !page.has_next || page.is_beyond(since);
            let is_readable =
                page.unreadable.is_empty() || (is_from_the_beginning && self.is_accounted_for(&seen).await?);
            if !is_readable {
                // Unreadable rows of a partial list are not stored: the next listing checks them.
                self.keep(page, since, None).await?;
                self.observe();
                return self.begin_reading(0).await;
            }
            self.keep(page, since, Some(ProgressEvent::RowsStored(read_back))).await?;
            self.observe();
            if is_over {
                return self.finish_backfill().await;
            }
            self.may_continue()?;
        }
    }

    /// Starts at the first page, after asking for the length of the list. An unknown length does not prevent that.
    /// `readings` is how often it was started before.
    async fn begin_reading(&mut self, readings: u32) -> Result<(), Interruption> {
        if readings > 0 {
            // Rows have vanished since.
            self.pages_left = None;
        }
        let length = match self.length.take() {
            Some(length) => Some(length),
            None => self.session.list_length_if_known(self.repository.called()).await?,
        };
        let event = ProgressEvent::ReadingStarted {
            length: length.map(|length| length.rows),
            newest: length.and_then(|length| length.newest),
            readings: readings + 1,
            at: self.now(),
        };
        self.advance(event).await
    }

    /// Reads page by page, with several requests in flight, and stores the pages in order. Returns true at the end of
    /// the list, or false if the page size has changed.
    async fn read_by_creation(&mut self, since: DateTime<Utc>, read: &ReadForward) -> Result<bool, Interruption> {
        let (session, name) = (self.session, self.repository.called().clone());
        let page_size = self.repository.progress.page_size;
        let ahead = self.source.concurrency();
        let mut next = read.cursor.clone();
        let mut left = self.pages_left.filter(|_| next.is_none()).unwrap_or(0);
        let (mut is_read, mut other_size, mut pages_read) = (false, None, 0);
        let mut counted = Counted::default();
        while !is_read && other_size.is_none() {
            self.may_continue()?;
            let name = &name;
            let pages = futures::stream::iter(places(session, next.clone(), page_size, left))
                .map(|from| async move { session.by_creation(name, page_size, from.as_ref()).await })
                .buffered(ahead);
            let reading = pipeline(pages, ahead, async |pages| {
                let mut arrived: Option<Page> = None;
                let mut outcome = Ok(());
                for page in pages {
                    match self.checked(page).await {
                        Ok(page) => {
                            is_read = !page.has_next;
                            left = page.pages_left.unwrap_or(left.saturating_sub(1));
                            pages_read += 1;
                            other_size = other_page_size(page_size, &page, pages_read);
                            match &mut arrived {
                                Some(earlier) => earlier.append(page),
                                None => arrived = Some(page),
                            }
                        }
                        Err(stopped) => outcome = Err(stopped),
                    }
                    if is_read || other_size.is_some() || outcome.is_err() {
                        break;
                    }
                }
                // Pages before the failed one are stored anyway.
                if let Some(mut page) = arrived {
                    let unread = self.name_unreadable(&mut page).await?;
                    let seen = counted.add(&page, &unread, read.newest, is_read);
                    let end =
                        page.end.clone().ok_or_else(|| SourceError::invalid("a page of a list has no position"))?;
                    next = Some(end.cursor.clone());
                    let event = ProgressEvent::PageStored { rows: end.rows, cursor: end.cursor, seen };
                    self.keep_with(page, unread, since, Some(event)).await?;
                    self.observe();
                }
                outcome?;
                if !is_read {
                    self.may_continue()?;
                }
                Ok(!is_read && other_size.is_none())
            });
            // Boxed: pages in flight and the one being stored make a large future.
            Box::pin(reading).await?;
            // The page that is next now was among those left.
            left = left.saturating_sub(1);
        }
        if let Some(size) = other_size.filter(|_| !is_read) {
            self.set_page_size(size).await?;
        }
        Ok(is_read)
    }

    /// Checks that a page is from the right repository.
    async fn checked(&mut self, page: Result<Page, SourceError>) -> Result<Page, Interruption> {
        let page = page?;
        self.result.pages += 1;
        self.identify(&page).await?;
        Ok(page)
    }

    /// Uses another page size from now on.
    pub(super) async fn set_page_size(&mut self, page_size: u8) -> Result<(), Interruption> {
        let before = self.repository.progress.page_size;
        tracing::info!(
            repo.name = %self.repository.called(), page_size,
            "Using a page size of {page_size} instead of {before}"
        );
        self.advance(ProgressEvent::PageSizeChanged { page_size }).await
    }
}

/// Counts what a reading by creation has seen of the pull requests that existed when it started.
#[derive(Debug, Default)]
struct Counted {
    numbers: HashSet<i64>,
    /// Those without a number.
    places: HashSet<Place>,
    /// The newest of them has been seen: what follows is new.
    is_past: bool,
}

impl Counted {
    /// Returns how many a page adds. Each counts once: of pages requested at the same time, two may list the same row
    /// after another one has vanished. An item without a date existed if one that existed follows it.
    fn add(&mut self, page: &Page, unread: &[Undecodable], newest: Option<DateTime<Utc>>, is_last: bool) -> u32 {
        let was_there = |created_at| newest.is_none_or(|newest| created_at <= newest);
        let dated = || page.pull_requests.iter().map(|it| (it.number, it.created_at));
        self.is_past |= newest.is_some_and(|newest| is_last || dated().any(|(_, created_at)| created_at >= newest));
        let known = dated().filter(|(_, created_at)| was_there(*created_at)).map(|(number, _)| number);
        let last = known.clone().max().unwrap_or(0);
        let is_before = |following: Option<i64>| !self.is_past || following.is_some_and(|following| following <= last);
        let (mut numbers, mut places): (Vec<i64>, Vec<Place>) = (known.collect(), Vec::new());
        numbers.extend(page.undecodable.iter().map(|item| item.number).filter(|number| is_before(Some(*number))));
        for row in unread {
            match row.known_by {
                KnownBy::Number(number) if is_before(Some(number)) => numbers.push(number),
                KnownBy::Place { place, following, .. } if is_before(following.map(|it| it.number)) => {
                    places.push(place);
                }
                KnownBy::Number(_) | KnownBy::Place { .. } => {}
            }
        }
        let new = numbers.into_iter().filter(|number| self.numbers.insert(*number)).count()
            + places.into_iter().filter(|place| self.places.insert(*place)).count();
        u32::try_from(new).unwrap_or(u32::MAX)
    }
}

/// Where the next page starts and, as far as the source can tell, those of the pages `left` after it.
fn places(
    session: &impl Session,
    next: Option<Cursor>,
    page_size: u8,
    left: u32,
) -> impl Iterator<Item = Option<Cursor>> {
    let following = move |from: &Option<Cursor>| session.following(from.as_ref(), page_size).map(Some);
    std::iter::successors(Some(next), following).take(left as usize + 1)
}

/// The page size from the next page on, if it changes.
fn other_page_size(page_size: u8, page: &Page, pages_read: u32) -> Option<u8> {
    if let Some(smaller) = page.smaller {
        return Some(smaller.max(SMALLEST_PAGE)).filter(|smaller| *smaller < page_size);
    }
    page.larger.filter(|_| page_size < SMALL_PAGE && pages_read >= PAGES_BEFORE_LARGER)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use mergeline_domain::{PullRequest, State};

    use super::*;

    fn on_day(number: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(number)
    }

    fn listed(numbers: &[i64]) -> Page {
        let opened = |number: i64| PullRequest {
            id: number.into(),
            node_id: None,
            number,
            title: String::new(),
            author: None,
            state: State::Open,
            is_draft: false,
            base_ref: None,
            created_at: on_day(number),
            updated_at: on_day(number),
        };
        Page { pull_requests: numbers.iter().copied().map(opened).collect(), ..Page::default() }
    }

    #[test]
    fn f27_row_listed_on_two_pages_counts_once() {
        let mut counted = Counted::default();
        // #2 has vanished from the first and third answers, but not yet from the second: #7 is not listed.
        let pages = [&[1, 3, 4][..], &[4, 5, 6], &[8, 9, 10]];
        let seen = pages.map(|numbers| counted.add(&listed(numbers), &[], Some(on_day(9)), false));
        assert_eq!(seen, [3, 2, 2], "fewer than 9");
    }

    #[test]
    fn pages_shrink_at_once_and_grow_back_later() {
        let failing = |smaller| Page { smaller: Some(smaller), ..Page::default() };
        assert_eq!(other_page_size(100, &failing(50), 1), Some(50));
        assert_eq!(
            other_page_size(25, &failing(1), 1),
            Some(5),
            "single pull requests are requested only where necessary"
        );
        assert_eq!(other_page_size(5, &failing(1), 1), None);
        let before_larger = |larger| Page { larger, ..Page::default() };
        let after = |read, larger| other_page_size(5, &before_larger(larger), read);
        assert_eq!([9, 10, 11].map(|read| after(read, Some(25))), [None, Some(25), Some(25)]);
        assert_eq!(after(11, None), None, "in the middle of a page of 25");
        let sizes = [(25, Some(50)), (50, Some(100)), (100, None)];
        assert_eq!(sizes.map(|(size, larger)| other_page_size(size, &before_larger(larger), 100)), [None, None, None]);
    }
}
