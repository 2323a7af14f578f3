//! Repositories that a webhook says have changed: read them now, within a share of the limits of their own. What a delivery carries
//! and will never change is taken as it is.
//!
//! Nothing depends on it: what is not read here, the next run finds.

use std::time::Duration;

use chrono::{DateTime, Utc};
use mergeline_source::{Announced, Remaining, Source};
use mergeline_store::{Repository, RepositoryId, RepositoryResult, ResultState, StoreError};
use mergeline_webhooks::{Carried, ChangeNotice};

use crate::context::RunContext;
use crate::limits::remember_remaining;
use crate::work::{Attempt, MayRead, Work};

/// A list may show a change only some seconds after its delivery: when to read it again, counted from the reading before.
const AGAIN_AFTER: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(10), Duration::from_secs(60)];
/// When to try again if another worker reads the repository.
const BUSY_FOR: Duration = Duration::from_secs(5);
/// What webhooks leave of the hourly limit to the runs, which find everything.
const LEFT_TO_RUNS_PERCENT: u64 = 50;

/// What remains to be done for a notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FollowUp {
    /// Nothing.
    Done,
    /// Read it again after this time, for this notice.
    Again(Duration, ChangeNotice),
}

/// What a delivery carries.
enum Carries {
    /// A fact.
    Something(Box<Announced>),
    /// Nothing that is a deployment.
    Nothing,
    /// Nothing, or what cannot be decoded: it is read.
    NotUnderstood,
}

impl RunContext<'_> {
    /// Takes what a delivery carries, or else reads its repository, unless a reading that started after the delivery has what it says.
    ///
    /// # Errors
    /// Only failures of the database, which every repository needs.
    pub async fn follow(&self, notice: ChangeNotice) -> Result<FollowUp, StoreError> {
        let Some(repository) = self.store.repository(notice.repository).await? else { return Ok(FollowUp::Done) };
        match self.announced(&repository, notice.carried.as_ref()) {
            Carries::Something(announced) => return self.take(&repository, notice, &announced).await,
            // Such as a run for a pull request.
            Carries::Nothing => return Ok(FollowUp::Done),
            Carries::NotUnderstood => {}
        }
        // Several deliveries at once lead to one reading. Without a time, only one that did not start too soon is believed.
        let heard_at = match notice.updated_at {
            Some(_) => notice.received_at,
            None => notice.received_at + AGAIN_AFTER[0],
        };
        let has_it = repository.progress.collected_at.is_some_and(|at| at > heard_at);
        if has_it && notice.tries == 0 && is_shown(&notice, repository.progress.watermark) {
            return Ok(FollowUp::Done);
        }
        let name = repository.called();
        if repository.progress.backfill.is_some() || repository.progress.covered_since.is_none() {
            tracing::info!(repo.name = %name, "{name} changed; its past is not read yet, which is left to the next run");
            return Ok(FollowUp::Done);
        }
        if self.leaves_the_rest(&repository).await? {
            tracing::info!(repo.name = %name, "{name} changed; the rest of the hourly limit is left to the next run");
            return Ok(FollowUp::Done);
        }
        let (id, result) = self.work_for(&repository, Work::Read).await?;
        let is_new = result.has_news();
        let is_done = match result.state {
            ResultState::Busy => return Ok(FollowUp::Again(BUSY_FOR, notice)),
            ResultState::Succeeded => {
                let read = self.store.repository(id).await?;
                let watermark = read.and_then(|read| read.progress.watermark);
                // Without a time, the first news are what it was about.
                is_shown(&notice, watermark) && (notice.updated_at.is_some() || is_new)
            }
            // The next run continues.
            ResultState::Failed | ResultState::Deferred => true,
        };
        let after = AGAIN_AFTER.get(usize::from(notice.tries)).filter(|_| !is_done);
        Ok(match after {
            Some(after) => FollowUp::Again(*after, ChangeNotice { tries: notice.tries + 1, ..notice }),
            None => FollowUp::Done,
        })
    }

    /// What a delivery carries. What cannot be decoded is read from the source instead.
    fn announced(&self, repository: &Repository, carried: Option<&Carried>) -> Carries {
        let source = self.source(repository.instance);
        let Some((Carried { event, body }, source)) = carried.zip(source) else { return Carries::NotUnderstood };
        match source.announced(event, body) {
            Ok(Some(announced)) => Carries::Something(Box::new(announced)),
            Ok(None) => Carries::Nothing,
            Err(error) => {
                let name = repository.called();
                tracing::warn!(repo.name = %name, "A delivery about {name} cannot be decoded, so it is read: {}", error.reason);
                Carries::NotUnderstood
            }
        }
    }

    async fn take(
        &self,
        repository: &Repository,
        notice: ChangeNotice,
        announced: &Announced,
    ) -> Result<FollowUp, StoreError> {
        if !self.options.deployments {
            return Ok(FollowUp::Done);
        }
        let may_read = if self.leaves_the_rest(repository).await? { MayRead::No } else { MayRead::Yes };
        let (_, result) = self.work_for(repository, Work::Take(announced, may_read)).await?;
        Ok(match result.state {
            ResultState::Busy => FollowUp::Again(BUSY_FOR, notice),
            ResultState::Succeeded | ResultState::Failed | ResultState::Deferred => FollowUp::Done,
        })
    }

    /// Works on a repository for a delivery. Returns the row that was worked on, which is another one if the repository was replaced.
    async fn work_for(
        &self,
        repository: &Repository,
        task: Work<'_>,
    ) -> Result<(RepositoryId, RepositoryResult), StoreError> {
        let name = repository.called().clone();
        let (id, _, report) = self.work_on(repository.id, name, Attempt::Retryable, task).await?;
        report.log();
        if let Some(source) = self.source(repository.instance) {
            remember_remaining(source, repository.instance, self.store, self.now()).await;
        }
        Ok((id, report.result))
    }

    /// Whether the rest of the hourly limit is left to the runs.
    async fn leaves_the_rest(&self, repository: &Repository) -> Result<bool, StoreError> {
        let remaining = self.store.rate_limit_remaining(repository.instance, self.now()).await?;
        Ok(remaining.iter().any(is_left_to_runs))
    }
}

/// Whether what was read up to a time has what a notice is about.
fn is_shown(notice: &ChangeNotice, watermark: Option<DateTime<Utc>>) -> bool {
    notice.updated_at.is_none_or(|updated_at| watermark.is_some_and(|watermark| watermark >= updated_at))
}

fn is_left_to_runs(remaining: &Remaining) -> bool {
    u64::from(remaining.remaining) * 100 < u64::from(remaining.limit) * LEFT_TO_RUNS_PERCENT
}
