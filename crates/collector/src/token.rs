//! Whether the token is good for anything, before anything is changed for a run.

use std::time::Duration;

use chrono::{DateTime, Utc};
use mergeline_github::{GitHub, GitHubError, WaitBudget};
use mergeline_store::{Store, StoreError};

use crate::limits::within_known_limits;

/// How GitHub refuses the token, or the App, for this owner's things. Costs nothing of the hourly limit. Whatever else is wrong
/// passes, or concerns single repositories: the run says so.
///
/// # Errors
/// When the database fails, which knows how long GitHub wants to be left alone.
pub async fn token_refusal(
    github: &GitHub,
    store: &Store,
    owner: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Option<GitHubError>, StoreError> {
    let session = github.session(owner, WaitBudget { deadline: None, longest_wait: Duration::ZERO }, now);
    let asking = async {
        match session.has_token().await {
            Ok(true) => session.token_report().await.map(drop),
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        }
    };
    let outcome = within_known_limits(github, store, now, asking).await?;
    Ok(outcome.err().filter(GitHubError::is_token_refused))
}
