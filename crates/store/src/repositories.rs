//! The collection progress of each repository, and the leases on repositories.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use mergeline_domain::progress::CollectionProgress;
use mergeline_domain::{ExternalId, InstanceId, RepoName, RepoPattern};
use mergeline_source::Etag;
use serde_json::json;

use crate::attributions::{hold_together, lock_configuration};
use crate::delivery::{follow_names, lock_services};
use crate::events::EventKind;
use crate::progress_columns::progress_of;
use crate::revision::{parse_stored, stored_name};
use crate::session::Session;
use crate::{HeldLease, Holder, Reader, Reason, RepositoryId, Revision, StoreError, Writer};

/// A repository to collect, with its collection progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Its id.
    pub id: RepositoryId,
    /// The instance that it belongs to.
    pub instance: InstanceId,
    /// `owner/name` in the configuration.
    pub name: RepoName,
    /// The current `owner/name` on GitHub; `None` before the first response.
    pub current_name: Option<RepoName>,
    /// Its id at the instance; `None` before the first response.
    pub external_id: Option<ExternalId>,
    /// The pattern that matched it; `None` if it is configured by name.
    pub pattern: Option<RepoPattern>,
    /// How far its collection has come.
    pub progress: CollectionProgress,
    /// The ETag of the first page of the incremental stream.
    pub etag: Option<Etag>,
    /// Failures in a row.
    pub failures: u32,
    /// When it is retried after failures.
    pub retry_at: Option<DateTime<Utc>>,
    /// Pull requests that were merged or closed earlier are not stored; `None` if nothing was ever pruned.
    pub kept_since: Option<DateTime<Utc>>,
    /// The unreadable rows of the list by update, as of the last check.
    pub unreadable: Vec<UnreadableChange>,
}

/// When an unreadable row last changed, inferred from its neighbors in the list by update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnreadableChange {
    /// Not before: when the row behind it changed; `None` if there is none.
    pub from: Option<DateTime<Utc>>,
    /// Not after: when the row before it changed, or the list was read.
    pub until: DateTime<Utc>,
}

impl UnreadableChange {
    /// Whether both can be the same row, unchanged.
    pub fn may_be(&self, other: &Self) -> bool {
        let is_instant = |row: &Self| row.from == Some(row.until);
        // If the two ranges only touch, a row that changed at that instant lies between them.
        let is_before = |from: Option<DateTime<Utc>>, until: DateTime<Utc>| {
            from.is_none_or(|from| from < until || (from == until && (is_instant(self) || is_instant(other))))
        };
        is_before(self.from, other.until) && is_before(other.from, self.until)
    }
}

impl Repository {
    /// The name to use for GitHub and in messages.
    pub fn called(&self) -> &RepoName {
        self.current_name.as_ref().unwrap_or(&self.name)
    }
}

/// The exclusive right to work on a repository. Every write names its fence and is refused once another worker has
/// taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The repository.
    pub repository: RepositoryId,
    fence: i64,
    ttl: TimeDelta,
    /// Consecutive failures before it was taken.
    failures: i32,
}

/// Which repository GitHub's response is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The repository of this row, or one that has not been collected before.
    Same,
    /// A different repository. The leased row is archived; this is the row to use, the earlier one if there is one.
    Replaced(RepositoryId),
}

/// How the work on a repository ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseOutcome {
    /// Done.
    Succeeded,
    /// It failed. The repository is skipped for a while.
    Failed,
    /// It failed for a reason outside the repository, for example the token. The next run retries it.
    Refused,
    /// It continues later, for a reason outside the repository.
    Deferred,
}

/// The first pause after a failure. It doubles with each further failure.
const FIRST_PAUSE: TimeDelta = TimeDelta::hours(1);
/// The longest pause, so that a fixed repository is collected again within a day.
const LONGEST_PAUSE: TimeDelta = TimeDelta::hours(24);

/// Taken while patterns of a tenant are resolved. The number is arbitrary.
const PATTERNS_LOCK: i32 = 0x6d67_6c70;

impl Reader {
    /// The lease on a repository; `None` when it is free.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn held_lease(
        &self,
        repository: RepositoryId,
        now: DateTime<Utc>,
    ) -> Result<Option<HeldLease>, StoreError> {
        let held = self.with_deadline(async |connection| held_lease(connection, repository, now).await).await?;
        Ok(held.map(|(lease, _)| lease))
    }

    /// The current state of a repository; `None` when it is no longer configured.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn repository(&self, repository: RepositoryId) -> Result<Option<Repository>, StoreError> {
        self.with_deadline(async |connection| Ok(repositories(connection, Some(repository)).await?.pop())).await
    }
}

impl Writer {
    /// Takes the lease on a repository, until `ttl` after the last write. Returns `None` while another process holds
    /// it; a holder on this machine that has died loses it. Also returns the repository's current state.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lease(
        &self,
        repository: RepositoryId,
        now: DateTime<Utc>,
        ttl: Duration,
    ) -> Result<Option<(Lease, Repository)>, StoreError> {
        let ttl = TimeDelta::from_std(ttl).unwrap_or(TimeDelta::MAX);
        let token = fastrand::i64(..);
        self.in_transaction(async |connection| {
            let this = Holder::this();
            let mut dead: Option<i64> = None;
            let fence = loop {
                let fence = sqlx::query_scalar!(
                    "update repositories
                    set
                        fence = case when lease_token = $4 then fence else fence + 1 end,
                        leased_until = $3, leased_at = $2, lease_token = $4,
                        lease_host = $5, lease_process = $6, lease_instance = $7
                    where
                        id = $1 and removed_at is null
                        and (leased_until is null or leased_until <= $2 or lease_token = $4 or fence = $8)
                    returning fence",
                    repository.0,
                    now,
                    now + ttl,
                    token,
                    this.host,
                    i64::from(this.process),
                    this.instance,
                    dead
                )
                .fetch_optional(&mut *connection)
                .await?;
                match fence {
                    Some(fence) => break fence,
                    None if dead.is_some() => return Ok(None),
                    None => {}
                }
                match held_lease(connection, repository, now).await? {
                    Some((HeldLease { holder: Some(holder), .. }, fence)) if holder.is_dead() => dead = Some(fence),
                    _ => return Ok(None),
                }
            };
            let found = repositories(connection, Some(repository)).await?.pop();
            Ok(found.map(|row| {
                let failures = i32::try_from(row.failures).unwrap_or(i32::MAX);
                (Lease { repository, fence, ttl, failures }, row)
            }))
        })
        .await
    }

    /// Releases the lease and records the outcome, with its reason if it failed. The first failure and the first success
    /// after failures are events.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when another worker has taken over.
    pub async fn release(
        &self,
        lease: &Lease,
        ending: LeaseOutcome,
        reason: Option<&Reason>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        // Based on the count when the lease was taken, so that a repeated call counts once.
        let failures = match ending {
            LeaseOutcome::Succeeded => 0,
            LeaseOutcome::Failed | LeaseOutcome::Refused => lease.failures.saturating_add(1),
            LeaseOutcome::Deferred => lease.failures,
        };
        let pause = (ending == LeaseOutcome::Failed).then(|| pause_after(failures));
        self.in_transaction(async |connection| {
            let released = sqlx::query!(
                r#"update repositories as r
                set leased_until = null, leased_at = null, lease_token = null,
                    lease_host = null, lease_process = null, lease_instance = null,
                    served_at = $3, failures = $4, retry_at = case when $6 then r.retry_at else $5 end
                from (select id, failures, display_name from repositories where id = $1 for update) as b
                where r.id = b.id and r.fence = $2
                returning b.failures as before, b.display_name as "name!""#,
                lease.repository.0,
                lease.fence,
                now,
                failures,
                pause.map(|pause| now + pause),
                ending == LeaseOutcome::Deferred
            )
            .fetch_optional(&mut *connection)
            .await?
            .ok_or(StoreError::LostLease)?;
            // Of a repeated call, the first one has changed the count.
            let kind = match (released.before > 0, failures > 0) {
                (false, true) => EventKind::RepositoryFailing,
                (true, false) => EventKind::RepositoryRecovered,
                _ => return Ok(()),
            };
            let payload = reason.map_or_else(|| json!({}), |it| json!({ "code": it.code, "message": it.message }));
            self.record_event(connection, kind, &released.name, &payload, now).await
        })
        .await
    }

    /// Records which repository GitHub returns for `name`, the configured name or a later one. Collected data stays
    /// with its repository: if the repository has an archived row, because a file with its new name was applied first,
    /// that row continues under the configured name.
    ///
    /// # Errors
    /// [`StoreError::DuplicateRepository`] when another configured name means the same repository, and
    /// [`StoreError::StaleConfiguration`] when the row's name has changed.
    pub async fn identify(
        &self,
        lease: &Lease,
        name: &RepoName,
        external_id: &ExternalId,
        current_name: &RepoName,
        now: DateTime<Utc>,
    ) -> Result<Identity, StoreError> {
        self.in_transaction(async |connection| {
            // Already done, but the reply was lost.
            let replacement = sqlx::query_scalar!(
                "select n.id
                from repositories as o
                inner join repositories as n on o.instance_id = n.instance_id and o.name = n.name
                where o.id = $1 and o.removed_at = $3 and n.removed_at is null and n.external_id = $2",
                lease.repository.0,
                external_id.as_str(),
                now
            )
            .fetch_optional(&mut *connection)
            .await?;
            if let Some(replacement) = replacement {
                return Ok(Identity::Replaced(RepositoryId(replacement)));
            }
            hold_together(connection).await?;
            renew_lease(connection, lease, now).await?;
            let row = sqlx::query!("select name, external_id from repositories where id = $1", lease.repository.0)
                .fetch_one(&mut *connection)
                .await?;
            if row.name != name.as_str() {
                return Err(StoreError::StaleConfiguration);
            }
            let other = sqlx::query_scalar!(
                "select o.name from repositories as r
                inner join repositories as o on r.instance_id = o.instance_id and r.id <> o.id
                where r.id = $2 and o.external_id = $1 and o.removed_at is null",
                external_id.as_str(),
                lease.repository.0
            )
            .fetch_optional(&mut *connection)
            .await?;
            if let Some(other) = other {
                let current = current_name.to_string();
                return Err(StoreError::DuplicateRepository { name: row.name, other, current });
            }
            if row.external_id.as_deref() != Some(external_id.as_str()) {
                if let Some(archived) = take_place(connection, lease, external_id, current_name, now).await? {
                    return Ok(Identity::Replaced(archived));
                }
                if row.external_id.is_some() {
                    return Ok(Identity::Replaced(
                        give_place(connection, lease, external_id, current_name, now).await?,
                    ));
                }
            }
            let services = lock_services(connection, &[lease.repository]).await?;
            let renamed = sqlx::query!(
                "update repositories set external_id = $2, current_name = $3, data_version = data_version + 1
                where id = $1 and (external_id, current_name) is distinct from ($2, $3)",
                lease.repository.0,
                external_id.as_str(),
                current_name.as_str()
            )
            .execute(&mut *connection)
            .await?;
            if renamed.rows_affected() > 0 {
                follow_names(connection, services, &[lease.repository]).await?;
            }
            Ok(Identity::Same)
        })
        .await
    }

    /// Swaps configured names between two rows. The repository that now has this name on GitHub gets the name of the
    /// leased row, which has no data yet. The leased row gets the other name, which now belongs to another repository.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when another worker has taken over.
    pub async fn exchange_names(
        &self,
        lease: &Lease,
        other: &RepoName,
        external_id: &ExternalId,
        current_name: &RepoName,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.in_transaction(async |connection| {
            // Keeps teams files from changing names at the same time.
            hold_together(connection).await?;
            renew_lease(connection, lease, now).await?;
            let names = sqlx::query!(
                "select o.id, o.pattern, r.name as new_name, r.pattern as new_pattern
                from repositories as r
                inner join repositories as o on r.instance_id = o.instance_id
                where
                    r.id = $1 and r.external_id is null and r.removed_at is null
                    and o.external_id = $2 and o.name = $3 and o.removed_at is null",
                lease.repository.0,
                external_id.as_str(),
                other.as_str()
            )
            .fetch_optional(&mut *connection)
            .await?;
            // Already done, or another file was applied. The caller rereads the current state.
            let Some(names) = names else { return Ok(()) };
            let both = [lease.repository, RepositoryId(names.id)];
            // Before the services, as everybody does.
            sqlx::query!(
                "select id from repositories where id in ($1, $2) order by id for no key update",
                lease.repository.0,
                names.id
            )
            .fetch_all(&mut *connection)
            .await?;
            let services = lock_services(connection, &both).await?;
            // Frees the name before the other row takes it.
            sqlx::query!(
                "update repositories set name = 'renamed/' || gen_random_uuid()::text where id = $1",
                lease.repository.0
            )
            .execute(&mut *connection)
            .await?;
            sqlx::query!(
                "update repositories
                set name = $2, pattern = $3, current_name = $4, data_version = data_version + 1
                where id = $1",
                names.id,
                names.new_name,
                names.new_pattern,
                current_name.as_str()
            )
            .execute(&mut *connection)
            .await?;
            sqlx::query!(
                "update repositories set name = $2, pattern = $3 where id = $1",
                lease.repository.0,
                other.as_str(),
                names.pattern
            )
            .execute(&mut *connection)
            .await?;
            follow_names(connection, services, &both).await
        })
        .await
    }

    /// Records the unreadable rows of the list by update, after a backfill was read because of them.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when another worker has taken over.
    pub async fn note_unreadable(
        &self,
        lease: &Lease,
        unreadable: &[UnreadableChange],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.in_transaction(async |connection| {
            renew_lease(connection, lease, now).await?;
            store_unreadable(connection, lease.repository, unreadable).await
        })
        .await
    }

    /// Records that the repositories of a pattern could not be listed, and why.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_unlisted(&self, pattern: &RepoPattern, reason: &str) -> Result<(), StoreError> {
        let pattern = pattern.to_string();
        self.in_transaction(async |connection| note_listing(connection, &pattern, Some(reason)).await).await
    }

    /// Sets the repositories that are collected for a pattern. Returns how many are new. A repository that is also
    /// configured by name does not belong to the pattern. `incomplete` is the reason why the owner's list may not be
    /// complete; it is recorded, and repositories missing from the list stay.
    ///
    /// # Errors
    /// [`StoreError::StaleConfiguration`] when the pattern may no longer be configured.
    pub async fn resolve_pattern(
        &self,
        pattern: &RepoPattern,
        found: &BTreeSet<RepoName>,
        incomplete: Option<&str>,
        revision: Revision,
        now: DateTime<Utc>,
    ) -> Result<usize, StoreError> {
        let pattern = pattern.to_string();
        let found: Vec<&str> = found.iter().map(RepoName::as_str).collect();
        self.in_transaction(async |connection| {
            lock_configuration(connection, revision).await?;
            // Two runs that start at the same time resolve patterns one after the other.
            let tenant = connection.tenant().id();
            sqlx::query!("select pg_advisory_xact_lock($1, $2)", PATTERNS_LOCK, tenant).execute(&mut *connection).await?;
            note_listing(connection, &pattern, incomplete).await?;
            sqlx::query!(
                "update repositories as r set removed_at = $3
                where
                    r.pattern = $1 and r.removed_at is null
                    and (
                        (r.display_name <> all($2) and not $4)
                        -- What was not read yet, and has turned out to be the present name of another one.
                        or (
                            r.external_id is null
                            and exists (select from repositories as o where o.current_name = r.name and o.removed_at is null)
                        )
                    )",
                pattern,
                &found as &[&str],
                now,
                incomplete.is_some()
            )
            .execute(&mut *connection)
            .await?;
            // A repository that returns continues where it stopped.
            let restored = sqlx::query_scalar!(
                "update repositories set removed_at = null, pattern = $1
                where id in (
                    select max(r.id) from repositories as r
                    where r.display_name = any($2) and r.removed_at is not null
                    and not exists (
                        select 1 from repositories as o
                        where
                            o.removed_at is null and o.instance_id = r.instance_id
                            and (o.name = r.display_name or o.current_name = r.display_name or o.external_id = r.external_id)
                    )
                    group by r.display_name
                )
                returning id",
                pattern,
                &found as &[&str]
            )
            .fetch_all(&mut *connection)
            .await?;
            let added = sqlx::query!(
                "insert into repositories (name, pattern, added_at)
                select f.name, $1, $3 from unnest($2::text []) as f (name)
                where not exists (
                    select 1 from repositories as o
                    where o.removed_at is null and (o.name = f.name or o.current_name = f.name)
                )",
                pattern,
                &found as &[&str],
                now
            )
            .execute(&mut *connection)
            .await?;
            let new = restored.len() + usize::try_from(added.rows_affected()).unwrap_or_default();
            if !restored.is_empty() {
                let restored: Vec<RepositoryId> = restored.into_iter().map(RepositoryId).collect();
                follow_names(connection, Vec::new(), &restored).await?;
            }
            Ok(new)
        })
        .await
    }
}

/// Archives a row in favor of the repository's former row, if there is one: the most recently archived.
async fn take_place(
    connection: &mut Session,
    lease: &Lease,
    external_id: &ExternalId,
    current_name: &RepoName,
    now: DateTime<Utc>,
) -> Result<Option<RepositoryId>, StoreError> {
    let former = sqlx::query_scalar!(
        "select o.id from repositories as r
        inner join repositories as o on r.instance_id = o.instance_id
        where r.id = $2 and o.external_id = $1 and o.removed_at is not null
        order by o.removed_at desc, o.id desc
        limit 1",
        external_id.as_str(),
        lease.repository.0
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(former) = former.map(RepositoryId) else { return Ok(None) };
    let both = [lease.repository, former];
    let services = lock_services(connection, &both).await?;
    archive(connection, lease, now).await?;
    sqlx::query!(
        "update repositories as f
        set
            removed_at = null, name = r.name, pattern = r.pattern, current_name = $3, retry_at = null,
            data_version = f.data_version + 1
        from repositories as r
        where f.id = $1 and r.id = $2",
        former.0,
        lease.repository.0,
        current_name.as_str()
    )
    .execute(&mut *connection)
    .await?;
    follow_names(connection, services, &both).await?;
    Ok(Some(former))
}

/// Archives a row in favor of a new row for another repository with the same name.
async fn give_place(
    connection: &mut Session,
    lease: &Lease,
    external_id: &ExternalId,
    current_name: &RepoName,
    now: DateTime<Utc>,
) -> Result<RepositoryId, StoreError> {
    archive(connection, lease, now).await?;
    let replacement = sqlx::query_scalar!(
        "insert into repositories (instance_id, name, pattern, added_at, external_id, current_name)
        select instance_id, name, pattern, $2, $3, $4 from repositories where id = $1
        returning id",
        lease.repository.0,
        now,
        external_id.as_str(),
        current_name.as_str()
    )
    .fetch_one(connection)
    .await?;
    Ok(RepositoryId(replacement))
}

async fn archive(connection: &mut Session, lease: &Lease, now: DateTime<Utc>) -> Result<(), StoreError> {
    sqlx::query!("update repositories set removed_at = $2, leased_until = null where id = $1", lease.repository.0, now)
        .execute(connection)
        .await?;
    Ok(())
}

/// Records why the repositories of a pattern could not be listed, or deletes the record.
async fn note_listing(connection: &mut Session, pattern: &str, incomplete: Option<&str>) -> Result<(), StoreError> {
    match incomplete {
        Some(reason) => sqlx::query!(
            "insert into incomplete_patterns as p (pattern, reason) values ($1, $2)
            on conflict (tenant_id, pattern) do update set reason = excluded.reason where p.reason <> excluded.reason",
            pattern,
            reason
        ),
        None => sqlx::query!("delete from incomplete_patterns where pattern = $1", pattern),
    }
    .execute(connection)
    .await?;
    Ok(())
}

fn pause_after(failures: i32) -> TimeDelta {
    let doublings = u32::try_from(failures.saturating_sub(1)).unwrap_or_default().min(10);
    (FIRST_PAUSE * 2_i32.pow(doublings)).min(LONGEST_PAUSE)
}

/// Raises a repository's data version in the same transaction as the change, which invalidates earlier responses.
pub(crate) async fn bump_data_version(connection: &mut Session, lease: &Lease) -> Result<(), StoreError> {
    sqlx::query!("update repositories set data_version = data_version + 1 where id = $1", lease.repository.0)
        .execute(connection)
        .await?;
    Ok(())
}

/// State of a repository that is read when its lease is renewed.
pub(crate) struct Held {
    /// The repository's name.
    pub(crate) name: String,
    /// How far the collection has come.
    pub(crate) progress: CollectionProgress,
    /// How many of its pull requests are in quarantine.
    pub(crate) quarantined: i64,
    /// Pull requests that were merged or closed earlier are not stored.
    pub(crate) kept_since: Option<DateTime<Utc>>,
}

/// Replaces the recorded unreadable rows of the list by update.
pub(crate) async fn store_unreadable(
    connection: &mut Session,
    repository: RepositoryId,
    unreadable: &[UnreadableChange],
) -> Result<(), StoreError> {
    let (from, until): (Vec<_>, Vec<_>) = unreadable.iter().map(|row| (row.from, row.until)).unzip();
    sqlx::query!(
        "update repositories set unreadable_from = $2, unreadable_until = $3 where id = $1",
        repository.0,
        &from as &[Option<DateTime<Utc>>],
        &until
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Renews the lease and locks the repository's row for the rest of the transaction. Fails if another worker has taken
/// over.
pub(crate) async fn renew_lease(
    connection: &mut Session,
    lease: &Lease,
    now: DateTime<Utc>,
) -> Result<Held, StoreError> {
    // An expired lease is still valid until another worker takes it. The fence decides.
    let row = sqlx::query!(
        r#"update repositories set leased_until = greatest(leased_until, $3) where id = $1 and fence = $2
        returning
            display_name as "name!", quarantined, (select kept_since from retention) as kept_since,
            watermark, covered_since, reopened_since, listed_at, collected_at, verified_at, page_size, has_pull_requests,
            backfill_order, backfill_since, backfill_anchor, backfill_rows, backfill_cursor, backfill_length, backfill_newest,
            backfill_seen, backfill_readings, backfill_reading_at"#,
        lease.repository.0,
        lease.fence,
        now + lease.ttl
    )
    .fetch_optional(connection)
    .await?;
    let row = row.ok_or(StoreError::LostLease)?;
    Ok(Held {
        name: row.name.clone(),
        progress: progress_of!(row)?,
        quarantined: row.quarantined,
        kept_since: row.kept_since,
    })
}

/// The lease on a repository, with its fence.
async fn held_lease(
    connection: &mut Session,
    repository: RepositoryId,
    now: DateTime<Utc>,
) -> Result<Option<(HeldLease, i64)>, StoreError> {
    let row = sqlx::query!(
        r#"select fence, lease_host, lease_process, lease_instance, leased_at, leased_until as "until!"
        from repositories where id = $1 and removed_at is null and leased_until > $2"#,
        repository.0,
        now
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| {
        let process = row.lease_process.and_then(|process| u32::try_from(process).ok());
        let holder =
            row.lease_host.zip(process).map(|(host, process)| Holder { host, process, instance: row.lease_instance });
        (HeldLease { holder, since: row.leased_at, until: row.until }, row.fence)
    }))
}

/// The collected repositories, least recently served first, or only one of them.
pub(crate) async fn repositories(
    connection: &mut Session,
    only: Option<RepositoryId>,
) -> Result<Vec<Repository>, StoreError> {
    sqlx::query!(
        r#"select
            id, instance_id, name, current_name, external_id, pattern, etag, etag_scope, failures, retry_at,
            (select kept_since from retention) as kept_since,
            watermark, covered_since, reopened_since, listed_at, collected_at, verified_at, page_size, has_pull_requests,
            backfill_order, backfill_since, backfill_anchor, backfill_rows, backfill_cursor, backfill_length, backfill_newest,
            backfill_seen, backfill_readings, backfill_reading_at,
            unreadable_from as "unreadable_from!: Vec<Option<DateTime<Utc>>>", unreadable_until
        from repositories
        where removed_at is null and ($1::bigint is null or id = $1)
        order by served_at nulls first, id"#,
        only.map(|id| id.0)
    )
    .fetch_all(connection)
    .await?
    .into_iter()
    .map(|row| {
        Ok(Repository {
            id: RepositoryId(row.id),
            instance: InstanceId(row.instance_id),
            name: stored_name(&row.name)?,
            current_name: row.current_name.as_deref().map(stored_name).transpose()?,
            external_id: row.external_id.map(ExternalId::from),
            pattern: row.pattern.as_deref().map(parse_stored).transpose()?,
            progress: progress_of!(row)?,
            etag: row.etag.zip(row.etag_scope).map(|(value, scope)| Etag { value, scope }),
            failures: row.failures.unsigned_abs(),
            retry_at: row.retry_at,
            kept_since: row.kept_since,
            unreadable: row
                .unreadable_from
                .into_iter()
                .zip(row.unreadable_until)
                .map(|(from, until)| UnreadableChange { from, until })
                .collect(),
        })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_day() {
        assert_eq!([1, 2, 3, 5, 6, 1_000].map(|failures| pause_after(failures).num_hours()), [1, 2, 4, 16, 24, 24]);
    }
}
