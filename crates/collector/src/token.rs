//! Checks the token before a run changes anything.

use std::time::Duration;

use chrono::{DateTime, Utc};
use mergeline_github::{GitHub, GitHubError, WaitBudget};
use mergeline_store::{StoreError, Writer};

use crate::limits::within_known_limits;

/// Returns GitHub's refusal of the token, or of the App, for this owner. Does not use up the hourly limit. Other errors
/// are ignored here: they are transient or concern single repositories, and the run reports them.
///
/// # Errors
/// When the database fails, which stores how long GitHub's rate limits last.
pub async fn token_refusal(
    github: &GitHub,
    store: &Writer,
    owner: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Option<GitHubError>, StoreError> {
    let session = github.session(owner, WaitBudget { deadline: None, longest_wait: Duration::ZERO }, now);
    let check = async {
        match session.has_token().await {
            Ok(true) => session.token_report().await.map(drop),
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        }
    };
    let outcome = within_known_limits(github, store, now, check).await?;
    Ok(outcome.err().filter(GitHubError::is_token_refused))
}
