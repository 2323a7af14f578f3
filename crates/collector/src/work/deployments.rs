//! Deployments: their list, their states, and the commits that they contain.
//!
//! What cannot be read here does not hold up pull requests: the reason is stored, and the next run tries again.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt;
use mergeline_domain::delivery::{DeploymentSource, Oid};
use mergeline_source::{
    CommitPage, CommitRecord, Commits, DeploymentPage, DeploymentPageAnswer, Deployments, ErrorKind, Etag, Session,
    Source, SourceError, Start,
};
use mergeline_store::{
    AskedDeployment, DeploymentList, DeploymentProblem, DeploymentProgress, DeploymentReading, OpenCommit, RepositoryId,
};

use super::{Interruption, RepositoryJob, pipeline, timed};

/// What the token needs for deployments.
const PERMISSIONS: &str = "permission Deployments";
/// What it needs for commits, releases and tags.
pub(super) const CONTENTS: &str = "permission Contents";
/// How far before the newest known deployment to read again: the list may lag behind.
pub(super) const OVERLAP: TimeDelta = TimeDelta::hours(1);
/// The window of the first reading counts as widened when it starts this much before what is covered.
pub(super) const WIDENED_BY: TimeDelta = TimeDelta::days(1);
/// How many deployments' states are read together.
const IN_A_QUERY: usize = 100;
/// More than any repository has in the window.
const MOST_STATES: u32 = 100_000;
/// How many commits of a history are stored together, because what follows from them is derived with each batch.
const COMMITS_AT_ONCE: usize = 2_000;

impl RepositoryJob<'_> {
    /// Reads what changed of the repository's deployments. Only a limit, the time budget, the token and the database stop
    /// the work; any other failure is stored.
    pub(super) async fn deployments(&mut self) -> Result<(), Interruption> {
        let store = self.collecting.store;
        let id = self.repository.id;
        let started_at = self.now();
        let lists = timed(&mut self.result.database, store.deployment_lists(id)).await?;
        let has_token = self.session.reads_details().await?;
        let mut readings = Vec::with_capacity(lists.len());
        for list in &lists {
            let known = timed(&mut self.result.database, store.deployment_progress(id, list)).await?;
            let mut progress = known.clone();
            // Nobody lists what is posted, but its commits are read here.
            let problem = if list.source == DeploymentSource::Events {
                None
            } else if has_token {
                let read = Box::pin(self.list(list, &mut progress)).await;
                self.problem_of(read, permissions_for(list.source))?
            } else {
                Some(no_token())
            };
            readings.push((list, known, progress, problem));
        }
        let commits = if has_token {
            let read = self.commits().await.map(|()| None);
            self.problem_of(read, CONTENTS)?
        } else {
            let open = timed(&mut self.result.database, store.next_open_commit(id, started_at)).await?;
            open.map(|_| no_token())
        };
        for (list, known, mut progress, problem) in readings {
            progress.problem = problem.or_else(|| commits.clone());
            if progress.problem.is_none() {
                progress.read_at = Some(started_at);
            }
            if progress != known {
                let stored = store.store_deployment_progress(&self.lease, list, &progress, self.now());
                timed(&mut self.result.database, stored).await?;
            }
        }
        Ok(())
    }

    /// What kept something from being read. Only what also stops pull requests is an error.
    pub(super) fn problem_of(
        &self,
        outcome: Result<Option<DeploymentProblem>, Interruption>,
        permissions: &str,
    ) -> Result<Option<DeploymentProblem>, Interruption> {
        match outcome {
            Err(Interruption::Source(error)) if is_beside_pull_requests(&error) => {
                let name = self.repository.called();
                tracing::warn!(repo.name = %name, "{name}: deployments cannot be read: {error}");
                Ok(Some(problem(&error, permissions)))
            }
            outcome => outcome,
        }
    }

    /// Reads a list. What is returned kept a part of it from being read.
    async fn list(
        &mut self,
        list: &DeploymentList,
        progress: &mut DeploymentProgress,
    ) -> Result<Option<DeploymentProblem>, Interruption> {
        match list.source {
            DeploymentSource::GithubDeployments => self.github_deployments(list, progress).await,
            DeploymentSource::GithubActions => self.runs(list, progress).await,
            DeploymentSource::GithubReleases => self.releases(list, progress).await,
            DeploymentSource::Merges => self.merges(list, progress).await,
            DeploymentSource::Events => Ok(None),
        }
    }

    /// Reads GitHub's list of deployments, and their states.
    async fn github_deployments(
        &mut self,
        list: &DeploymentList,
        progress: &mut DeploymentProgress,
    ) -> Result<Option<DeploymentProblem>, Interruption> {
        let window = self.window_of_deployments();
        let is_widened = progress.covered_since.is_none_or(|covered| window + WIDENED_BY < covered);
        if is_widened || progress.reading.is_some() {
            self.first_list(list, progress, window).await?;
        } else if self.collecting.options.verifies {
            self.compare_deployments(progress, None).await?;
        } else {
            self.newer_deployments(progress).await?;
        }
        let Unread { not_found, mut problem } = self.states(self.started_at).await?;
        if let Some(oldest) = not_found {
            self.compare_deployments(progress, Some(oldest)).await?;
            let asked = self.collecting.store.deployments_without_states(self.repository.id, self.started_at, 1);
            if problem.is_none() && !timed(&mut self.result.database, asked).await?.is_empty() {
                let message =
                    "states of listed deployments are not found: the token needs the permission Deployments, read only";
                problem = Some(DeploymentProblem { code: "no_permission".to_owned(), message: message.to_owned() });
            }
        }
        Ok(problem)
    }

    /// How far back deployments are read: as far as pull requests.
    pub(super) fn window_of_deployments(&self) -> DateTime<Utc> {
        let wanted = self.now() - self.collecting.options.backfill;
        self.repository.kept_since.map_or(wanted, |since| since.max(wanted))
    }

    /// Reads the whole window, or continues with it.
    async fn first_list(
        &mut self,
        list: &DeploymentList,
        progress: &mut DeploymentProgress,
        window: DateTime<Utc>,
    ) -> Result<(), Interruption> {
        let reading = progress.reading.clone().filter(|reading| reading.since < window + WIDENED_BY);
        let reading = reading.unwrap_or(DeploymentReading { since: window, started_at: self.now(), cursor: None });
        let (since, listed_at, is_resumed) = (reading.since, reading.started_at, reading.cursor.is_some());
        let start = reading.cursor.clone().map_or(Start::Beginning(None), Start::After);
        progress.reading = Some(reading);
        let (session, name) = (self.session, self.repository.called().clone());
        let mut pages = session.deployments(&name, start);
        let mut etag = None;
        while let Some(answer) = pages.next().await? {
            let DeploymentPageAnswer::Page(page) = answer else { break };
            etag = page.etag.clone().or(etag);
            let is_last = !page.has_next || is_beyond(&page, since);
            if let Some(reading) = &mut progress.reading {
                reading.cursor.clone_from(&page.end);
            }
            if is_last {
                progress.is_listed(since, listed_at, etag.clone());
            }
            self.keep_deployments(&page, since, Some((list, progress))).await?;
            if is_last {
                break;
            }
            self.may_continue()?;
        }
        if progress.reading.is_some() {
            // An empty list.
            progress.is_listed(since, listed_at, etag);
        }
        if is_resumed {
            // What was created in the meantime is in front of the place at which it continued.
            progress.etag = None;
            self.newer_deployments(progress).await?;
        }
        Ok(())
    }

    /// Reads what was created since the list was last read to the end. The newest stored one does not tell that: a reading may
    /// have stopped behind it.
    async fn newer_deployments(&mut self, progress: &mut DeploymentProgress) -> Result<(), Interruption> {
        let store = self.collecting.store;
        let newest = timed(&mut self.result.database, store.newest_deployment(self.repository.id)).await?;
        let covered = progress.covered_since.unwrap_or(DateTime::UNIX_EPOCH);
        let known = newest.zip(progress.listed_at).map(|(newest, listed_at)| newest.min(listed_at));
        let down_to = known.map_or(covered, |known| (known - OVERLAP).max(covered));
        let started_at = self.now();
        let listed = self.list_deployments(progress.etag.clone(), down_to, covered).await?;
        if let Some(Listed { etag, ids }) = listed {
            if ids.is_empty() && newest.is_some() {
                return Err(Interruption::Source(SourceError::empty_list("deployments")));
            }
            progress.etag = etag;
        }
        progress.listed_at = Some(started_at);
        Ok(())
    }

    /// Reads the list again, down to an instant or as far as it is covered, and marks what it no longer has as deleted.
    async fn compare_deployments(
        &mut self,
        progress: &mut DeploymentProgress,
        down_to: Option<DateTime<Utc>>,
    ) -> Result<(), Interruption> {
        let store = self.collecting.store;
        let covered = progress.covered_since.unwrap_or(DateTime::UNIX_EPOCH);
        let down_to = down_to.map_or(covered, |down_to| down_to.max(covered));
        let started_at = self.now();
        let Some(listed) = self.list_deployments(None, down_to, covered).await? else { return Ok(()) };
        let stored = store.deployments_since(self.repository.id, down_to);
        let stored = timed(&mut self.result.database, stored).await?;
        // An empty list may be that of a token that lost its permission.
        if listed.ids.is_empty() && !stored.is_empty() {
            return Err(Interruption::Source(SourceError::empty_list("deployments")));
        }
        progress.etag = listed.etag;
        if down_to == covered {
            progress.listed_at = Some(started_at);
        }
        let gone: Vec<String> = stored.into_iter().filter(|id| !listed.ids.contains(id)).collect();
        if !gone.is_empty() {
            let marked = store.mark_deployments_deleted(&self.lease, &gone, self.now());
            timed(&mut self.result.database, marked).await?;
        }
        Ok(())
    }

    /// Reads and stores the list down to an instant; `None` if it has not changed.
    async fn list_deployments(
        &mut self,
        known: Option<Etag>,
        down_to: DateTime<Utc>,
        covered: DateTime<Utc>,
    ) -> Result<Option<Listed>, Interruption> {
        let (session, name) = (self.session, self.repository.called().clone());
        let mut pages = session.deployments(&name, Start::Beginning(known));
        let mut listed = Listed { etag: None, ids: HashSet::new() };
        while let Some(answer) = pages.next().await? {
            let DeploymentPageAnswer::Page(page) = answer else { return Ok(None) };
            listed.etag = page.etag.clone().or(listed.etag);
            listed.ids.extend(page.deployments.iter().map(|it| it.id.to_string()));
            listed.ids.extend(page.undecodable.iter().filter_map(|it| Some(it.id.as_ref()?.to_string())));
            self.keep_deployments(&page, covered, None).await?;
            if !page.has_next || is_beyond(&page, down_to) {
                break;
            }
            // Not for a turn: it starts from the front the next time.
            self.has_time()?;
        }
        Ok(Some(listed))
    }

    /// Stores what a page has since an instant.
    async fn keep_deployments(
        &mut self,
        page: &DeploymentPage,
        since: DateTime<Utc>,
        progress: Option<(&DeploymentList, &DeploymentProgress)>,
    ) -> Result<(), Interruption> {
        self.result.pages += 1;
        for item in &page.undecodable {
            let name = self.repository.called();
            tracing::warn!(repo.name = %name, "A deployment of {name} cannot be read: {}", item.reason);
        }
        let wanted: Vec<_> = page.deployments.iter().filter(|it| it.created_at >= since).cloned().collect();
        let stored = self.collecting.store.store_deployments(&self.lease, &wanted, progress, self.now());
        let stored = timed(&mut self.result.database, Box::pin(stored)).await?;
        self.result.deployments += u32::try_from(stored).unwrap_or(u32::MAX);
        Ok(())
    }

    /// Reads the states of deployments that may have new ones.
    async fn states(&mut self, asked_at: DateTime<Utc>) -> Result<Unread, Interruption> {
        let (session, store) = (self.session, self.collecting.store);
        let asked = store.deployments_without_states(self.repository.id, asked_at, MOST_STATES);
        let asked: Vec<AskedDeployment> = timed(&mut self.result.database, asked).await?;
        let ahead = self.source.concurrency();
        let mut unread = Unread::default();
        let queries = futures::stream::iter(asked.chunks(IN_A_QUERY))
            .map(|batch| async move {
                let ids: Vec<String> = batch.iter().map(|one| one.node_id.clone()).collect();
                (batch, session.deployment_states(&ids).await)
            })
            .buffered(ahead);
        let reading = pipeline(queries, ahead, async |answers| {
            for (batch, states) in answers {
                let mut received = Vec::with_capacity(batch.len());
                for (id, states) in states? {
                    match states {
                        Ok(states) => received.push((id, states)),
                        Err(error) => {
                            let one = batch.iter().find(|one| one.node_id == id);
                            if let (Some(one), ErrorKind::NotFound) = (one, error.kind) {
                                let before = unread.not_found;
                                unread.not_found = Some(before.map_or(one.created_at, |at| at.min(one.created_at)));
                            } else {
                                let name = self.repository.called();
                                tracing::warn!(repo.name = %name, "{name}: no states of a deployment: {error}");
                                unread.problem = Some(problem(&error, PERMISSIONS));
                            }
                        }
                    }
                }
                let stored = store.store_deployment_states(&self.lease, &received, asked_at, self.now());
                timed(&mut self.result.database, Box::pin(stored)).await?;
                self.observe();
            }
            self.may_continue()?;
            Ok(true)
        });
        Box::pin(reading).await?;
        Ok(unread)
    }

    /// Reads the commits that deployments to production contain, as far as they are not stored.
    pub(super) async fn commits(&mut self) -> Result<(), Interruption> {
        let store = self.collecting.store;
        loop {
            let next = store.next_open_commit(self.repository.id, self.now());
            let Some(open) = timed(&mut self.result.database, next).await? else { return Ok(()) };
            self.history(&open).await?;
            self.may_continue()?;
        }
    }

    /// Reads the history of a commit until nothing more of it is new.
    async fn history(&mut self, open: &OpenCommit) -> Result<(), Interruption> {
        let (session, name) = (self.session, self.repository.called().clone());
        let mut pages = session.commits(&name, &open.oid);
        let mut reading = HistoryReading::new(open);
        let mut is_found = false;
        while let Some(page) = pages.next().await? {
            self.result.pages += 1;
            is_found |= page.commits.iter().any(|commit| commit.oid == open.oid);
            let has_new = self.take_new(page, &mut reading).await?;
            if reading.new.len() >= COMMITS_AT_ONCE {
                self.store_history(&mut reading).await?;
            }
            if !has_new || reading.open.is_empty() {
                break;
            }
            self.has_time()?;
        }
        if !is_found {
            let noted = self.collecting.store.note_missing_commit(&self.lease, &open.oid, self.now());
            timed(&mut self.result.database, Box::pin(noted)).await?;
        }
        self.store_history(&mut reading).await
    }

    /// Takes what is new on a page. Returns whether there was anything.
    async fn take_new(&mut self, page: CommitPage, reading: &mut HistoryReading) -> Result<bool, Interruption> {
        let floor = *reading.floor.get_or_insert_with(|| {
            let first = page.commits.iter().find(|commit| commit.oid == reading.from);
            first.map_or(DateTime::UNIX_EPOCH, |first| first.committed_at)
        });
        let mentioned: HashSet<Oid> = page
            .commits
            .iter()
            .flat_map(|commit| commit.parents.iter().map(|(oid, _)| oid).chain([&commit.oid]))
            .filter(|oid| !reading.read.contains(*oid))
            .copied()
            .collect();
        let id: RepositoryId = self.repository.id;
        let mentioned: Vec<Oid> = mentioned.into_iter().collect();
        let stored = self.collecting.store.stored_commits(id, &mentioned);
        let stored = timed(&mut self.result.database, stored).await?;
        let mut has_new = false;
        for commit in page.commits {
            let is_wanted = commit.oid == reading.from || commit.committed_at >= floor;
            if is_wanted && !stored.contains(&commit.oid) && reading.read.insert(commit.oid) {
                has_new = true;
                reading.open.remove(&commit.oid);
                let parents = commit.parents.iter().filter(|(_, at)| *at >= floor).map(|(oid, _)| oid);
                let unread = parents.filter(|oid| !stored.contains(*oid) && !reading.read.contains(*oid));
                reading.open.extend(unread.copied());
                reading.new.push(commit);
            }
        }
        Ok(has_new)
    }

    async fn store_history(&mut self, reading: &mut HistoryReading) -> Result<(), Interruption> {
        let new = std::mem::take(&mut reading.new);
        if !new.is_empty() {
            let stored = self.collecting.store.store_commits(&self.lease, &new, self.now());
            let stored = timed(&mut self.result.database, Box::pin(stored)).await?;
            self.result.commits += u32::try_from(stored).unwrap_or(u32::MAX);
            self.observe();
        }
        Ok(())
    }
}

/// What could not be read of deployments.
#[derive(Default)]
struct Unread {
    /// When the oldest one was created that the source does not know any more.
    not_found: Option<DateTime<Utc>>,
    /// Why the states of another one could not be read.
    problem: Option<DeploymentProblem>,
}

/// What a listing of deployments showed.
struct Listed {
    etag: Option<Etag>,
    ids: HashSet<String>,
}

/// The reading of a history.
struct HistoryReading {
    from: Oid,
    floor: Option<DateTime<Utc>>,
    /// What was read, what of it is not stored yet, and which of its parents must still be read.
    read: HashSet<Oid>,
    new: Vec<CommitRecord>,
    open: HashSet<Oid>,
}

impl HistoryReading {
    fn new(OpenCommit { oid, floor }: &OpenCommit) -> Self {
        let (read, new, open) = (HashSet::new(), Vec::new(), HashSet::new());
        Self { from: *oid, floor: *floor, read, new, open }
    }
}

fn no_token() -> DeploymentProblem {
    let message = "states and commits of deployments need a token".to_owned();
    DeploymentProblem { code: "no_token".to_owned(), message }
}

/// What the token needs for a list.
fn permissions_for(source: DeploymentSource) -> &'static str {
    match source {
        DeploymentSource::GithubActions => "permission Actions",
        DeploymentSource::GithubReleases | DeploymentSource::Merges | DeploymentSource::Events => CONTENTS,
        DeploymentSource::GithubDeployments => PERMISSIONS,
    }
}

/// Whether a page of a list, newest first, reaches back beyond an instant.
fn is_beyond(page: &DeploymentPage, instant: DateTime<Utc>) -> bool {
    page.deployments.last().is_some_and(|last| last.created_at < instant)
}

/// Whether an error does not hold up pull requests: it is not about time, limits or credentials.
pub(super) fn is_beside_pull_requests(error: &SourceError) -> bool {
    !matches!(error.kind, ErrorKind::OutOfTime | ErrorKind::RateLimited | ErrorKind::CredentialsRefused)
}

/// Why something could not be read that needs these permissions. A missing one looks like something that does not exist.
pub(super) fn problem(error: &SourceError, permissions: &str) -> DeploymentProblem {
    let (code, advice) = match error.kind {
        ErrorKind::NotFound | ErrorKind::Gone | ErrorKind::Forbidden => {
            ("no_permission", format!(": the token needs the {permissions}, read only"))
        }
        _ => (error.code, String::new()),
    };
    DeploymentProblem { code: code.to_owned(), message: format!("{}{advice}", error.message) }
}
