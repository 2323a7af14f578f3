//! Facts without a collection.

use anyhow::Context;
use mergeline_domain::Verdict;
use mergeline_store::{KeptPullRequest, Store};

use crate::FakePullRequest;

/// Judges pull requests of the first configured repository and stores them as a collection does. Returns how many
/// rows changed.
///
/// # Errors
/// When nothing is configured, or the database fails.
pub async fn keep(store: &Store, pull_requests: &[FakePullRequest]) -> anyhow::Result<usize> {
    let snapshot = store.snapshot().await?.context("nothing is configured")?;
    let repository = snapshot.repositories.first().context("no repository is configured")?;
    let mut page = Vec::new();
    for pull_request in pull_requests.iter().map(FakePullRequest::facts) {
        if let Verdict::Keep { person, attributions } = snapshot.roster.judge(&pull_request) {
            let person = person.id;
            page.push(KeptPullRequest { pull_request, person, attributions });
        }
    }
    Ok(store.upsert_page(repository.id, snapshot.revision, page).await?)
}
