//! The incremental stream: by update, newest first, down to what is known.

use chrono::{DateTime, TimeDelta, Utc};
use mergeline_domain::progress::{Backfill, ProgressEvent, ReadBack, ReadForward, Reading};
use mergeline_source::{Changes, ErrorKind, Etag, ListLength, Page, PageAnswer, RepositoryKey, Session, Source, Start};
use mergeline_store::UnreadableChange;

use super::progress::{ListingProgress, MAX_AHEAD, SMALLEST_PAGE, read_back};
use super::{Interruption, RepositoryJob, timed};
use crate::sources::AnyChanges;

/// How far before the watermark to read again: a source's answers may lag behind its clock by minutes.
const OVERLAP: TimeDelta = TimeDelta::minutes(10);
/// How often the last weeks are listed again to find differences.
const VERIFY_EVERY: TimeDelta = TimeDelta::days(7);
/// How far back that goes: older pull requests hardly change.
const VERIFY_WINDOW: TimeDelta = TimeDelta::days(28);
/// How many pull requests are marked as deleted at a time when all of a repository's are gone. An interruption loses at
/// most this much work.
const GONE_AT_ONCE: usize = 20;
/// The window of the backfill counts as widened when it starts this much before what is covered.
const WIDENED_BY: TimeDelta = TimeDelta::days(1);
/// A reopened reading with more pages than this does not restart from its beginning after an interruption.
const LONG: u32 = 10;
/// Nor does any other reading with more pages than this. The limit is higher because a complete repository counts as
/// incomplete until its backfill ends.
const VERY_LONG: u32 = 50;

/// Whether stored pull requests are compared with listed ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    No,
    /// The weekly one: of the last weeks.
    Recent,
    /// A requested one: of everything stored.
    Whole,
}

/// How far to read the stream, and why.
#[derive(Debug, Clone, Copy)]
struct ListingPlan {
    down_to: DateTime<Utc>,
    /// Nothing of the repository was read before.
    is_first: bool,
    /// It goes further back than what changed since the last time.
    is_reopened: bool,
    comparison: Comparison,
    started_at: DateTime<Utc>,
}

impl ListingPlan {
    fn is_verified(&self) -> bool {
        self.comparison != Comparison::No
    }

    /// Whether a reading that was stopped after this many pages would be stopped at every restart.
    fn should_become_backfill(&self, stopped: &Interruption, pages: u32) -> bool {
        match stopped {
            // A reading by creation compares nothing. A requested comparison can be requested again.
            _ if self.comparison == Comparison::Whole && !self.is_reopened => false,
            _ if stopped.is_for_lack_of_time() => pages > if self.is_reopened { LONG } else { VERY_LONG },
            Interruption::Source(_) => self.is_reopened && pages > LONG,
            _ => false,
        }
    }
}

/// How a reading ended.
enum ListingEnd {
    Whole,
    Unchanged,
    /// There is more than one page, and the past is read by creation.
    FirstPageOnly(Option<u32>),
    /// There is more than one page, and a backfill by update has read it.
    Back,
}

impl RepositoryJob<'_> {
    /// Reads what changed since the last time, or the newest page of a new repository.
    pub(super) async fn incremental(&mut self) -> Result<(), Interruption> {
        let plan = self.plan();
        let mut progress = ListingProgress::default();
        let outcome = self.read_down(&plan, &mut progress).await;
        let smaller = progress.page_size.filter(|size| *size < self.repository.progress.page_size);
        let smaller = smaller.map(|size| size.max(SMALLEST_PAGE));
        if let Some(smaller) = smaller {
            self.set_page_size(smaller).await?;
        }
        match outcome {
            Ok(ListingEnd::Back) => Ok(()),
            Ok(ListingEnd::Unchanged) => self.unchanged(&plan).await,
            Err(Interruption::Source(error)) if error.kind == ErrorKind::NotFound && self.is_switched_off().await? => {
                self.finish_without_pull_requests(&plan).await
            }
            Ok(ListingEnd::Whole) if self.is_accounted_for(&progress).await? => {
                self.note_unreadable(plan.down_to, &progress).await?;
                self.listed(&plan, progress).await?;
                match smaller {
                    // Learned just now, and reset by the end of the listing.
                    Some(smaller) if self.repository.progress.page_size != smaller => self.set_page_size(smaller).await,
                    _ => Ok(()),
                }
            }
            // Changes since the backfill started are read again from there, until it has found the unreadable rows.
            Ok(ListingEnd::Whole) if self.repository.progress.backfill.is_some() => Ok(()),
            Ok(ListingEnd::Whole) => {
                if plan.is_verified() {
                    self.mark_missing_as_deleted(plan.down_to, &progress).await?;
                }
                // In the list by creation, neighbors identify unreadable rows.
                self.begin_backfill(&plan, &progress, None).await
            }
            Ok(ListingEnd::FirstPageOnly(left)) => {
                self.pages_left = left.filter(|_| progress.page_size == Some(self.repository.progress.page_size));
                self.begin_backfill(&plan, &progress, None).await
            }
            Err(stopped) if plan.should_become_backfill(&stopped, progress.pages) => {
                // Continues where it stopped, or by creation if something on the way is unreadable.
                let is_readable = progress.unreadable.is_empty() && stopped.is_for_lack_of_time();
                let read_back = is_readable.then(|| progress.read_back.clone());
                self.begin_backfill(&plan, &progress, read_back).await?;
                Err(stopped)
            }
            Err(stopped) => Err(stopped),
        }
    }

    /// Whether the past was already read because of each unreadable row, and none of them has changed since, as far as
    /// their neighbors show.
    pub(super) fn is_explained(&self, progress: &ListingProgress) -> bool {
        let mut known = self.repository.unreadable.clone();
        // There was no readable row between its neighbors. One that is there now is this row, and explains no other.
        let is_read = |row: &UnreadableChange| {
            progress.readable.iter().any(|at| row.from.is_some_and(|from| from < *at) && *at < row.until)
        };
        known.retain(|row| !is_read(row));
        progress.unreadable.values().all(|row| match known.iter().position(|it| it.may_be(row)) {
            Some(place) => {
                known.swap_remove(place);
                true
            }
            None => false,
        })
    }

    /// Stores the unreadable rows, and those further down than this listing went.
    pub(super) async fn note_unreadable(
        &mut self,
        down_to: DateTime<Utc>,
        progress: &ListingProgress,
    ) -> Result<(), Interruption> {
        let further_down = self.repository.unreadable.iter().filter(|row| row.until < down_to);
        let unreadable: Vec<UnreadableChange> = progress.unreadable.values().chain(further_down).copied().collect();
        // While they are the same, the first note identifies them best.
        if unreadable.len() != self.repository.unreadable.len() || !self.is_explained(progress) {
            let noted = self.collecting.store.note_unreadable(&self.lease, &unreadable, self.now());
            timed(&mut self.result.database, noted).await?;
            self.repository.unreadable = unreadable;
        }
        Ok(())
    }

    fn plan(&self) -> ListingPlan {
        let now = self.now();
        let repository = &self.repository;
        let wanted = now - self.collecting.options.backfill;
        // Pull requests decided before `kept_since` are not stored anyway.
        let window = repository.kept_since.map_or(wanted, |since| since.max(wanted));
        let progress = &repository.progress;
        let known = progress.position().map(|position| position - OVERLAP);
        let is_widened = |covered: &DateTime<Utc>| {
            let is_under_way = progress.backfill.as_ref().is_some_and(|backfill| backfill.since < window + WIDENED_BY);
            window + WIDENED_BY < *covered && !is_under_way
        };
        let widened = progress.covered_since.filter(is_widened).map(|_| window);
        let reopened = progress.reopened_since.into_iter().chain(widened).min();
        let is_due = progress.verified_at.is_none_or(|at| at + VERIFY_EVERY <= now);
        let comparison = match known.is_some() && progress.backfill.is_none() {
            true if self.collecting.options.verifies => Comparison::Whole,
            true if is_due => Comparison::Recent,
            _ => Comparison::No,
        };
        let covered = progress.covered_since.unwrap_or(window);
        let verified_from = match comparison {
            Comparison::No => None,
            Comparison::Recent => Some(covered.max(now - VERIFY_WINDOW)),
            Comparison::Whole => Some(covered),
        };
        let first =
            progress.covered_since.or(progress.backfill.as_ref().map(|backfill| backfill.since)).unwrap_or(window);
        let down_to = [known.or(Some(first)), reopened, verified_from].into_iter().flatten().min().unwrap_or(window);
        ListingPlan {
            down_to,
            is_first: known.is_none() && progress.covered_since.is_none() && progress.backfill.is_none(),
            is_reopened: reopened.is_some(),
            comparison,
            started_at: now,
        }
    }

    async fn read_down(
        &mut self,
        plan: &ListingPlan,
        progress: &mut ListingProgress,
    ) -> Result<ListingEnd, Interruption> {
        let is_conditional = !plan.is_first && !plan.is_reopened && !plan.is_verified();
        let etag = self.repository.etag.clone().filter(|_| is_conditional);
        let name = self.repository.called().clone();
        let mut pages = self.session.changes(&name, self.repository.progress.page_size, Start::Beginning(etag));
        loop {
            let Some(page) = self.next_page(&mut pages).await? else { return Ok(ListingEnd::Whole) };
            let PageAnswer::Page(page) = page else { return Ok(ListingEnd::Unchanged) };
            self.identify(&page).await?;
            progress.page_size = Some(pages.page_size());
            let has_more = progress.note(&page, plan.started_at, plan.down_to);
            if has_more && self.is_read_back(plan, &page, progress).await? {
                self.begin_backfill(plan, progress, Some(ReadBack::default())).await?;
                let Some(backfill) = &self.repository.progress.backfill else { return Ok(ListingEnd::Back) };
                let since = backfill.since;
                Box::pin(self.read_back(since, pages, Some((page, std::mem::take(progress))))).await?;
                return Ok(ListingEnd::Back);
            }
            if has_more && plan.is_first {
                // The page is read again by creation, with everything before it.
                return Ok(ListingEnd::FirstPageOnly(page.pages_left));
            }
            let end = read_back(&page);
            self.keep(page, plan.down_to, None).await?;
            progress.read_back = end;
            self.observe();
            if !has_more {
                return Ok(ListingEnd::Whole);
            }
            // Only a reading that can continue where it stopped yields to others.
            if plan.is_reopened { self.may_continue()? } else { self.has_time()? }
        }
    }

    /// Whether the list after its first page is read by update, as a backfill that can continue where it stopped. That
    /// is so if the window may end before the list does, or if a part is known. A comparison must see everything in one
    /// go.
    async fn is_read_back(
        &mut self,
        plan: &ListingPlan,
        page: &Page,
        progress: &ListingProgress,
    ) -> Result<bool, Interruption> {
        let is_new = plan.is_first && page.unreadable.is_empty() && is_bounded(page, plan.down_to);
        let is_reopened = !plan.is_first && plan.is_reopened && !plan.is_verified();
        if !(is_new || is_reopened) || self.repository.progress.backfill.is_some() {
            return Ok(false);
        }
        if is_reopened && !self.is_accounted_for(progress).await? {
            return Ok(false);
        }
        // Only by creation are several pages read at a time: that is faster if half of them are in the window.
        if !is_new || self.source.concurrency() == 1 || !may_hold_half(page, plan.down_to) {
            return Ok(true);
        }
        let middle = page.pages_left.map_or(1, |left| left + 1) * u32::from(self.repository.progress.page_size) / 2;
        let row = self.session.change_at(self.repository.called(), middle).await?;
        let Some(row) = row.filter(|row| row.changed_at >= plan.down_to) else { return Ok(true) };
        // Opening a pull request changes it, so the newest one is on this page. If it is not, fewer rows are seen than
        // this length, and the list is read again with a length that is requested.
        let newest = page.pull_requests.iter().map(|pull_request| pull_request.created_at).max();
        self.length = row.rows.map(|rows| ListLength { rows, newest });
        Ok(false)
    }

    pub(super) async fn next_page(&mut self, pages: &mut AnyChanges<'_>) -> Result<Option<PageAnswer>, Interruption> {
        let page = pages.next().await?;
        self.result.pages += u32::from(page.is_some());
        Ok(page)
    }

    async fn unchanged(&mut self, plan: &ListingPlan) -> Result<(), Interruption> {
        self.result.is_unchanged = true;
        let down_to = self.repository.progress.position().unwrap_or(plan.down_to);
        let etag = self.repository.etag.clone();
        let event = ProgressEvent::Listed {
            newest: None,
            down_to,
            started_at: plan.started_at,
            is_verified: false,
            has_pull_requests: true,
        };
        self.finish(event, etag, plan.started_at).await
    }

    async fn listed(&mut self, plan: &ListingPlan, progress: ListingProgress) -> Result<(), Interruption> {
        if !progress.is_anything && self.repository.progress.position().is_some() {
            self.confirm_all_gone().await?;
        } else if plan.is_verified() {
            self.mark_missing_as_deleted(plan.down_to, &progress).await?;
        }
        let event = ProgressEvent::Listed {
            newest: progress.newest,
            down_to: plan.down_to,
            started_at: plan.started_at,
            is_verified: plan.is_verified() || plan.is_first,
            has_pull_requests: true,
        };
        self.finish(event, progress.etag, plan.started_at).await
    }

    /// Confirms an empty list. It may mean that the token lost its access, which is not a complete collection. Or
    /// everything was deleted at GitHub. Then GitHub says so for each number, while the repository still exists and its
    /// list has no rows. Deleted pull requests are marked in chunks, so that another run can continue there.
    async fn confirm_all_gone(&mut self) -> Result<(), Interruption> {
        let store = self.collecting.store;
        let stored = store.stored_between(self.repository.id, DateTime::UNIX_EPOCH, self.now() + MAX_AHEAD);
        let stored = timed(&mut self.result.database, stored).await?;
        self.confirm_empty().await?;
        // The first one alone: usually it still exists, and the list is wrong.
        let (first, others) = stored.split_at(stored.len().min(1));
        for some in [first].into_iter().chain(others.chunks(GONE_AT_ONCE)) {
            let gone = self.read_singly(some).await?;
            if gone != some {
                return Err(Interruption::lists_nothing());
            }
            // A token that lost its access in the meantime sees none of them either.
            self.confirm_empty().await?;
            self.mark_deleted(&gone).await?;
        }
        Ok(())
    }

    /// Checks that the repository exists, has pull requests in its settings, and lists none.
    async fn confirm_empty(&self) -> Result<(), Interruption> {
        let name = self.repository.called();
        let facts = self.session.repository(RepositoryKey::Name(name)).await?;
        if !facts.has_pull_requests || self.session.list_length(name).await?.rows > 0 {
            return Err(Interruption::lists_nothing());
        }
        Ok(())
    }

    /// Whether a repository whose list is a 404 exists, with pull requests switched off in its settings.
    async fn is_switched_off(&mut self) -> Result<bool, Interruption> {
        let name = self.repository.called().clone();
        let facts = match self.session.repository(RepositoryKey::Name(&name)).await {
            Ok(facts) => facts,
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        if facts.has_pull_requests {
            return Ok(false);
        }
        let page = Page { repository: Some(facts.identity), ..Page::default() };
        self.identify(&page).await?;
        Ok(true)
    }

    /// Pull requests are switched off: there are none to read, neither new nor old. What was stored earlier stays.
    async fn finish_without_pull_requests(&mut self, plan: &ListingPlan) -> Result<(), Interruption> {
        let repository = self.repository.called();
        tracing::info!(
            repo.name = %repository,
            "Pull requests are switched off in the settings of {repository}: there is nothing to read"
        );
        let event = ProgressEvent::Listed {
            newest: None,
            down_to: plan.down_to,
            started_at: plan.started_at,
            is_verified: false,
            has_pull_requests: false,
        };
        self.finish(event, None, plan.started_at).await?;
        if self.repository.progress.backfill.is_some() {
            self.finish_backfill().await?;
        }
        Ok(())
    }

    /// Records how a listing ended that started at `started_at`. `etag` is that of its first page.
    async fn finish(
        &mut self,
        event: ProgressEvent,
        etag: Option<Etag>,
        started_at: DateTime<Utc>,
    ) -> Result<(), Interruption> {
        let (store, revision) = (self.collecting.store, self.rostered.revision);
        let finished = store.advance_listing(&self.lease, revision, event, etag.as_ref(), started_at);
        let progress = timed(&mut self.result.database, finished).await?;
        self.set_progress(progress);
        Ok(())
    }

    async fn begin_backfill(
        &mut self,
        plan: &ListingPlan,
        progress: &ListingProgress,
        read_back: Option<ReadBack>,
    ) -> Result<(), Interruption> {
        // A backfill that is already running may go further back.
        let since = self
            .repository
            .progress
            .backfill
            .as_ref()
            .map_or(plan.down_to, |backfill| backfill.since.min(plan.down_to));
        let reading = read_back.map_or(Reading::ByCreation(ReadForward::default()), Reading::ByUpdate);
        let backfill = Backfill { since, anchor: progress.newest, reading };
        let event = ProgressEvent::BackfillStarted { backfill, at: plan.started_at };
        self.finish(event, progress.etag.clone(), plan.started_at).await?;
        self.note_unreadable(plan.down_to, progress).await
    }

    /// Starts to read the whole list again because rows have moved.
    pub(super) async fn read_again(&mut self) -> Result<(), Interruption> {
        let Some(since) = self.repository.progress.covered_since else { return Ok(()) };
        tracing::info!(
            repo.name = %self.repository.called(),
            "Reading {} again: unreadable rows have moved", self.repository.called()
        );
        let anchor = self.repository.progress.position();
        let backfill = Backfill::by_creation(since, anchor);
        let event = ProgressEvent::BackfillStarted { backfill, at: self.started_at };
        self.finish(event, self.repository.etag.clone(), self.started_at).await
    }

    /// Requests what is stored but not listed by its number: GitHub says whether it is gone.
    async fn mark_missing_as_deleted(
        &mut self,
        down_to: DateTime<Utc>,
        progress: &ListingProgress,
    ) -> Result<(), Interruption> {
        if progress.newest.is_none() {
            return Ok(());
        }
        let store = self.collecting.store;
        // Up to now, not up to the newest listed one: the one that changed last may be gone.
        let between = store.stored_between(self.repository.id, down_to, self.now() + MAX_AHEAD);
        let stored = timed(&mut self.result.database, between).await?;
        let missing: Vec<i64> = stored.into_iter().filter(|number| !progress.numbers.contains(number)).collect();
        let gone = self.read_singly(&missing).await?;
        self.mark_deleted(&gone).await
    }

    pub(super) async fn mark_deleted(&mut self, gone: &[i64]) -> Result<(), Interruption> {
        if !gone.is_empty() {
            tracing::warn!(repo.name = %self.repository.called(), ?gone, "Pull requests no longer exist at GitHub");
            let marked = self.collecting.store.mark_deleted(&self.lease, gone, self.now());
            timed(&mut self.result.database, marked).await?;
            // They no longer count, so earlier answers are outdated.
            self.result.changed += u32::try_from(gone.len()).unwrap_or(u32::MAX);
        }
        Ok(())
    }
}

/// Whether the window may hold half of a list, judging by the pace of its first page; a quarter is enough for a closer
/// look.
fn may_hold_half(page: &Page, since: DateTime<Utc>) -> bool {
    let Some(pages) = page.pages_left.map(|left| left + 1) else { return false };
    let changed_at = || page.pull_requests.iter().map(|pull_request| pull_request.updated_at);
    let Some((oldest, newest)) = changed_at().min().zip(changed_at().max()) else { return false };
    (newest - since).num_seconds() * 4 >= (newest - oldest).num_seconds() * i64::from(pages)
}

/// Whether pull requests may have last changed before the window. In a repository that is younger than the window, none
/// have.
fn is_bounded(page: &Page, since: DateTime<Utc>) -> bool {
    let created_at = page.repository.as_ref().and_then(|repository| repository.created_at);
    let is_older = |opened_at| opened_at < since;
    created_at.is_none_or(is_older) || page.pull_requests.iter().any(|pull_request| is_older(pull_request.created_at))
}
