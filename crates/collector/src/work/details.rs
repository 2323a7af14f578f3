//! Details that a list does not include: commits, reviews, drafts, sizes. Read for pull requests that changed.

use chrono::{DateTime, Utc};
use futures::StreamExt;
use mergeline_domain::{Details, History};
use mergeline_source::{ErrorKind, RepositoryKey, Session, Source, SourceError};
use mergeline_store::WithoutDetails;

use super::quarantine::AT_ONCE;
use super::{Interruption, RepositoryJob, pipeline, timed};

/// How many pull requests are requested together.
pub(super) const IN_A_QUERY: u32 = 100;

impl RepositoryJob<'_> {
    /// Reads the details of stored pull requests that changed since theirs were read, most recently changed first, and then of
    /// those whose reviews are not known.
    pub(super) async fn details(&mut self) -> Result<(), Interruption> {
        let outcome = self.read_details().await;
        let counting = self.collecting.store.count_without_details(self.repository.id);
        let lacking = timed(&mut self.result.database, counting).await?;
        self.result.without_details = u32::try_from(lacking).unwrap_or(u32::MAX);
        outcome
    }

    async fn read_details(&mut self) -> Result<(), Interruption> {
        let (session, store) = (self.session, self.collecting.store);
        if !session.reads_details().await? {
            tracing::warn!(
                repo.name = %self.repository.called(),
                "Skipping reviews, commits and sizes: they need a token"
            );
            return Ok(());
        }
        let ahead = u32::try_from(self.source.concurrency()).unwrap_or(1);
        loop {
            let now = self.now();
            let wanted = store.without_details(self.repository.id, now, IN_A_QUERY * ahead);
            let mut wanted = timed(&mut self.result.database, wanted).await?;
            if wanted.is_empty() {
                // Of those whose details are known, the reviews may have to be read again.
                let unread = store.without_reviews(self.repository.id, now, IN_A_QUERY * ahead);
                wanted = timed(&mut self.result.database, unread).await?;
            }
            if wanted.is_empty() {
                return Ok(());
            }
            let mut is_failing = false;
            let queries = futures::stream::iter(wanted.chunks(IN_A_QUERY as usize))
                .map(|batch| async move {
                    let ids: Vec<String> = batch.iter().map(|one| one.node_id.clone()).collect();
                    (batch, session.details(&ids).await)
                })
                .buffered(ahead as usize);
            let reading = pipeline(queries, ahead as usize, async |answers| {
                for (batch, histories) in answers {
                    is_failing |= self.keep_details(batch, histories?, now).await?;
                    self.observe();
                }
                self.may_continue()?;
                Ok(true)
            });
            Box::pin(reading).await?;
            if is_failing {
                return Ok(());
            }
        }
    }

    /// Stores what was read, and postpones the rest. Returns whether the source failed at all of it.
    async fn keep_details(
        &mut self,
        batch: &[WithoutDetails],
        histories: Vec<(String, Result<History, SourceError>)>,
        now: DateTime<Utc>,
    ) -> Result<bool, Interruption> {
        let store = self.collecting.store;
        let mut received: Vec<(WithoutDetails, Details)> = Vec::with_capacity(batch.len());
        let mut unavailable: Vec<(&WithoutDetails, SourceError)> = Vec::new();
        for (id, history) in histories {
            let Some(one) = batch.iter().find(|one| one.node_id == id) else { continue };
            match history {
                Ok(history) => {
                    received.push((one.clone(), history.with_bots_of(&self.rostered.roster).into()));
                }
                Err(error) => unavailable.push((one, error)),
            }
        }
        timed(&mut self.result.database, store.store_details(&self.lease, self.rostered.revision, &received, now))
            .await?;
        self.result.enriched += u32::try_from(received.len()).unwrap_or(u32::MAX);
        let is_missing = |error: &SourceError| error.kind == ErrorKind::NotFound;
        let missing = unavailable.iter().filter(|(_, error)| is_missing(error)).map(|(one, _)| one.number);
        let missing: Vec<i64> = missing.take(AT_ONCE as usize).collect();
        let gone = self.confirmed_gone(&missing).await?;
        self.mark_deleted(&gone).await?;
        unavailable.retain(|(one, _)| !gone.contains(&one.number));
        if let Some((_, reason)) = unavailable.first() {
            let (repository, count) = (self.repository.called(), unavailable.len());
            let which = which(&unavailable.iter().map(|(one, _)| one.number).collect::<Vec<_>>());
            tracing::warn!(repo.name = %repository, count, "{repository}: no phases of {which}: {reason}");
            let ids: Vec<String> = unavailable.iter().map(|(one, _)| one.node_id.clone()).collect();
            timed(&mut self.result.database, store.postpone_details(&self.lease, &ids, now)).await?;
        }
        let is_failure = |(_, error): &(&WithoutDetails, SourceError)| error.kind == ErrorKind::TooLarge;
        Ok(received.is_empty() && unavailable.iter().any(is_failure))
    }

    /// Returns those of these numbers that do not exist; the others are stored. Checks that the repository exists and
    /// requests each number twice: a pull request must not be lost to one wrong answer.
    pub(super) async fn confirmed_gone(&mut self, numbers: &[i64]) -> Result<Vec<i64>, Interruption> {
        let gone = self.read_singly(numbers).await?;
        if gone.is_empty() {
            return Ok(gone);
        }
        let name = self.repository.called().clone();
        let facts = self.session.repository(RepositoryKey::Name(&name)).await?;
        if facts.has_pull_requests { self.read_singly(&gone).await } else { Ok(Vec::new()) }
    }
}

/// Some pull requests in a message.
pub(super) fn which(numbers: &[i64]) -> String {
    let first = numbers.iter().min().copied().unwrap_or_default();
    match numbers.len() {
        1 => format!("#{first}"),
        count => format!("{count} pull requests, the first #{first}"),
    }
}
