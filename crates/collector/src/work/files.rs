//! The files of merged pull requests, where services share a repository by paths.

use mergeline_domain::delivery::ChangedFiles;
use mergeline_source::{ErrorKind, FilesOfPullRequests, Session, SourceError};
use mergeline_store::WithoutFiles;

use super::deployments::is_beside_pull_requests;
use super::details::{IN_A_QUERY, which};
use super::quarantine::AT_ONCE;
use super::{Interruption, RepositoryJob, timed};

/// How often GitHub may fail at the files of a pull request, over about a day.
const GIVEN_UP_AFTER: i16 = 5;

impl RepositoryJob<'_> {
    /// Compares the files of merged pull requests with the paths in force, latest first, and notes how many are left. Does
    /// nothing where no service has paths. Only a limit, the time budget, the token and the database stop the work.
    pub(super) async fn files(&mut self) -> Result<(), Interruption> {
        let store = self.collecting.store;
        if !timed(&mut self.result.database, store.has_paths(self.repository.id)).await? {
            return Ok(());
        }
        let outcome = if self.collecting.options.details { self.read_files().await } else { Ok(()) };
        let noted = store.note_without_files(&self.lease, self.now());
        timed(&mut self.result.database, noted).await?;
        match outcome {
            Err(Interruption::Source(error)) if is_beside_pull_requests(&error) => {
                let name = self.repository.called();
                tracing::warn!(repo.name = %name, "{name}: the files of pull requests cannot be read: {error}");
                Ok(())
            }
            outcome => outcome,
        }
    }

    async fn without_files(&mut self) -> Result<Vec<WithoutFiles>, Interruption> {
        let wanted = self.collecting.store.without_files(self.repository.id, self.now(), IN_A_QUERY);
        Ok(timed(&mut self.result.database, wanted).await?)
    }

    async fn read_files(&mut self) -> Result<(), Interruption> {
        let session = self.session;
        let mut wanted = self.without_files().await?;
        if wanted.is_empty() {
            return Ok(());
        }
        if !session.reads_details().await? {
            let name = self.repository.called();
            tracing::warn!(repo.name = %name, "Skipping the files of pull requests: they need a token");
            return Ok(());
        }
        while !wanted.is_empty() {
            let ids: Vec<String> = wanted.iter().map(|one| one.node_id.clone()).collect();
            let files = session.changed_files(&ids).await?;
            if !self.keep_files(&wanted, files).await? {
                return Ok(());
            }
            self.observe();
            self.may_continue()?;
            wanted = self.without_files().await?;
        }
        Ok(())
    }

    /// Stores what was read, and postpones the rest. Returns whether anything was read.
    async fn keep_files(&mut self, wanted: &[WithoutFiles], files: FilesOfPullRequests) -> Result<bool, Interruption> {
        let (store, now) = (self.collecting.store, self.now());
        let mut received: Vec<(String, ChangedFiles)> = Vec::with_capacity(files.len());
        let (mut given_up, mut unavailable) = (Vec::new(), Vec::<(&WithoutFiles, SourceError)>::new());
        for (id, files) in files {
            match (files, wanted.iter().find(|one| one.node_id == id)) {
                (Ok(files), _) => received.push((id, files)),
                // Too early is better than lost: it counts for all services.
                (Err(error), Some(one)) if error.kind == ErrorKind::TooLarge && one.failures >= GIVEN_UP_AFTER => {
                    tracing::warn!(repo.name = %self.repository.called(), "no files of #{}: {error}", one.number);
                    given_up.push((id, ChangedFiles::default()));
                }
                (Err(error), Some(one)) => unavailable.push((one, error)),
                (Err(_), None) => {}
            }
        }
        let is_any_read = !received.is_empty();
        received.extend(given_up);
        if !received.is_empty() {
            timed(&mut self.result.database, store.store_files(&self.lease, &received, now)).await?;
        }
        let missing =
            unavailable.iter().filter(|(_, error)| error.kind == ErrorKind::NotFound).map(|(one, _)| one.number);
        let missing: Vec<i64> = missing.take(AT_ONCE as usize).collect();
        let gone = self.confirmed_gone(&missing).await?;
        self.mark_deleted(&gone).await?;
        unavailable.retain(|(one, _)| !gone.contains(&one.number));
        if let Some((_, reason)) = unavailable.first() {
            let numbers: Vec<i64> = unavailable.iter().map(|(one, _)| one.number).collect();
            let (repository, count) = (self.repository.called(), numbers.len());
            let which = which(&numbers);
            tracing::warn!(repo.name = %repository, count, "{repository}: no files of {which}: {reason}");
            let ids: Vec<String> = unavailable.iter().map(|(one, _)| one.node_id.clone()).collect();
            timed(&mut self.result.database, store.postpone_files(&self.lease, &ids, now)).await?;
        }
        Ok(is_any_read)
    }
}
