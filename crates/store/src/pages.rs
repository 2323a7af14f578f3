//! Facts and what is derived from them, page by page.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use mergeline_domain::{Attribution, PersonId, PullRequest, State};

use crate::configuration::{WantedAttributions, hold_configuration};
use crate::{RepositoryId, Revision, Store, StoreError};

/// A pull request of a configured person, with the teams' shares.
#[derive(Debug, Clone)]
pub struct KeptPullRequest {
    /// The facts.
    pub pull_request: PullRequest,
    /// Who wrote it.
    pub person: PersonId,
    /// What counts for whom.
    pub attributions: Vec<Attribution>,
}

/// What is known once every page of a repository is stored.
#[derive(Debug, Clone, Copy)]
pub struct CompleteReading {
    /// The newest `updated_at` that was listed; `None` when nothing was.
    pub watermark: Option<DateTime<Utc>>,
    /// When the reading began.
    pub started_at: DateTime<Utc>,
    /// How far back it went: everything that changed since then is stored.
    pub covered_since: DateTime<Utc>,
}

impl Store {
    /// Stores a page of pull requests with their attributions: one transaction, so a crash leaves all of the page
    /// or nothing. The newer `updated_at` wins, whatever the order of arrival; attributions are replaced, not
    /// added to. Storing the same page again changes nothing. Returns how many rows are new or different.
    ///
    /// # Errors
    /// [`StoreError::StaleConfiguration`] when the attributions were made by a roster that is no longer in force.
    pub async fn upsert_page(
        &self,
        repository: RepositoryId,
        revision: Revision,
        page: Vec<KeptPullRequest>,
    ) -> Result<usize, StoreError> {
        let mut page = newest_by_number(page);
        let columns = Columns::of(&page);
        let mut transaction = self.pool.begin().await?;
        hold_configuration(&mut transaction, revision).await?;
        remember_accounts(&mut transaction, &page).await?;
        move_renamed(&mut transaction, repository, &columns.github_id).await?;
        let changed = sqlx::query_file!(
            "queries/upsert_pull_requests.sql",
            repository.0,
            &columns.number,
            &columns.github_id,
            &columns.author_id,
            &columns.title,
            &columns.state as &[&str],
            &columns.is_draft,
            &columns.base_ref as &[Option<String>],
            &columns.created_at,
            &columns.updated_at,
            &columns.closed_at as &[Option<DateTime<Utc>>],
            &columns.merged_at as &[Option<DateTime<Utc>>]
        )
        .fetch_all(&mut *transaction)
        .await?;
        let mut wanted = WantedAttributions::default();
        for row in &changed {
            if let Some(kept) = page.remove(&row.number) {
                wanted.replace(row.id, kept.attributions);
            }
        }
        wanted.write(&mut transaction).await?;
        transaction.commit().await?;
        Ok(changed.len())
    }

    /// Notes that a repository is complete. The watermark only moves forward, and only when every page before it is
    /// stored.
    ///
    /// # Errors
    /// [`StoreError::StaleConfiguration`] when somebody may have been added whose pull requests were not kept.
    pub async fn finish_repository(
        &self,
        repository: RepositoryId,
        revision: Revision,
        complete: CompleteReading,
    ) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        hold_configuration(&mut transaction, revision).await?;
        sqlx::query!(
            "update repositories
            set
                watermark = greatest(watermark, $2),
                collected_at = greatest(collected_at, $3),
                covered_since = least(covered_since, $4),
                is_reopened = false
            where id = $1",
            repository.0,
            complete.watermark,
            complete.started_at,
            complete.covered_since
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// One statement must not touch a row twice, and locks rows in the order of their numbers.
fn newest_by_number(page: Vec<KeptPullRequest>) -> BTreeMap<i64, KeptPullRequest> {
    let mut newest: BTreeMap<i64, KeptPullRequest> = BTreeMap::new();
    for kept in page {
        let number = kept.pull_request.number;
        let is_newer =
            newest.get(&number).is_none_or(|seen| seen.pull_request.updated_at <= kept.pull_request.updated_at);
        if is_newer {
            newest.insert(number, kept);
        }
    }
    newest
}

/// A page as the columns of one statement.
#[derive(Default)]
struct Columns {
    number: Vec<i64>,
    github_id: Vec<i64>,
    author_id: Vec<i64>,
    title: Vec<String>,
    state: Vec<&'static str>,
    is_draft: Vec<bool>,
    base_ref: Vec<Option<String>>,
    created_at: Vec<DateTime<Utc>>,
    updated_at: Vec<DateTime<Utc>>,
    closed_at: Vec<Option<DateTime<Utc>>>,
    merged_at: Vec<Option<DateTime<Utc>>>,
}

impl Columns {
    fn of(page: &BTreeMap<i64, KeptPullRequest>) -> Self {
        let mut columns = Self::default();
        for KeptPullRequest { pull_request, person, .. } in page.values() {
            columns.number.push(pull_request.number);
            columns.github_id.push(pull_request.id);
            columns.author_id.push(person.0);
            columns.title.push(pull_request.title.clone());
            columns.state.push(match pull_request.state {
                State::Open => "open",
                State::Closed { .. } => "closed",
                State::Merged { .. } => "merged",
            });
            columns.is_draft.push(pull_request.is_draft);
            columns.base_ref.push(pull_request.base_ref.clone());
            columns.created_at.push(pull_request.created_at);
            columns.updated_at.push(pull_request.updated_at);
            columns.closed_at.push(pull_request.closed_at());
            columns.merged_at.push(pull_request.merged_at());
        }
        columns
    }
}

/// Brings pull requests along that are stored under their repository's former name: GitHub's number tells that they
/// are the same, and none may count twice.
async fn move_renamed(
    connection: &mut sqlx::PgConnection,
    repository: RepositoryId,
    github_ids: &[i64],
) -> Result<(), StoreError> {
    let moved = sqlx::query_scalar!(
        "update pull_requests set repository_id = $1 where github_id = any($2) and repository_id <> $1 returning id",
        repository.0,
        github_ids
    )
    .fetch_all(&mut *connection)
    .await?;
    if !moved.is_empty() {
        sqlx::query!(
            "update pr_attributions set repository_id = $1 where pull_request_id = any($2)",
            repository.0,
            &moved
        )
        .execute(connection)
        .await?;
    }
    Ok(())
}

/// Learns the numbers of accounts that were configured by login alone, and the logins that accounts have now.
async fn remember_accounts(
    connection: &mut sqlx::PgConnection,
    page: &BTreeMap<i64, KeptPullRequest>,
) -> Result<(), StoreError> {
    let accounts: BTreeMap<i64, (i64, &str)> = page
        .values()
        .filter_map(|kept| {
            kept.pull_request.author.as_ref().map(|author| (kept.person.0, (author.id, author.login.as_str())))
        })
        .collect();
    let people: Vec<i64> = accounts.keys().copied().collect();
    let github_ids: Vec<i64> = accounts.values().map(|(id, _)| *id).collect();
    let logins: Vec<&str> = accounts.values().map(|(_, login)| *login).collect();
    // Locked in one order, so that two repositories at a time cannot wait for each other.
    sqlx::query!(
        "with seen as (
            select s.person_id, s.github_id, s.login
            from unnest($1::bigint [], $2::bigint [], $3::text []) as s (person_id, github_id, login)
        ),
        outdated as (
            select p.id, s.github_id, s.login
            from people as p
            inner join seen as s on p.id = s.person_id
            where p.github_id is null or (p.github_id = s.github_id and p.login <> s.login)
            order by p.id
            for update of p
        )
        update people as p
        set github_id = o.github_id, login = o.login
        from outdated as o
        where p.id = o.id",
        &people,
        &github_ids,
        &logins as &[&str]
    )
    .execute(connection)
    .await?;
    Ok(())
}
