//! The backfill stream: by creation, the oldest first, which changes do not disturb; it goes on where it stopped.

use futures::StreamExt;
use mergeline_domain::RepoName;
use mergeline_github::{GitHubError, Page};
use mergeline_store::Backfill;

use super::{Stopped, Work, meanwhile, timed};

impl Work<'_> {
    /// Reads a repository's past as far as time allows, if that is under way.
    pub(super) async fn backfill(&mut self) -> Result<(), Stopped> {
        while let Some(backfill) = self.repository.backfill {
            match self.read_up(backfill).await {
                Ok(()) => {
                    let store = self.collecting.store;
                    let finished = store.finish_backfill(&self.lease, self.now());
                    timed(&mut self.result.database, finished).await?;
                    self.repository.backfill = None;
                }
                Err(Stopped::GitHub(error)) if error.is_too_much() => self.smaller_pages(error).await?,
                Err(stopped) => return Err(stopped),
            }
        }
        Ok(())
    }

    /// Reads page after page, several on their way at a time, and stores them in order.
    async fn read_up(&mut self, backfill: Backfill) -> Result<(), Stopped> {
        let (session, name, page_size) = (self.session, self.repository.called().clone(), self.repository.page_size);
        let ahead = self.collecting.github.concurrency();
        let mut next = backfill.next_page;
        let mut last = self.last_page.unwrap_or(next).max(next);
        let mut is_read = false;
        while !is_read {
            self.may_go_on()?;
            let name = &name;
            let pages = futures::stream::iter(next..=last)
                .map(|number| async move { session.by_creation(name, page_size, number).await })
                .buffered(ahead);
            let reading = meanwhile(pages, ahead, async |pages| {
                let mut arrived: Option<Page> = None;
                let mut outcome = Ok(());
                for page in pages {
                    match self.checked(page, name, page_size, next).await {
                        Ok(page) => {
                            is_read = !page.has_next;
                            last = last.max(page.last.unwrap_or(next));
                            next += 1;
                            match &mut arrived {
                                Some(earlier) => earlier.append(page),
                                None => arrived = Some(page),
                            }
                        }
                        Err(stopped) => outcome = Err(stopped),
                    }
                    if is_read || outcome.is_err() {
                        break;
                    }
                }
                // What came before the one that cannot be used is stored all the same.
                if let Some(page) = arrived {
                    self.keep(page, backfill.since, Some(next)).await?;
                    if let Some(progress) = &mut self.repository.backfill {
                        progress.next_page = next;
                    }
                    self.observe();
                }
                outcome?;
                if !is_read {
                    self.may_go_on()?;
                }
                Ok(!is_read)
            });
            // Pages on their way and the one that is being stored make a large future.
            Box::pin(reading).await?;
            last = last.max(next);
        }
        Ok(())
    }

    /// A page of the repository that is meant, and no empty one before the end.
    async fn checked(
        &mut self,
        page: Result<Page, GitHubError>,
        name: &RepoName,
        page_size: u8,
        number: u32,
    ) -> Result<Page, Stopped> {
        let page = page?;
        self.result.pages += 1;
        self.identify(&page).await?;
        if page.is_empty() {
            self.confirm_end(name, page_size, number).await?;
        }
        Ok(page)
    }

    /// An empty page is the end only where the first one agrees: an error is never an end.
    async fn confirm_end(&self, name: &RepoName, page_size: u8, number: u32) -> Result<(), Stopped> {
        let first = self.session.by_creation(name, page_size, 1).await?;
        if first.is_empty() {
            return Err(Stopped::lists_nothing());
        }
        let is_behind_the_last = if first.has_next { first.last.is_some_and(|last| last < number) } else { number > 1 };
        if is_behind_the_last {
            return Ok(());
        }
        let reason = format!("page {number} is empty, and there are further ones");
        Err(GitHubError::InvalidAnswer { reason }.into())
    }
}
