//! Incidents: issues with one of the configured labels.
//!
//! Like deployments, what cannot be read here does not hold up pull requests.

use mergeline_source::{IncidentList, ListedIncident, Session, SourceError};
use mergeline_store::IncidentProgress;

use super::deployments::{is_beside_pull_requests, problem};
use super::{Interruption, RepositoryJob, timed};

impl RepositoryJob<'_> {
    /// Reads the incidents of the repository, if the teams file names labels for them.
    pub(super) async fn incidents(&mut self) -> Result<(), Interruption> {
        let store = self.collecting.store;
        let labels = timed(&mut self.result.database, store.incident_labels()).await?;
        for label in labels {
            self.has_time()?;
            let known = store.incident_progress(self.repository.id, &label);
            let known = timed(&mut self.result.database, known).await?;
            let started_at = self.now();
            let stored = store.incidents_with(self.repository.id, &label);
            let stored = timed(&mut self.result.database, stored).await?;
            let outcome = self.list_of(&label, &known, &stored).await;
            let (list, problem) = match outcome {
                Ok(list) => (list, None),
                Err(error) if is_beside_pull_requests(&error) => {
                    let name = self.repository.called();
                    tracing::warn!(repo.name = %name, "{name}: incidents cannot be read: {error}");
                    (None, Some(problem(&error, "permission Issues")))
                }
                Err(error) => return Err(error.into()),
            };
            let (incidents, gone, etag) = match list {
                Some((list, gone)) => (list.incidents, gone, list.etag),
                None => (Vec::new(), Vec::new(), known.etag.clone()),
            };
            let read_at = if problem.is_none() { Some(started_at) } else { known.read_at };
            let progress = IncidentProgress { etag, read_at, problem };
            let stored = store.store_incidents(&self.lease, &label, &incidents, &gone, &progress, self.now());
            let changed = timed(&mut self.result.database, Box::pin(stored)).await?;
            self.result.incidents += u32::try_from(changed).unwrap_or(u32::MAX);
        }
        Ok(())
    }

    /// The list of a label, and the stored ones that are no longer on it; `None` if it is unchanged.
    async fn list_of(
        &mut self,
        label: &str,
        known: &IncidentProgress,
        stored: &[String],
    ) -> Result<Option<(IncidentList, Vec<String>)>, SourceError> {
        let name = self.repository.called().clone();
        let etag = known.etag.as_ref().filter(|_| !self.collecting.options.verifies);
        let Some(list) = self.session.incidents(&name, label, etag).await? else { return Ok(None) };
        self.result.pages += 1;
        let mut gone = missing(stored, &list.incidents);
        // An empty list may be that of a token that lost its permission.
        if !gone.is_empty() && list.incidents.is_empty() && !self.session.reads_incidents(&name).await? {
            return Err(SourceError::empty_list("incidents"));
        }
        if !gone.is_empty() {
            // What moved up while pages were read may have been skipped.
            match self.session.incidents(&name, label, None).await? {
                Some(again) => gone = missing(&gone, &again.incidents),
                None => gone.clear(),
            }
        }
        Ok(Some((list, gone)))
    }
}

/// Those of the stored ones that are not listed.
fn missing(stored: &[String], listed: &[ListedIncident]) -> Vec<String> {
    stored.iter().filter(|id| listed.iter().all(|it| it.id.as_str() != id.as_str())).cloned().collect()
}
