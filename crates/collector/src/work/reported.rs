//! Deployments that are listed with their ends: runs of a workflow, releases and tags, and merges.

use std::collections::BTreeSet;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use mergeline_domain::delivery::Origin;
use mergeline_source::{ErrorKind, ListedRun, ReportedDeployment, RunPage, RunQuery, Session, SourceError};
use mergeline_store::{DeploymentList, DeploymentProblem, DeploymentProgress, DeploymentReading, Reported};

use super::deployments::{OVERLAP, WIDENED_BY};
use super::{Interruption, RepositoryJob, timed};

/// GitHub lets a run start again for this long, and wait for an approval.
const RUNS_CHANGE_WITHIN: TimeDelta = TimeDelta::days(30);
/// How far back runs are read each time: one that is started again keeps its place in the list. Later ones are found by a
/// comparison.
const RUNS_ARE_REPEATED_WITHIN: TimeDelta = TimeDelta::days(7);
/// No run is started again more often.
const MOST_ATTEMPTS: u32 = 100;

impl RepositoryJob<'_> {
    /// Reads the runs of a workflow.
    pub(super) async fn runs(
        &mut self,
        list: &DeploymentList,
        progress: &mut DeploymentProgress,
    ) -> Result<Option<DeploymentProblem>, Interruption> {
        let window = self.window_of_deployments();
        let is_widened = progress.covered_since.is_none_or(|covered| window + WIDENED_BY < covered);
        if is_widened || progress.reading.is_some() {
            self.first_runs(list, progress, window).await?;
        }
        self.newer_runs(list, progress).await?;
        Ok(None)
    }

    /// Reads the whole window, or continues with it.
    async fn first_runs(
        &mut self,
        list: &DeploymentList,
        progress: &mut DeploymentProgress,
        window: DateTime<Utc>,
    ) -> Result<(), Interruption> {
        let reading = progress.reading.clone().filter(|reading| reading.since < window + WIDENED_BY);
        let reading = reading.unwrap_or(DeploymentReading { since: window, started_at: self.now(), cursor: None });
        let query = query(list, reading.since);
        let (mut cursor, started_at) = (reading.cursor.clone(), reading.started_at);
        progress.reading = Some(reading);
        loop {
            let (session, name) = (self.session, self.repository.called().clone());
            let page = session.workflow_runs(&name, &query, cursor.as_ref(), None).await;
            let page = page.map_err(|error| of_workflow(error, &query))?.unwrap_or_default();
            cursor.clone_from(&page.next);
            // Not before the page is stored.
            let mut reached = progress.clone();
            if let Some(reading) = &mut reached.reading {
                reading.cursor.clone_from(&cursor);
            }
            if cursor.is_none() {
                reached.is_listed(query.since, started_at, None);
            }
            self.keep_runs(list, &query, page, &reached).await?;
            *progress = reached;
            if cursor.is_none() {
                return Ok(());
            }
            self.may_continue()?;
        }
    }

    /// Reads the runs that are new, have not ended, or may have been started again.
    async fn newer_runs(
        &mut self,
        list: &DeploymentList,
        progress: &mut DeploymentProgress,
    ) -> Result<(), Interruption> {
        let (store, id) = (self.collecting.store, self.repository.id);
        let started_at = self.now();
        let covered = progress.covered_since.unwrap_or(DateTime::UNIX_EPOCH);
        let listed_at = progress.listed_at.unwrap_or(covered);
        let mut since = (listed_at - OVERLAP).min(started_at - RUNS_ARE_REPEATED_WITHIN);
        if self.collecting.options.verifies {
            since = since.min(started_at - RUNS_CHANGE_WITHIN);
        }
        let unfinished = store.oldest_unfinished_run(id, started_at - RUNS_CHANGE_WITHIN);
        let unfinished = timed(&mut self.result.database, unfinished).await?;
        let since = unfinished.map_or(since, |oldest| since.min(oldest)).max(covered);
        // The address, and with it the ETag, stays the same for a day.
        let query = query(list, since.duration_trunc(TimeDelta::days(1)).unwrap_or(since));
        let mut cursor = None;
        loop {
            let (session, name) = (self.session, self.repository.called().clone());
            let known = progress.etag.clone().filter(|_| cursor.is_none());
            let page = session.workflow_runs(&name, &query, cursor.as_ref(), known.as_ref()).await;
            let Some(page) = page.map_err(|error| of_workflow(error, &query))? else { break };
            cursor.clone_from(&page.next);
            let reached = DeploymentProgress { etag: page.etag.clone(), ..progress.clone() };
            self.keep_runs(list, &query, page, &reached).await?;
            *progress = reached;
            if cursor.is_none() {
                break;
            }
            // Not for a turn: it starts from the front the next time.
            self.has_time()?;
        }
        progress.listed_at = Some(started_at);
        Ok(())
    }

    /// Stores a page of runs with the earlier attempts of those that were started again.
    async fn keep_runs(
        &mut self,
        list: &DeploymentList,
        query: &RunQuery,
        page: RunPage,
        progress: &DeploymentProgress,
    ) -> Result<(), Interruption> {
        self.result.pages += 1;
        for item in &page.undecodable {
            let name = self.repository.called();
            tracing::warn!(repo.name = %name, "A run of {name} cannot be read: {}", item.reason);
        }
        let earlier =
            page.runs.iter().flat_map(|run| (1..run.attempt.min(MOST_ATTEMPTS)).map(|attempt| (run.id, attempt)));
        let earlier: Vec<(i64, u32)> = earlier.collect();
        let mut deployments: Vec<ReportedDeployment> = page.runs.into_iter().map(|run| run.deployment).collect();
        if !earlier.is_empty() {
            let ids: Vec<String> =
                earlier.iter().map(|(run, attempt)| ListedRun::deployment_id(*run, *attempt)).collect();
            let ended = self.collecting.store.ended_deployments(self.repository.id, list.source, &ids);
            let ended = timed(&mut self.result.database, ended).await?;
            let (session, name) = (self.session, self.repository.called().clone());
            for ((run, attempt), id) in earlier.into_iter().zip(ids) {
                if !ended.contains(&id) {
                    let found = session.run_attempt(&name, query, run, attempt).await?;
                    deployments.extend(found.map(|run| run.deployment));
                    self.has_time()?;
                }
            }
        }
        self.store_reported(list, &deployments, None, progress).await
    }

    /// Reads releases, and tags that have none.
    pub(super) async fn releases(
        &mut self,
        list: &DeploymentList,
        progress: &mut DeploymentProgress,
    ) -> Result<Option<DeploymentProblem>, Interruption> {
        let (since, started_at) = (self.window_of_list(progress), self.now());
        let mut listed = self.session.releases(self.repository.called(), since, list.options.tags).await?;
        let released: BTreeSet<String> = listed
            .iter()
            .filter_map(|it| match &it.origin {
                Origin::Release { tag, .. } => Some(tag.clone()),
                _ => None,
            })
            .collect();
        listed.retain(|it| !matches!(&it.origin, Origin::Tag { tag } if released.contains(tag)));
        // An empty list may be that of a token that lost its permission.
        if listed.is_empty() && progress.listed_at.is_some() {
            let stored = self.collecting.store.has_releases(self.repository.id, list.options.tags);
            if timed(&mut self.result.database, stored).await? {
                return Err(Interruption::Source(SourceError::empty_list("releases")));
            }
        }
        is_read_whole(progress, since, started_at);
        self.result.pages += 1;
        self.store_reported(list, &listed, Some(since), progress).await?;
        Ok(None)
    }

    /// Takes merged pull requests as deployments.
    pub(super) async fn merges(
        &mut self,
        list: &DeploymentList,
        progress: &mut DeploymentProgress,
    ) -> Result<Option<DeploymentProblem>, Interruption> {
        let (since, started_at) = (self.window_of_list(progress), self.now());
        let branch = list.options.branch.as_deref().unwrap_or_default();
        let merges = self.collecting.store.merges(self.repository.id, branch, since);
        let merges = timed(&mut self.result.database, merges).await?;
        is_read_whole(progress, since, started_at);
        self.store_reported(list, &merges.deployments, None, progress).await?;
        Ok(merges.is_missing_some.then(|| DeploymentProblem {
            code: "details_pending".to_owned(),
            message: "the details of some pull requests are not read yet, without which their merges are not known"
                .to_owned(),
        }))
    }

    /// How far back a list is read that is always read whole: what is covered stays covered.
    fn window_of_list(&self, progress: &DeploymentProgress) -> DateTime<Utc> {
        let window = self.window_of_deployments();
        progress.covered_since.map_or(window, |covered| covered.min(window))
    }

    async fn store_reported(
        &mut self,
        list: &DeploymentList,
        deployments: &[ReportedDeployment],
        complete_since: Option<DateTime<Utc>>,
        progress: &DeploymentProgress,
    ) -> Result<(), Interruption> {
        let reported = Reported { list, deployments, complete_since };
        let stored = self.collecting.store.store_reported(&self.lease, reported, progress, self.now());
        let stored = timed(&mut self.result.database, Box::pin(stored)).await?;
        self.result.deployments += u32::try_from(stored).unwrap_or(u32::MAX);
        self.observe();
        Ok(())
    }
}

/// A list was read from an instant on, as it was at another one. What was known to be read with its commits stays so.
fn is_read_whole(progress: &mut DeploymentProgress, since: DateTime<Utc>, at: DateTime<Utc>) {
    let read_at = progress.read_at.filter(|_| progress.covered_since == Some(since));
    progress.is_listed(since, at, None);
    progress.read_at = read_at;
}

fn query(list: &DeploymentList, since: DateTime<Utc>) -> RunQuery {
    let (workflow, branch) = (list.options.workflow.clone().unwrap_or_default(), list.options.branch.clone());
    RunQuery { workflow, branch, since }
}

/// Names the workflow that is not found: GitHub does not say whether it hides it.
fn of_workflow(error: SourceError, query: &RunQuery) -> SourceError {
    match error.kind {
        ErrorKind::NotFound => {
            let message = format!("the workflow `{}` does not exist, or is hidden from the token", query.workflow);
            SourceError { message, ..error }
        }
        _ => error,
    }
}
