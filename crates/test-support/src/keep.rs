//! Stores facts without a collection.

use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use mergeline_domain::Verdict;
use mergeline_domain::progress::ProgressEvent;
use mergeline_store::{KeptPullRequest, LeaseOutcome, PageOfWork, Writer};

use mergeline_fake_github::{FakePullRequest, at, pr};

/// Judges pull requests of the first configured repository and stores them, as a collection does. Returns how many
/// rows changed.
///
/// # Errors
/// When nothing is configured, or the database fails.
pub async fn keep(store: &Writer, pull_requests: &[FakePullRequest]) -> anyhow::Result<usize> {
    let snapshot = store.snapshot().await?.context("nothing is configured")?;
    let repository = snapshot.repositories.first().context("no repository is configured")?;
    let now = pull_requests.iter().map(|pull_request| pull_request.updated_at).max().unwrap_or_default();
    let (lease, _) =
        store.lease(repository.id, now, Duration::ZERO).await?.context("another process holds the lease")?;
    let mut page = PageOfWork::default();
    for pull_request in pull_requests.iter().map(FakePullRequest::facts) {
        if let Verdict::Keep { person, attributions } = snapshot.roster.judge(&pull_request) {
            let person = person.id;
            page.kept.push(KeptPullRequest { pull_request, person, attributions });
        }
    }
    let stored = store.upsert_page(&lease, snapshot.revision, page, now).await?;
    store.release(&lease, LeaseOutcome::Succeeded, None, now).await?;
    Ok(stored.changed)
}

/// Records a complete listing of the first configured repository, back to `covered_since`. The listing started at
/// `started_at` and saw `newest` as the last change.
///
/// # Errors
/// When nothing is configured, or the database fails.
pub async fn finish_reading(
    store: &Writer,
    newest: Option<DateTime<Utc>>,
    started_at: DateTime<Utc>,
    covered_since: DateTime<Utc>,
) -> anyhow::Result<()> {
    let snapshot = store.snapshot().await?.context("nothing is configured")?;
    let repository = snapshot.repositories.first().context("no repository is configured")?;
    let leased = store.lease(repository.id, started_at, Duration::ZERO).await?;
    let (lease, _) = leased.context("another process holds the lease")?;
    let listed = ProgressEvent::Listed {
        newest,
        down_to: covered_since,
        started_at,
        is_verified: true,
        has_pull_requests: true,
    };
    store.advance_listing(&lease, snapshot.revision, listed, None, started_at).await?;
    store.release(&lease, LeaseOutcome::Succeeded, None, started_at).await?;
    Ok(())
}

/// In each of the eight weeks before June 15, 2026: two pull requests of Ana that took an hour, and one of Bob, who counts half,
/// that took a day. Two are open, one of them since June 1.
pub fn eight_weeks() -> Vec<FakePullRequest> {
    let mut all = Vec::new();
    for week in 0..8 {
        for (who, hours) in [("ana", 1), ("ana", 1), ("bob", 24)] {
            let opened = at("2026-04-21T08:00:00Z") + TimeDelta::weeks(week);
            let number = i64::try_from(all.len()).unwrap_or_default() + 1;
            let merged = opened + TimeDelta::hours(hours);
            all.push(pr("acme/api", number).by(who).created(&opened.to_rfc3339()).merged(&merged.to_rfc3339()));
        }
    }
    all.push(pr("acme/api", 101).by("ana").created("2026-06-01T08:00:00Z"));
    all.push(pr("acme/api", 102).by("bob").created("2026-06-16T08:00:00Z"));
    all
}
