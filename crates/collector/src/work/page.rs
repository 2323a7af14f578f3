//! Stores the pull requests of a page.

use chrono::{DateTime, Utc};
use mergeline_domain::progress::ProgressEvent;
use mergeline_domain::{PullRequest, Roster, SkipReason, Verdict};
use mergeline_source::Page;
use mergeline_store::{
    KeptPullRequest, KnownBy, Lease, PageOfWork, RepositoryResult, Revision, StoreError, StoredPage, Undecodable,
    Writer,
};

use super::{Interruption, RepositoryJob, timed};

/// Attributes the pull requests of a page, stores those of configured people and counts the others by reason. Also
/// returns what the store did.
///
/// # Errors
/// When the database fails, or the roster is stale, also because the page showed that two people are the same.
#[tracing::instrument(target = "spans", name = "page", level = "debug", skip_all)]
#[expect(clippy::too_many_arguments, reason = "what a page is judged by, where it goes and what is counted")]
pub async fn keep_page(
    store: &Writer,
    lease: &Lease,
    revision: Revision,
    roster: &Roster,
    pull_requests: Vec<PullRequest>,
    undecodable: Vec<Undecodable>,
    event: Option<ProgressEvent>,
    now: DateTime<Utc>,
) -> Result<(RepositoryResult, StoredPage), StoreError> {
    let quarantined = u32::try_from(undecodable.len()).unwrap_or(u32::MAX);
    let mut counts = RepositoryResult { listed: quarantined, quarantined, ..RepositoryResult::default() };
    let mut page = PageOfWork { undecodable, event, ..PageOfWork::default() };
    let mut is_roster_stale = false;
    let mut judging = roster.judging();
    for pull_request in pull_requests {
        counts.listed += 1;
        page.understood.push(pull_request.number);
        match judging.judge(&pull_request) {
            Verdict::Keep { person, attributions } => {
                let person = person.id;
                page.kept.push(KeptPullRequest { pull_request, person, attributions });
            }
            Verdict::Skip(SkipReason::Ghost) => counts.skipped_ghost += 1,
            Verdict::Skip(SkipReason::Bot) => counts.skipped_bot += 1,
            Verdict::Skip(SkipReason::NotAMember) => counts.skipped_not_a_member += 1,
            Verdict::DuplicatePerson { known, configured } => {
                if let Some(author) = &pull_request.author {
                    store.merge_people(known, configured, &author.id, now).await?;
                    is_roster_stale = true;
                }
            }
        }
    }
    if is_roster_stale {
        return Err(StoreError::StaleConfiguration);
    }
    counts.kept = u32::try_from(page.kept.len()).unwrap_or(u32::MAX);
    let stored = store.upsert_page(lease, revision, page, now).await?;
    counts.changed = u32::try_from(stored.changed).unwrap_or(u32::MAX);
    // Not counted, like changes before the window: too old to be listed.
    let pruned = u32::try_from(stored.pruned).unwrap_or(u32::MAX);
    counts.listed = counts.listed.saturating_sub(pruned);
    counts.kept = counts.kept.saturating_sub(pruned);
    Ok((counts, stored))
}

/// The earliest time that a pull request of a page may have been opened: not before the one with the next lower number.
pub(super) fn opened_before(page: &Page, number: i64) -> Option<DateTime<Utc>> {
    let before = page.pull_requests.iter().filter(|pull_request| pull_request.number < number);
    before.max_by_key(|pull_request| pull_request.number).map(|pull_request| pull_request.created_at)
}

impl RepositoryJob<'_> {
    /// Stores and counts what changed on a page since `since`.
    pub(super) async fn keep(
        &mut self,
        page: Page,
        since: DateTime<Utc>,
        event: Option<ProgressEvent>,
    ) -> Result<(), Interruption> {
        self.keep_with(page, Vec::new(), since, event).await
    }

    /// Like `keep`, with unreadable rows to put into quarantine.
    pub(super) async fn keep_with(
        &mut self,
        mut page: Page,
        mut unread: Vec<Undecodable>,
        since: DateTime<Utc>,
        event: Option<ProgressEvent>,
    ) -> Result<(), Interruption> {
        unread.extend(page.undecodable.iter().map(|item| Undecodable {
            known_by: KnownBy::Number(item.number),
            reason: item.reason.clone(),
            created_from: item.created_at.or_else(|| opened_before(&page, item.number)),
        }));
        for item in &unread {
            let (repository, key) = (self.repository.called(), item.known_by.key());
            tracing::warn!(
                repo.name = %repository, %key,
                "A pull request of {repository} cannot be read and is in quarantine, {key}: {}", item.reason
            );
        }
        page.pull_requests.retain(|pull_request| pull_request.updated_at >= since);
        let now = self.now();
        let rostered = self.rostered.clone();
        // Boxed: reading and storing a page is part of nearly everything here.
        let kept = Box::pin(keep_page(
            self.collecting.store,
            &self.lease,
            rostered.revision,
            &rostered.roster,
            page.pull_requests,
            unread,
            event,
            now,
        ));
        let (counts, stored) = timed(&mut self.result.database, kept).await?;
        if stored.released > 0 {
            self.repository.unreadable.clear();
        }
        self.set_progress(stored.progress);
        self.result.add_counts(&counts);
        Ok(())
    }
}
