//! The files of merged pull requests, where services share a repository by paths.

use mergeline_domain::delivery::ChangedFiles;
use mergeline_source::{FilesOfPullRequests, Session, SourceError};
use mergeline_store::WithoutFiles;

use super::details::{IN_A_QUERY, which};
use super::{Interruption, RepositoryJob, timed};

impl RepositoryJob<'_> {
    /// Reads the files of merged pull requests that were not compared with the paths in force yet, latest first. Does nothing
    /// where no service has paths.
    pub(super) async fn files(&mut self) -> Result<(), Interruption> {
        let (session, store) = (self.session, self.collecting.store);
        loop {
            let now = self.now();
            let wanted =
                timed(&mut self.result.database, store.without_files(self.repository.id, now, IN_A_QUERY)).await?;
            if wanted.is_empty() {
                return Ok(());
            }
            if !session.reads_details().await? {
                tracing::warn!(repo.name = %self.repository.called(), "Skipping the files of services: they need a token");
                return Ok(());
            }
            let ids: Vec<String> = wanted.iter().map(|one| one.node_id.clone()).collect();
            let files = session.changed_files(&ids).await?;
            self.keep_files(&wanted, files).await?;
            self.observe();
            self.may_continue()?;
        }
    }

    async fn keep_files(&mut self, wanted: &[WithoutFiles], files: FilesOfPullRequests) -> Result<(), Interruption> {
        let (store, now) = (self.collecting.store, self.now());
        let mut received: Vec<(String, ChangedFiles)> = Vec::with_capacity(files.len());
        let mut unavailable: Vec<(String, SourceError)> = Vec::new();
        for (id, files) in files {
            match files {
                Ok(files) => received.push((id, files)),
                Err(error) => unavailable.push((id, error)),
            }
        }
        timed(&mut self.result.database, store.store_files(&self.lease, &received, now)).await?;
        let Some((_, reason)) = unavailable.first() else { return Ok(()) };
        let is_missing = |one: &&WithoutFiles| unavailable.iter().any(|(id, _)| *id == one.node_id);
        let numbers: Vec<i64> = wanted.iter().filter(is_missing).map(|one| one.number).collect();
        let (repository, count) = (self.repository.called(), numbers.len());
        let which = which(&numbers);
        tracing::warn!(repo.name = %repository, count, "{repository}: no files of {which}: {reason}");
        let ids: Vec<String> = unavailable.into_iter().map(|(id, _)| id).collect();
        timed(&mut self.result.database, store.postpone_files(&self.lease, &ids, now)).await?;
        Ok(())
    }
}
