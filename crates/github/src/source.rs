//! GitHub as a source. What only GitHub has stays behind this door.

use chrono::{DateTime, Utc};
use mergeline_domain::delivery::Oid;
use mergeline_domain::progress::Cursor;
use mergeline_domain::{PullRequest, RepoName};
use mergeline_source::{
    Announced, Block, ChangeAt, Changes, CommitPage, Commits, DeploymentPageAnswer, DeploymentStates, Deployments,
    ErrorKind, Etag, FilesOfPullRequests, Histories, IncidentList, ListLength, ListedRun, OwnedRepositories, Page,
    PageAnswer, Position, Remaining, ReportedDeployment, RepositoryFacts, RepositoryKey, RunPage, RunQuery, Source,
    SourceError, Start, UndecodableDeployment, UndecodableItem, UnreadableRow, Usage, WaitBudget,
};

use crate::announced::announced;
use crate::listing::larger_page;
use crate::{CommitPages, DeploymentPages, GitHub, GitHubError, GitHubSession, PullRequestPages};

impl Source for GitHub {
    type Session = GitHubSession;

    fn session(&self, owner: Option<&str>, budget: WaitBudget, now: DateTime<Utc>) -> GitHubSession {
        Self::session(self, owner, budget, now)
    }

    fn concurrency(&self) -> usize {
        Self::concurrency(self)
    }

    fn know_blocks(&self, blocks: &[Block], now: DateTime<Utc>) {
        self.limits().know(blocks, now);
    }

    fn take_new_blocks(&self, now: DateTime<Utc>) -> Vec<Block> {
        self.limits().take_new_blocks(now)
    }

    async fn blocked(&self) {
        self.limits().blocked().await;
    }

    fn know_remaining(&self, remaining: &[Remaining], now: DateTime<Utc>) {
        self.limits().know_remaining(remaining, now);
    }

    fn remaining(&self, now: DateTime<Utc>) -> Vec<Remaining> {
        self.limits().remaining(now)
    }

    fn announced(&self, event: &str, body: &str) -> Result<Option<Announced>, UndecodableDeployment> {
        announced(event, body)
    }
}

impl mergeline_source::Session for GitHubSession {
    type Changes<'a> = PullRequestPages<'a>;
    type Deployments<'a> = DeploymentPages<'a>;
    type Commits<'a> = CommitPages<'a>;

    fn usage(&self) -> Usage {
        Self::usage(self)
    }

    async fn check_credentials(&self) -> Result<(), SourceError> {
        if self.has_token().await? {
            self.token_report().await?;
        }
        Ok(())
    }

    async fn reads_details(&self) -> Result<bool, SourceError> {
        Ok(self.has_token().await?)
    }

    fn changes<'a>(&'a self, repository: &RepoName, page_size: u8, start: Start) -> PullRequestPages<'a> {
        match start {
            Start::Beginning(etag) => self.by_update(repository, page_size, etag),
            Start::After(cursor) => self.by_update_after(repository, page_size, &cursor),
        }
    }

    async fn change_at(&self, repository: &RepoName, row: u32) -> Result<Option<ChangeAt>, SourceError> {
        Ok(self.row_by_update(repository, row).await?)
    }

    async fn by_creation(
        &self,
        repository: &RepoName,
        page_size: u8,
        from: Option<&Cursor>,
    ) -> Result<Page, SourceError> {
        let number = page_after(from, page_size);
        let mut page = self.page_by_creation(repository, page_size, number).await?;
        if page.is_empty() {
            self.confirm_end(repository, page_size, number).await?;
        }
        let rows = number.saturating_mul(page_size.into());
        page.end = Some(Position { rows, cursor: after(rows) });
        page.larger = larger_page(page_size).filter(|larger| rows.is_multiple_of((*larger).into()));
        Ok(page)
    }

    fn following(&self, from: Option<&Cursor>, page_size: u8) -> Option<Cursor> {
        Some(after(page_after(from, page_size).saturating_mul(page_size.into())))
    }

    async fn row(&self, repository: &RepoName, position: u32) -> Result<Page, SourceError> {
        match self.page_by_creation(repository, 1, position).await {
            Err(error @ GitHubError::PageUnreadable { .. }) => {
                let row = UnreadableRow { position, after: None, before: None, reason: error.to_string() };
                Ok(Page { unreadable: vec![row], ..Page::default() })
            }
            outcome => Ok(outcome?),
        }
    }

    async fn list_length(&self, repository: &RepoName) -> Result<ListLength, SourceError> {
        Ok(Self::list_length(self, repository).await?)
    }

    async fn pull_request(
        &self,
        repository: &RepoName,
        number: i64,
    ) -> Result<Result<PullRequest, UndecodableItem>, SourceError> {
        Ok(Self::pull_request(self, repository, number).await?)
    }

    async fn details(&self, ids: &[String]) -> Result<Histories, SourceError> {
        let histories = self.histories(ids).await?;
        Ok(histories.into_iter().map(|(id, history)| (id, history.map_err(SourceError::from))).collect())
    }

    async fn changed_files(&self, ids: &[String]) -> Result<FilesOfPullRequests, SourceError> {
        let files = Self::changed_files(self, ids).await?;
        Ok(files.into_iter().map(|(id, files)| (id, files.map_err(SourceError::from))).collect())
    }

    fn deployments<'a>(&'a self, repository: &RepoName, start: Start) -> DeploymentPages<'a> {
        match start {
            Start::Beginning(etag) => Self::deployments(self, repository, etag),
            Start::After(cursor) => self.deployments_after(repository, &cursor),
        }
    }

    async fn deployment_states(&self, ids: &[String]) -> Result<DeploymentStates, SourceError> {
        let states = Self::deployment_states(self, ids).await?;
        Ok(states.into_iter().map(|(id, states)| (id, states.map_err(SourceError::from))).collect())
    }

    fn commits<'a>(&'a self, repository: &RepoName, from: &Oid) -> CommitPages<'a> {
        Self::commits(self, repository, from, None)
    }

    async fn workflow_runs(
        &self,
        repository: &RepoName,
        query: &RunQuery,
        from: Option<&Cursor>,
        known: Option<&Etag>,
    ) -> Result<Option<RunPage>, SourceError> {
        Ok(Self::workflow_runs(self, repository, query, from, known).await?)
    }

    async fn run_attempt(
        &self,
        repository: &RepoName,
        query: &RunQuery,
        run: i64,
        attempt: u32,
    ) -> Result<Option<ListedRun>, SourceError> {
        Ok(Self::run_attempt(self, repository, query, run, attempt).await?)
    }

    async fn releases(
        &self,
        repository: &RepoName,
        since: DateTime<Utc>,
        with_tags: bool,
    ) -> Result<Vec<ReportedDeployment>, SourceError> {
        Ok(Self::releases(self, repository, since, with_tags).await?)
    }

    async fn incidents(
        &self,
        repository: &RepoName,
        label: &str,
        known: Option<&Etag>,
    ) -> Result<Option<IncidentList>, SourceError> {
        Ok(self.labeled_issues(repository, label, known).await?)
    }

    async fn reads_incidents(&self, repository: &RepoName) -> Result<bool, SourceError> {
        Ok(self.has_issues(repository).await?)
    }

    async fn repository(&self, key: RepositoryKey<'_>) -> Result<RepositoryFacts, SourceError> {
        Ok(Self::repository(self, key).await?)
    }

    async fn repositories_of(&self, owner: &str) -> Result<OwnedRepositories, SourceError> {
        Ok(Self::repositories_of(self, owner).await?)
    }
}

impl GitHubSession {
    /// An empty page is the end only if the first page agrees: an error is never an end.
    async fn confirm_end(&self, repository: &RepoName, page_size: u8, number: u32) -> Result<(), SourceError> {
        let first = self.page_by_creation(repository, page_size, 1).await?;
        if first.is_empty() {
            return Err(SourceError::lists_nothing());
        }
        let last = first.pages_left.map(|left| 1 + left);
        let is_behind_the_last = if first.has_next { last.is_some_and(|last| last < number) } else { number > 1 };
        if is_behind_the_last {
            return Ok(());
        }
        let reason = format!("page {number} is empty, but there are more pages");
        Err(GitHubError::InvalidAnswer { reason }.into())
    }
}

impl Changes for PullRequestPages<'_> {
    async fn next(&mut self) -> Result<Option<PageAnswer>, SourceError> {
        Ok(Self::next(self).await?)
    }

    fn page_size(&self) -> u8 {
        Self::page_size(self)
    }
}

impl Deployments for DeploymentPages<'_> {
    async fn next(&mut self) -> Result<Option<DeploymentPageAnswer>, SourceError> {
        Ok(Self::next(self).await?)
    }
}

impl Commits for CommitPages<'_> {
    async fn next(&mut self) -> Result<Option<CommitPage>, SourceError> {
        Ok(Self::next(self).await?)
    }
}

/// The cursor of a list by creation: how many of its rows were read. It stays valid when the page size changes.
fn after(rows: u32) -> Cursor {
    Cursor(rows.to_string())
}

/// The number of the page that continues there. A cursor that cannot be read starts the list again: nothing is lost.
fn page_after(cursor: Option<&Cursor>, page_size: u8) -> u32 {
    let rows: u32 = cursor.and_then(|cursor| cursor.0.parse().ok()).unwrap_or_default();
    (rows / u32::from(page_size.max(1))).saturating_add(1)
}

impl From<GitHubError> for SourceError {
    fn from(error: GitHubError) -> Self {
        if error == GitHubError::OutOfTime {
            return Self::out_of_time();
        }
        let kind = match &error {
            GitHubError::Unauthorized | GitHubError::AppRefused { .. } => ErrorKind::CredentialsRefused,
            GitHubError::Forbidden { .. } | GitHubError::InsufficientPermission => ErrorKind::Forbidden,
            GitHubError::NotFound | GitHubError::NodeNotFound { .. } => ErrorKind::NotFound,
            GitHubError::Gone { .. } => ErrorKind::Gone,
            GitHubError::RateLimited { .. } => ErrorKind::RateLimited,
            GitHubError::PageUnreadable { .. } => ErrorKind::PageUnreadable,
            GitHubError::InvalidAnswer { .. } => ErrorKind::InvalidAnswer,
            error if error.wants_smaller_page() => ErrorKind::TooLarge,
            _ => ErrorKind::Other,
        };
        let (code, recovery, advice, help) = (error.code(), error.recovery(), error.advice(), error.help());
        let message = match error {
            // The pause is in the recovery.
            GitHubError::RateLimited { limit, .. } => GitHubError::RateLimited { limit, retry_in: None }.to_string(),
            error => error.to_string(),
        };
        Self { kind, code, message, recovery, advice, help }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_by_creation_survives_another_page_size() {
        let cursor = after(200);
        assert_eq!([100, 50, 25].map(|size| page_after(Some(&cursor), size)), [3, 5, 9]);
        assert_eq!(page_after(None, 100), 1);
        assert_eq!(page_after(Some(&Cursor("of another version".to_owned())), 100), 1);
    }
}
