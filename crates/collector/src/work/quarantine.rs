//! Pull requests that are asked for singly: those in quarantine, and those that a list lacks.

use mergeline_github::{GitHubError, Page, UndecodableItem};
use mergeline_store::PageOfWork;

use super::{Stopped, Work, timed};

/// How many are tried again in a run.
const AT_ONCE: u32 = 20;

impl Work<'_> {
    /// Tries again what could not be understood before, each after a growing pause.
    pub(super) async fn retry_quarantined(&mut self) -> Result<(), Stopped> {
        let store = self.collecting.store;
        let now = self.now();
        let due = timed(&mut self.result.database, store.quarantined(self.repository.id, now, AT_ONCE)).await?;
        let gone = self.read_singly(&due).await?;
        if !gone.is_empty() {
            // What is not there any more has left the quarantine as well.
            let page = PageOfWork { understood: gone, ..PageOfWork::default() };
            let stored = store.upsert_page(&self.lease, self.rostered.revision, page, now);
            timed(&mut self.result.database, stored).await?;
        }
        Ok(())
    }

    /// Asks for pull requests by number and stores them. Returns those that are not there.
    pub(super) async fn read_singly(&mut self, numbers: &[i64]) -> Result<Vec<i64>, Stopped> {
        let name = self.repository.called().clone();
        let mut gone = Vec::new();
        for &number in numbers {
            self.may_go_on()?;
            let mut page = Page {
                pull_requests: Vec::new(),
                undecodable: Vec::new(),
                repository: None,
                etag: None,
                has_next: false,
                last: None,
            };
            match self.session.pull_request(&name, number).await {
                Ok(Ok(pull_request)) => page.pull_requests.push(pull_request),
                Ok(Err(UndecodableItem { reason, .. })) => {
                    page.undecodable.push(UndecodableItem { number: Some(number), reason });
                }
                Err(GitHubError::NotFound) => {
                    gone.push(number);
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            self.keep(page, chrono::DateTime::<chrono::Utc>::MIN_UTC, None).await?;
        }
        Ok(gone)
    }
}
