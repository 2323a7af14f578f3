//! What becomes of the pull requests of a page.

use chrono::{DateTime, Utc};
use mergeline_domain::{PullRequest, Roster, SkipReason, Verdict};
use mergeline_github::{Page, UndecodableItem};
use mergeline_store::{KeptPullRequest, Lease, PageOfWork, RepositoryResult, Revision, Store, StoreError, Undecodable};

use super::{Stopped, Work, timed};

/// Judges the pull requests of a page, stores those of configured people and counts the others by reason.
///
/// # Errors
/// When the database fails, or the roster is no longer in force, also because the page showed that two people are one.
#[expect(clippy::too_many_arguments, reason = "what a page is judged by, where it goes and what is counted")]
pub async fn keep_page(
    store: &Store,
    lease: &Lease,
    revision: Revision,
    roster: &Roster,
    pull_requests: Vec<PullRequest>,
    undecodable: Vec<UndecodableItem>,
    backfill_page: Option<u32>,
    now: DateTime<Utc>,
) -> Result<RepositoryResult, StoreError> {
    let mut counts = RepositoryResult::default();
    let mut page = PageOfWork { backfill_page, ..PageOfWork::default() };
    let mut is_roster_stale = false;
    for item in undecodable {
        counts.listed += 1;
        counts.quarantined += 1;
        // Without a number there is nothing that it could be asked for by.
        page.undecodable.extend(item.number.map(|number| Undecodable { number, reason: item.reason }));
    }
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
            Verdict::SamePerson { known, configured } => {
                if let Some(author) = &pull_request.author {
                    store.unite(known, configured, author.id, now).await?;
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
    Ok(counts)
}

impl Work<'_> {
    /// Stores what changed since `since` of a page, and counts it.
    pub(super) async fn keep(
        &mut self,
        page: Page,
        since: DateTime<Utc>,
        backfill_page: Option<u32>,
    ) -> Result<(), Stopped> {
        let Page { mut pull_requests, undecodable, .. } = page;
        pull_requests.retain(|pull_request| pull_request.updated_at >= since);
        for item in &undecodable {
            tracing::warn!(
                repo.name = %self.repository.called(),
                number = item.number,
                "A pull request of {} cannot be understood and is in quarantine: {}",
                self.repository.called(),
                item.reason
            );
        }
        let now = self.now();
        let rostered = self.rostered.clone();
        let kept = keep_page(
            self.collecting.store,
            &self.lease,
            rostered.revision,
            &rostered.roster,
            pull_requests,
            undecodable,
            backfill_page,
            now,
        );
        let counts = timed(&mut self.result.database, kept).await?;
        self.result.add_counts(&counts);
        Ok(())
    }
}
