//! Checks the credentials before a run changes anything.

use std::time::Duration;

use chrono::{DateTime, Utc};
use mergeline_domain::InstanceId;
use mergeline_source::{ErrorKind, Session, Source, WaitBudget};
use mergeline_store::{StoreError, Writer};

use crate::limits::within_known_limits;
use crate::report::CredentialsRefusal;
use crate::sources::Sources;

/// Returns the refusal of an instance's credentials for this owner. Does not use up the hourly limit. Other errors are
/// ignored here: they are transient or concern single repositories, and the run reports them.
///
/// # Errors
/// When the database fails, which stores how long rate limits last.
pub async fn credentials_refusal(
    sources: &Sources,
    instance: InstanceId,
    store: &Writer,
    owner: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Option<CredentialsRefusal>, StoreError> {
    let Some(source) = sources.get(instance) else { return Ok(None) };
    let session = source.session(owner, WaitBudget { deadline: None, longest_wait: Duration::ZERO }, now);
    let checked = within_known_limits(source, instance, store, now, session.check_credentials()).await?;
    let refused = checked.err().filter(|error| error.kind == ErrorKind::CredentialsRefused);
    Ok(refused.map(|error| CredentialsRefusal { instance, error }))
}
