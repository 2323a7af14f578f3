//! Stores facts and the data derived from them, page by page.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use mergeline_domain::progress::{CollectionProgress, ProgressEvent};
use mergeline_domain::{Attribution, PersonId, PullRequest, State};

use crate::attributions::lock_configuration;
use crate::attributions::{WantedAttributions, hold_together};
use crate::delivery::{derive, forget_deliveries, lock_services, note_first_deliveries};
use crate::erasure::{delete_pull_requests, note_loss};
use crate::progress::{Beside, write_progress};
use crate::quarantine::{quarantine, release_from_quarantine};
use crate::repositories::{bump_data_version, renew_lease, store_unreadable};
use crate::session::Session;
use crate::{Lease, Place, Reader, RepositoryId, Revision, StoreError, Undecodable, Writer};

/// A pull request of a configured person, with its attributions.
#[derive(Debug, Clone)]
pub struct KeptPullRequest {
    /// The facts.
    pub pull_request: PullRequest,
    /// The author.
    pub person: PersonId,
    /// The teams' shares.
    pub attributions: Vec<Attribution>,
}

/// The content of a page, and the progress of the collection after it.
#[derive(Debug, Clone, Default)]
pub struct PageOfWork {
    /// The pull requests of configured people.
    pub kept: Vec<KeptPullRequest>,
    /// The numbers of all pull requests that could be understood, by any author. They leave the quarantine.
    pub understood: Vec<i64>,
    /// What could not be read or understood.
    pub undecodable: Vec<Undecodable>,
    /// Places in the list by creation that can be read. They leave the quarantine.
    pub readable: Vec<Place>,
    /// What it means for the progress of a backfill, if this is one of its pages.
    pub event: Option<ProgressEvent>,
}

/// The result of storing a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPage {
    /// Rows that are new or different.
    pub changed: usize,
    /// Pull requests that were put into quarantine, or stayed there.
    pub quarantined: usize,
    /// Pull requests that were merged or closed before the retention limit and therefore not stored.
    pub pruned: usize,
    /// Pull requests that left the quarantine. Their rows in the list by update are unknown, so earlier records of
    /// unreadable rows no longer explain any row.
    pub released: u64,
    /// How far the collection of the repository has come with it.
    pub progress: CollectionProgress,
}

impl Reader {
    /// The numbers of the stored pull requests whose stored `updated_at` is in `[from, to]`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn stored_between(
        &self,
        repository: RepositoryId,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<i64>, StoreError> {
        let query = sqlx::query_scalar!(
            "select number from pull_requests
            where repository_id = $1 and updated_at >= $2 and updated_at <= $3 and deleted_at is null
            order by number",
            repository.0,
            from,
            to
        );
        self.with_deadline(async |connection| Ok(query.fetch_all(connection).await?)).await
    }
}

impl Writer {
    /// Stores a page of pull requests with their attributions and the checkpoint in one transaction, so that a crash
    /// leaves all of the page or nothing. The newer `updated_at` wins in any order of arrival. Attributions are
    /// replaced, not added to. Storing the same page again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::StaleConfiguration`] when the attributions come from a roster that is no longer in force,
    /// [`StoreError::LostLease`] when another worker has taken over.
    pub async fn upsert_page(
        &self,
        lease: &Lease,
        revision: Revision,
        page: PageOfWork,
        now: DateTime<Utc>,
    ) -> Result<StoredPage, StoreError> {
        let PageOfWork { kept, understood, undecodable, readable, event } = page;
        let decided: Vec<DateTime<Utc>> = kept.iter().filter_map(|kept| decided_at(&kept.pull_request)).collect();
        let newest = newest_by_number(kept);
        let columns = Columns::of(&newest);
        let stored = self.in_transaction(async |connection| {
            lock_configuration(connection, revision).await?;
            let held = renew_lease(connection, lease, now).await?;
            let services = lock_services(connection, &[lease.repository]).await?;
            let released = match held.quarantined {
                0 => 0,
                _ => release_from_quarantine(connection, lease.repository, &understood, &readable).await?,
            };
            if released > 0 {
                store_unreadable(connection, lease.repository, &[]).await?;
            }
            quarantine(connection, lease.repository, &undecodable, now).await?;
            let is_pruned = |at: DateTime<Utc>| held.kept_since.is_some_and(|since| at < since);
            let pruned = decided.iter().filter(|at| is_pruned(**at)).count();
            let Written { changed, renamed } = if pruned == 0 {
                write_facts(connection, lease.repository, &newest, &columns).await?
            } else {
                let (pruned, kept): (BTreeMap<_, _>, BTreeMap<_, _>) = newest
                    .iter()
                    .map(|(number, kept)| (*number, kept.clone()))
                    .partition(|(_, kept)| decided_at(&kept.pull_request).is_some_and(is_pruned));
                // Their stored rows, from when they were open, are now too old.
                delete_numbers(connection, lease.repository, pruned.into_keys().collect()).await?;
                write_facts(connection, lease.repository, &kept, &Columns::of(&kept)).await?
            };
            if changed > 0 || pruned > 0 {
                derive(connection, &services).await?;
            }
            let before = held.progress.clone();
            let progress = match event.clone() {
                Some(event) => held.progress.after(event, held.kept_since),
                None => held.progress,
            };
            let bumps_data_version = changed > 0 || renamed;
            if bumps_data_version || progress != before {
                let beside = Beside { bumps_data_version, ..Beside::default() };
                write_progress(connection, lease, &progress, beside).await?;
            }
            Ok(StoredPage { changed, quarantined: undecodable.len(), pruned, released, progress })
        });
        let stored = stored.await?;
        self.learn_first_rows(stored.changed).await;
        Ok(stored)
    }

    /// Marks pull requests that no longer exist on GitHub. They do not count for any team, and return if GitHub lists
    /// them again.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when another worker has taken over.
    pub async fn mark_deleted(&self, lease: &Lease, numbers: &[i64], now: DateTime<Utc>) -> Result<(), StoreError> {
        self.in_transaction(async |connection| {
            // The same lock as for pages: an attribution must not be written back by a process that has not seen the
            // mark.
            hold_together(connection).await?;
            renew_lease(connection, lease, now).await?;
            let services = lock_services(connection, &[lease.repository]).await?;
            let gone = sqlx::query_scalar!(
                "update pull_requests set deleted_at = $3
                where repository_id = $1 and number = any($2) and deleted_at is null
                returning id",
                lease.repository.0,
                numbers,
                now
            )
            .fetch_all(&mut *connection)
            .await?;
            note_loss(connection, &gone).await?;
            sqlx::query!("delete from pr_attributions where pull_request_id = any($1)", &gone)
                .execute(&mut *connection)
                .await?;
            derive(connection, &services).await?;
            bump_data_version(connection, lease).await
        })
        .await
    }
}

/// When a pull request was merged or closed; `None` while it is open.
fn decided_at(pull_request: &PullRequest) -> Option<DateTime<Utc>> {
    match pull_request.state {
        State::Open => None,
        State::Closed { .. } | State::Merged { .. } => Some(pull_request.attribution_instant()),
    }
}

/// Deletes the stored pull requests with these numbers.
async fn delete_numbers(
    connection: &mut Session,
    repository: RepositoryId,
    numbers: Vec<i64>,
) -> Result<(), StoreError> {
    let stored = sqlx::query_scalar!(
        "select id from pull_requests where repository_id = $1 and number = any($2) order by id",
        repository.0,
        &numbers
    )
    .fetch_all(&mut *connection)
    .await?;
    delete_pull_requests(connection, &stored).await
}

/// What a page changed.
#[derive(Default)]
struct Written {
    /// New or changed pull requests.
    changed: usize,
    /// Whether any person's login or account id changed.
    renamed: bool,
}

/// Writes the facts and attributions of a page.
async fn write_facts(
    connection: &mut Session,
    repository: RepositoryId,
    page: &BTreeMap<i64, KeptPullRequest>,
    columns: &Columns,
) -> Result<Written, StoreError> {
    if page.is_empty() {
        return Ok(Written::default());
    }
    let renamed = remember_accounts(connection, repository, page).await?;
    move_renamed(connection, repository, &columns.external_id).await?;
    let changed = sqlx::query_file!(
        "queries/upsert_pull_requests.sql",
        repository.0,
        &columns.number,
        &columns.external_id,
        &columns.author_id,
        &columns.title,
        &columns.state as &[&str],
        &columns.is_draft,
        &columns.base_ref as &[Option<String>],
        &columns.created_at,
        &columns.updated_at,
        &columns.closed_at as &[Option<DateTime<Utc>>],
        &columns.merged_at as &[Option<DateTime<Utc>>],
        &columns.node_id as &[Option<String>]
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut wanted = WantedAttributions::default();
    for row in &changed {
        if let Some(kept) = page.get(&row.number) {
            wanted.replace(row.id, &kept.attributions);
        }
    }
    if !changed.is_empty() {
        wanted.write(connection).await?;
    }
    Ok(Written { changed: changed.len(), renamed })
}

/// Deduplicates and sorts a page: one statement must not touch a row twice, and locks rows in the order of their
/// numbers.
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

/// A page, as columns for one statement.
#[derive(Default)]
struct Columns {
    number: Vec<i64>,
    external_id: Vec<String>,
    author_id: Vec<i64>,
    title: Vec<String>,
    state: Vec<&'static str>,
    is_draft: Vec<bool>,
    base_ref: Vec<Option<String>>,
    created_at: Vec<DateTime<Utc>>,
    updated_at: Vec<DateTime<Utc>>,
    closed_at: Vec<Option<DateTime<Utc>>>,
    merged_at: Vec<Option<DateTime<Utc>>>,
    node_id: Vec<Option<String>>,
}

impl Columns {
    fn of(page: &BTreeMap<i64, KeptPullRequest>) -> Self {
        let mut columns = Self::default();
        for KeptPullRequest { pull_request, person, .. } in page.values() {
            columns.number.push(pull_request.number);
            columns.external_id.push(pull_request.id.to_string());
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
            columns.node_id.push(pull_request.node_id.clone());
        }
        columns
    }
}

/// Moves pull requests that are stored under their repository's former name. Their ids show that they are the same, and
/// none may count twice.
async fn move_renamed(
    connection: &mut Session,
    repository: RepositoryId,
    external_ids: &[String],
) -> Result<(), StoreError> {
    // Selected first, because an update that finds nothing costs more.
    let rows = sqlx::query!(
        "select p.id, p.repository_id from repositories as r
        inner join pull_requests as p on r.instance_id = p.instance_id
        where r.id = $1 and p.external_id = any($2) and p.repository_id <> $1",
        repository.0,
        external_ids
    )
    .fetch_all(&mut *connection)
    .await?;
    if !rows.is_empty() {
        let elsewhere: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let repositories: BTreeSet<i64> = rows.iter().map(|row| row.repository_id).collect();
        let repositories: Vec<RepositoryId> = repositories.into_iter().map(RepositoryId).collect();
        let services = lock_services(connection, &repositories).await?;
        forget_deliveries(connection, &elsewhere).await?;
        note_first_deliveries(connection, &elsewhere).await?;
        sqlx::query!("update pull_requests set repository_id = $1 where id = any($2)", repository.0, &elsewhere)
            .execute(&mut *connection)
            .await?;
        sqlx::query!(
            "update pr_attributions set repository_id = $1 where pull_request_id = any($2)",
            repository.0,
            &elsewhere
        )
        .execute(&mut *connection)
        .await?;
        derive(connection, &services).await?;
    }
    Ok(())
}

/// Stores the ids of accounts that were configured by login only, and the current logins of accounts. Returns whether
/// anything changed.
async fn remember_accounts(
    connection: &mut Session,
    repository: RepositoryId,
    page: &BTreeMap<i64, KeptPullRequest>,
) -> Result<bool, StoreError> {
    let accounts: BTreeMap<i64, (&str, &str)> = page
        .values()
        .filter_map(|kept| {
            kept.pull_request.author.as_ref().map(|author| (kept.person.0, (author.id.as_str(), author.login.as_str())))
        })
        .collect();
    let people: Vec<i64> = accounts.keys().copied().collect();
    let external_ids: Vec<&str> = accounts.values().map(|(id, _)| *id).collect();
    let logins: Vec<&str> = accounts.values().map(|(_, login)| *login).collect();
    // The roster may be older than what the work on another repository has stored: the account belongs to another
    // person, or the person has another account.
    let is_stale = sqlx::query_scalar!(
        r#"select exists (
            select from unnest($1::bigint [], $2::text []) as s (person_id, external_id)
            inner join repositories as r on r.id = $3
            inner join accounts as a
                on r.instance_id = a.instance_id
                and (
                    (a.person_id = s.person_id and a.external_id <> s.external_id)
                    or (a.external_id = s.external_id and a.person_id <> s.person_id)
                )
        ) as "is_stale!""#,
        &people,
        &external_ids as &[&str],
        repository.0
    )
    .fetch_one(&mut *connection)
    .await?;
    if is_stale {
        return Err(StoreError::StaleConfiguration);
    }
    // Locked in a fixed order, so that two repositories cannot deadlock.
    let outdated = sqlx::query!(
        "with seen as (
            select s.person_id, r.instance_id, s.external_id, s.login
            from unnest($1::bigint [], $2::text [], $3::text []) as s (person_id, external_id, login)
            inner join repositories as r on r.id = $4
        ),
        outdated as (
            select a.person_id, a.instance_id, s.external_id, s.login
            from accounts as a
            inner join seen as s on a.person_id = s.person_id and a.instance_id = s.instance_id
            where a.external_id is null or (a.external_id = s.external_id and a.login <> s.login)
            order by a.person_id
            for update of a
        )
        update accounts as a
        set external_id = o.external_id, login = o.login
        from outdated as o
        where a.person_id = o.person_id and a.instance_id = o.instance_id",
        &people,
        &external_ids as &[&str],
        &logins as &[&str],
        repository.0
    )
    .execute(connection)
    .await
    .map_err(|error| match error.as_database_error().and_then(sqlx::error::DatabaseError::constraint) {
        // Another worker is storing the same id for another person. On retry, it is known.
        Some("accounts_tenant_id_instance_id_external_id_key") => StoreError::Conflict(error.into()),
        _ => error.into(),
    })?;
    Ok(outdated.rows_affected() > 0)
}
