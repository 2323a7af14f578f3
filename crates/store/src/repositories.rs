//! Where the collection of each repository stands, and who works on it.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use mergeline_domain::{GithubId, RepoName, RepoPattern};
use serde::Serialize;

use crate::attributions::hold_together;
use crate::configuration::{lock_configuration, parse_stored};
use crate::session::Session;
use crate::{HeldLease, Holder, Revision, Store, StoreError};

/// A repository's number at Mergeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize)]
pub struct RepositoryId(pub i64);

/// A repository to collect, and where its collection stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Its number.
    pub id: RepositoryId,
    /// `owner/name` as the configuration has it.
    pub name: RepoName,
    /// `owner/name` as GitHub calls it now; `None` before the first answer.
    pub current_name: Option<RepoName>,
    /// GitHub's number; `None` before the first answer.
    pub github_id: Option<GithubId>,
    /// The pattern that means it; `None` where it is named.
    pub pattern: Option<RepoPattern>,
    /// The newest `updated_at` that is stored with everything before it; `None` before the first complete backfill.
    pub watermark: Option<DateTime<Utc>>,
    /// Everything that changed since then is stored; `None` before the first complete backfill.
    pub covered_since: Option<DateTime<Utc>>,
    /// Changes since then are to be read again, for somebody whose pull requests were not kept so far.
    pub reopened_since: Option<DateTime<Utc>>,
    /// The backfill that is under way.
    pub backfill: Option<Backfill>,
    /// The ETag of the first page of the incremental stream.
    pub etag: Option<StoredEtag>,
    /// How many pull requests are asked for on a page.
    pub page_size: u8,
    /// When the last complete collection began.
    pub collected_at: Option<DateTime<Utc>>,
    /// When the last weeks were last listed again.
    pub verified_at: Option<DateTime<Utc>>,
    /// Failures in a row.
    pub failures: u32,
    /// When it is tried again after failures.
    pub retry_at: Option<DateTime<Utc>>,
    /// Pull requests that were merged or closed before are not stored; `None` while none were pruned.
    pub kept_since: Option<DateTime<Utc>>,
    /// The rows that the list by update could not show when they were last looked into.
    pub unreadable: Vec<UnreadableChange>,
}

/// When a row that cannot be read changed last, as its neighbors in the list by update tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnreadableChange {
    /// Then or later: when the row behind it changed; `None` where there is none.
    pub from: Option<DateTime<Utc>>,
    /// Then or earlier: when the row before it changed, or the list was read.
    pub until: DateTime<Utc>,
}

impl UnreadableChange {
    /// Whether both may be the same row, unchanged.
    pub fn may_be(&self, other: &Self) -> bool {
        let is_instant = |row: &Self| row.from == Some(row.until);
        // Where only an end of one touches the other, a row changed at that instant lies between them.
        let is_before = |from: Option<DateTime<Utc>>, until: DateTime<Utc>| {
            from.is_none_or(|from| from < until || (from == until && (is_instant(self) || is_instant(other))))
        };
        is_before(self.from, other.until) && is_before(other.from, self.until)
    }
}

impl Repository {
    /// What to call it towards GitHub and people.
    pub fn called(&self) -> &RepoName {
        self.current_name.as_ref().unwrap_or(&self.name)
    }

    /// From where the incremental stream goes on; `None` when it has not begun. What lies before the anchor of a backfill
    /// is read by that.
    pub fn position(&self) -> Option<DateTime<Utc>> {
        self.backfill.and_then(|backfill| backfill.anchor).or(self.watermark)
    }
}

/// A backfill that is under way: it reads by creation, the oldest first, or by update, the newest change first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backfill {
    /// The next page.
    pub next_page: u32,
    /// Pull requests that changed since then are kept.
    pub since: DateTime<Utc>,
    /// The newest change when it began: the incremental stream goes on from there.
    pub anchor: Option<DateTime<Utc>>,
    /// How many pull requests there were when it began; `None` when GitHub did not say.
    pub length: Option<u32>,
    /// When the newest of them was opened.
    pub newest: Option<DateTime<Utc>>,
    /// How many of them it has seen.
    pub seen: u32,
    /// How often it was begun.
    pub readings: u32,
    /// How far it is where it reads by update; `None` where it reads by creation.
    pub read_back: Option<ReadBack>,
}

/// How far a backfill by update is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadBack {
    /// How many rows were read, from the beginning of the list.
    pub rows: u32,
    /// When the last of them changed.
    pub oldest: Option<DateTime<Utc>>,
    /// Its number.
    pub last: Option<i64>,
}

/// An ETag with a digest of the token and the address that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEtag {
    /// As GitHub sent it, quotes included.
    pub etag: String,
    /// The digest.
    pub scope: String,
}

/// The right to work on a repository. Every write names its fence; once somebody else has taken over, it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The repository.
    pub repository: RepositoryId,
    fence: i64,
    ttl: TimeDelta,
    /// Failures in a row before it.
    failures: i32,
}

/// What GitHub's answer says about which repository this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The one that was collected so far, or it has not been collected before.
    Same,
    /// Another one than that of this row, which is archived: this is its row, an earlier one where it has one.
    Replaced(RepositoryId),
}

/// What is known once the incremental stream was read down to where it had been read before.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The newest `updated_at` that was listed; `None` when nothing was.
    pub newest: Option<DateTime<Utc>>,
    /// How far back it was read.
    pub down_to: DateTime<Utc>,
    /// When the reading began.
    pub started_at: DateTime<Utc>,
    /// The first page's ETag.
    pub etag: Option<StoredEtag>,
    /// Whether it was read further to find differences.
    pub is_verified: bool,
    /// False where pull requests are switched off in the repository's settings: there is nothing to list.
    pub has_pull_requests: bool,
}

/// How the work on a repository ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseOutcome {
    /// Done.
    Succeeded,
    /// It failed; it is left alone for a while.
    Failed,
    /// It failed through no fault of its own, the token's for example; it is tried again with the next run.
    Refused,
    /// It goes on later, through no fault of the repository.
    Deferred,
}

/// The first pause after a failure; doubled with each further one.
const FIRST_PAUSE: TimeDelta = TimeDelta::hours(1);
/// The longest pause: a repository that is mended is back within a day.
const LONGEST_PAUSE: TimeDelta = TimeDelta::hours(24);

/// Taken while patterns are resolved. The number is arbitrary.
const PATTERNS_LOCK: i64 = 0x6d65_7267_656d;

impl Store {
    /// Takes the right to work on a repository until `ttl` after the last write, `None` while somebody else has it: one who
    /// has died on this machine has it no more. Returns the repository as it stands then.
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

    /// Who works on a repository, `None` when nobody does.
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

    /// A repository as it stands now, `None` when it is not configured any more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn repository(&self, repository: RepositoryId) -> Result<Option<Repository>, StoreError> {
        self.with_deadline(async |connection| Ok(repositories(connection, Some(repository)).await?.pop())).await
    }

    /// Gives the right back and notes how it went.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when somebody else has taken over.
    pub async fn release(&self, lease: &Lease, ending: LeaseOutcome, now: DateTime<Utc>) -> Result<(), StoreError> {
        // From what was when it was taken: said twice, it counts once.
        let failures = match ending {
            LeaseOutcome::Succeeded => 0,
            LeaseOutcome::Failed | LeaseOutcome::Refused => lease.failures.saturating_add(1),
            LeaseOutcome::Deferred => lease.failures,
        };
        let pause = (ending == LeaseOutcome::Failed).then(|| pause_after(failures));
        self.in_transaction(async |connection| {
            let released = sqlx::query!(
                "update repositories
                set leased_until = null, leased_at = null, lease_token = null,
                    lease_host = null, lease_process = null, lease_instance = null,
                    served_at = $3, failures = $4, retry_at = case when $6 then retry_at else $5 end
                where id = $1 and fence = $2",
                lease.repository.0,
                lease.fence,
                now,
                failures,
                pause.map(|pause| now + pause),
                ending == LeaseOutcome::Deferred
            )
            .execute(connection)
            .await?;
            if released.rows_affected() == 0 { Err(StoreError::LostLease) } else { Ok(()) }
        })
        .await
    }

    /// Learns which repository it is that GitHub answers for when it is asked for `name`, the configured one or a later one.
    /// What was collected of it stays its own: where it has a row that was archived, because a file with its new name came
    /// first, that row goes on under the configured name.
    ///
    /// # Errors
    /// [`StoreError::DuplicateRepository`] when another configured name means the same one, and
    /// [`StoreError::StaleConfiguration`] when the row has another name by now.
    pub async fn identify(
        &self,
        lease: &Lease,
        name: &RepoName,
        github_id: GithubId,
        current_name: &RepoName,
        now: DateTime<Utc>,
    ) -> Result<Identity, StoreError> {
        self.in_transaction(async |connection| {
            // Done already, and the answer was lost.
            let replacement = sqlx::query_scalar!(
                "select n.id
                from repositories as o
                inner join repositories as n on o.name = n.name
                where o.id = $1 and o.removed_at = $3 and n.removed_at is null and n.github_id = $2",
                lease.repository.0,
                github_id,
                now
            )
            .fetch_optional(&mut *connection)
            .await?;
            if let Some(replacement) = replacement {
                return Ok(Identity::Replaced(RepositoryId(replacement)));
            }
            renew_lease(connection, lease, now).await?;
            let row = sqlx::query!("select name, github_id from repositories where id = $1", lease.repository.0)
                .fetch_one(&mut *connection)
                .await?;
            if row.name != name.as_str() {
                return Err(StoreError::StaleConfiguration);
            }
            let other = sqlx::query_scalar!(
                "select name from repositories where github_id = $1 and id <> $2 and removed_at is null",
                github_id,
                lease.repository.0
            )
            .fetch_optional(&mut *connection)
            .await?;
            if let Some(other) = other {
                let current = current_name.to_string();
                return Err(StoreError::DuplicateRepository { name: row.name, other, current });
            }
            if row.github_id != Some(github_id) {
                if let Some(archived) = take_place(connection, lease, github_id, current_name, now).await? {
                    return Ok(Identity::Replaced(archived));
                }
                if row.github_id.is_some() {
                    return Ok(Identity::Replaced(give_place(connection, lease, github_id, current_name, now).await?));
                }
            }
            sqlx::query!(
                "update repositories set github_id = $2, current_name = $3, data_version = data_version + 1
                where id = $1 and (github_id, current_name) is distinct from ($2, $3)",
                lease.repository.0,
                github_id,
                current_name.as_str()
            )
            .execute(connection)
            .await?;
            Ok(Identity::Same)
        })
        .await
    }

    /// Gives the configured name of a row of which nothing is known yet to the row of the repository that has this name at
    /// GitHub now, in exchange for that one's, which has gone to another repository.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when somebody else has taken over.
    pub async fn exchange_names(
        &self,
        lease: &Lease,
        other: &RepoName,
        github_id: GithubId,
        current_name: &RepoName,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.in_transaction(async |connection| {
            // No teams file changes names meanwhile.
            hold_together(connection).await?;
            renew_lease(connection, lease, now).await?;
            let names = sqlx::query!(
                "select o.id, o.pattern, r.name as new_name, r.pattern as new_pattern
                from repositories as r cross join repositories as o
                where
                    r.id = $1 and r.github_id is null and r.removed_at is null
                    and o.github_id = $2 and o.name = $3 and o.removed_at is null",
                lease.repository.0,
                github_id,
                other.as_str()
            )
            .fetch_optional(&mut *connection)
            .await?;
            // Done already, or another file was applied: who asks reads again what it is now.
            let Some(names) = names else { return Ok(()) };
            // The name is free before somebody else takes it.
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
            .execute(connection)
            .await?;
            Ok(())
        })
        .await
    }

    /// Begins to read a repository's past. The incremental stream goes on from the anchor, whatever happens meanwhile.
    /// `etag` is the one of the page that showed the anchor. Who is new until now is read with it.
    ///
    /// # Errors
    /// [`StoreError::StaleConfiguration`] when somebody may have been added since the roster was read,
    /// [`StoreError::LostLease`] when somebody else has taken over.
    pub async fn begin_backfill(
        &self,
        lease: &Lease,
        revision: Revision,
        backfill: Backfill,
        etag: Option<&StoredEtag>,
        started_at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.in_transaction(async |connection| {
            lock_configuration(connection, revision).await?;
            renew_lease(connection, lease, started_at).await?;
            sqlx::query!(
                "update repositories
                set backfill_page = $2, backfill_since = $3, backfill_anchor = $4, listed_at = greatest(listed_at, $5),
                    reopened_since = case when reopened_since < $3 then reopened_since end,
                    etag = $6, etag_scope = $7,
                    backfill_length = null, backfill_newest = null, backfill_seen = 0, backfill_readings = 0,
                    backfill_rows = $8, backfill_oldest = $9, backfill_last = $10, has_pull_requests = true
                where id = $1",
                lease.repository.0,
                i32::try_from(backfill.next_page).unwrap_or(i32::MAX),
                backfill.since,
                backfill.anchor,
                started_at,
                etag.map(|etag| etag.etag.as_str()),
                etag.map(|etag| etag.scope.as_str()),
                backfill.read_back.map(|read_back| saturated(read_back.rows)),
                backfill.read_back.and_then(|read_back| read_back.oldest),
                backfill.read_back.and_then(|read_back| read_back.last)
            )
            .execute(connection)
            .await?;
            Ok(())
        })
        .await
    }

    /// Begins to read a backfill by creation at its first page, for the first time or again. What was kept stays.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when somebody else has taken over.
    pub async fn begin_reading(&self, lease: &Lease, backfill: Backfill, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.in_transaction(async |connection| {
            renew_lease(connection, lease, now).await?;
            sqlx::query!(
                "update repositories
                set backfill_page = $2, backfill_length = $3, backfill_newest = $4, backfill_seen = 0, backfill_readings = $5::smallint,
                    backfill_rows = null, backfill_oldest = null, backfill_last = null, backfill_reading_at = $6
                where id = $1 and backfill_page is not null",
                lease.repository.0,
                saturated(backfill.next_page),
                backfill.length.map(saturated),
                backfill.newest,
                i16::try_from(backfill.readings).unwrap_or(i16::MAX),
                now
            )
            .execute(connection)
            .await?;
            Ok(())
        })
        .await
    }

    /// Remembers which rows the list by update cannot show, once the past is read for their sake.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when somebody else has taken over.
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

    /// Notes that every page of the backfill is stored. What the incremental stream has read meanwhile is complete now. Rows in
    /// quarantine that have only a place, and that its last reading by creation did not meet there, are not there any more; where
    /// that kept only the latest changes, one of them may have been read and left out, and stays.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when somebody else has taken over.
    pub async fn finish_backfill(&self, lease: &Lease, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.in_transaction(async |connection| {
            renew_lease(connection, lease, now).await?;
            sqlx::query!(
                "delete from quarantined_pull_requests as q
                using repositories as r
                where
                    r.id = $1 and r.backfill_page is not null and r.backfill_rows is null
                    and q.repository_id = r.id and q.number is null and q.last_tried_at < r.backfill_reading_at
                    and (r.covered_since is null or r.backfill_since <= r.covered_since)",
                lease.repository.0
            )
            .execute(&mut *connection)
            .await?;
            sqlx::query!(
                "update repositories
                set
                    watermark = greatest(watermark, backfill_anchor),
                    covered_since = greatest(least(covered_since, backfill_since), (select kept_since from retention)),
                    collected_at = case when reopened_since is null then greatest(collected_at, listed_at) else collected_at end,
                    -- Nothing was stored before that could be compared.
                    verified_at = case when covered_since is null then $2 else verified_at end,
                    backfill_page = null, backfill_reading_at = null, backfill_since = null, backfill_anchor = null,
                    backfill_length = null, backfill_newest = null, backfill_seen = 0, backfill_readings = 0,
                    backfill_rows = null, backfill_oldest = null, backfill_last = null
                where id = $1 and backfill_page is not null",
                lease.repository.0,
                now
            )
            .execute(connection)
            .await?;
            Ok(())
        })
        .await
    }

    /// Notes that the incremental stream is read and stored. The watermark only moves forward, and never to the clock.
    ///
    /// # Errors
    /// [`StoreError::StaleConfiguration`] when somebody may have been added whose pull requests were not kept.
    pub async fn finish_listing(&self, lease: &Lease, revision: Revision, listed: &Listed) -> Result<(), StoreError> {
        self.in_transaction(async |connection| {
            lock_configuration(connection, revision).await?;
            renew_lease(connection, lease, listed.started_at).await?;
            sqlx::query!(
                "with reading as (
                    select
                        r.id,
                        r.backfill_page is null as is_backfilled,
                        r.reopened_since is null or r.reopened_since >= $3 as is_open_no_more
                    from repositories as r
                    where r.id = $1
                )
                update repositories as r
                set
                    watermark = case when s.is_backfilled then greatest(watermark, $2) else watermark end,
                    backfill_anchor = case when not s.is_backfilled then greatest(backfill_anchor, $2) end,
                    covered_since = case
                        when s.is_backfilled then greatest(least(covered_since, $3), (select kept_since from retention))
                        else covered_since
                    end,
                    listed_at = greatest(listed_at, $4),
                    collected_at = case
                        when s.is_backfilled and s.is_open_no_more then greatest(collected_at, $4) else collected_at
                    end,
                    reopened_since = case when not s.is_open_no_more then r.reopened_since end,
                    etag = $5,
                    etag_scope = $6,
                    verified_at = case when $7 then $4 else verified_at end,
                    -- Whole pages are tried again from time to time.
                    page_size = case when $7 and verified_at < $4 then 100 else page_size end,
                    has_pull_requests = $8
                from reading as s
                where r.id = s.id",
                lease.repository.0,
                listed.newest,
                listed.down_to,
                listed.started_at,
                listed.etag.as_ref().map(|etag| etag.etag.as_str()),
                listed.etag.as_ref().map(|etag| etag.scope.as_str()),
                listed.is_verified,
                listed.has_pull_requests
            )
            .execute(connection)
            .await?;
            Ok(())
        })
        .await
    }

    /// Asks for smaller pages from now on. A backfill goes on with the page that begins where the next one would have.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when somebody else has taken over.
    pub async fn set_page_size(&self, lease: &Lease, page_size: u8, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.in_transaction(async |connection| {
            renew_lease(connection, lease, now).await?;
            sqlx::query!(
                "update repositories
                set page_size = $2::smallint, backfill_page = (backfill_page - 1) * page_size / $2::smallint + 1
                where id = $1",
                lease.repository.0,
                i16::from(page_size)
            )
            .execute(connection)
            .await?;
            Ok(())
        })
        .await
    }

    /// Remembers that what a pattern means could not be listed, and why.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_unlisted(&self, pattern: &RepoPattern, reason: &str) -> Result<(), StoreError> {
        let pattern = pattern.to_string();
        self.in_transaction(async |connection| note_listing(connection, &pattern, Some(reason)).await).await
    }

    /// Makes the repositories that a pattern means the ones that are collected for it. Returns how many are new.
    /// One that is also named is not the pattern's. Where the list of the owner's repositories has a reason to be `incomplete`,
    /// those that are not on it stay, and the reason is remembered.
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
            // Two runs that begin at once resolve one after the other.
            sqlx::query!("select pg_advisory_xact_lock($1)", PATTERNS_LOCK).execute(&mut *connection).await?;
            note_listing(connection, &pattern, incomplete).await?;
            sqlx::query!(
                "update repositories as r set removed_at = $3
                where
                    r.pattern = $1 and r.removed_at is null
                    and (
                        (r.display_name <> all($2) and not $4)
                        -- What was not read yet, and has turned out to be the present name of another one.
                        or (
                            r.github_id is null
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
            // One that is back goes on where it was.
            let restored = sqlx::query!(
                "update repositories set removed_at = null, pattern = $1
                where id in (
                    select max(r.id) from repositories as r
                    where r.display_name = any($2) and r.removed_at is not null
                    and not exists (
                        select 1 from repositories as o
                        where o.removed_at is null and (o.name = r.display_name or o.current_name = r.display_name or o.github_id = r.github_id)
                    )
                    group by r.display_name
                )",
                pattern,
                &found as &[&str]
            )
            .execute(&mut *connection)
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
            .execute(connection)
            .await?;
            Ok(usize::try_from(restored.rows_affected() + added.rows_affected()).unwrap_or_default())
        })
        .await
    }
}

/// Archives a row in favor of the one that the repository had before, if there is such a one: the last that was archived.
async fn take_place(
    connection: &mut Session,
    lease: &Lease,
    github_id: GithubId,
    current_name: &RepoName,
    now: DateTime<Utc>,
) -> Result<Option<RepositoryId>, StoreError> {
    let former = sqlx::query_scalar!(
        "select id from repositories where github_id = $1 and removed_at is not null
        order by removed_at desc, id desc
        limit 1",
        github_id
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(former) = former else { return Ok(None) };
    archive(connection, lease, now).await?;
    sqlx::query!(
        "update repositories as f
        set
            removed_at = null, name = r.name, pattern = r.pattern, current_name = $3, retry_at = null,
            data_version = f.data_version + 1
        from repositories as r
        where f.id = $1 and r.id = $2",
        former,
        lease.repository.0,
        current_name.as_str()
    )
    .execute(connection)
    .await?;
    Ok(Some(RepositoryId(former)))
}

/// Archives a row in favor of a new one for another repository of the same name.
async fn give_place(
    connection: &mut Session,
    lease: &Lease,
    github_id: GithubId,
    current_name: &RepoName,
    now: DateTime<Utc>,
) -> Result<RepositoryId, StoreError> {
    archive(connection, lease, now).await?;
    let replacement = sqlx::query_scalar!(
        "insert into repositories (name, pattern, added_at, github_id, current_name)
        select name, pattern, $2, $3, $4 from repositories where id = $1
        returning id",
        lease.repository.0,
        now,
        github_id,
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

/// Remembers why what a pattern means could not be listed, or forgets it.
async fn note_listing(connection: &mut Session, pattern: &str, incomplete: Option<&str>) -> Result<(), StoreError> {
    match incomplete {
        Some(reason) => sqlx::query!(
            "insert into incomplete_patterns as p (pattern, reason) values ($1, $2)
            on conflict (pattern) do update set reason = excluded.reason where p.reason <> excluded.reason",
            pattern,
            reason
        ),
        None => sqlx::query!("delete from incomplete_patterns where pattern = $1", pattern),
    }
    .execute(connection)
    .await?;
    Ok(())
}

pub(crate) fn saturated(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn pause_after(failures: i32) -> TimeDelta {
    let doublings = u32::try_from(failures.saturating_sub(1)).unwrap_or_default().min(10);
    (FIRST_PAUSE * 2_i32.pow(doublings)).min(LONGEST_PAUSE)
}

/// Notes in the same transaction that what is stored of a repository has changed: answers that were made before are old.
pub(crate) async fn bump_data_version(connection: &mut Session, lease: &Lease) -> Result<(), StoreError> {
    sqlx::query!("update repositories set data_version = data_version + 1 where id = $1", lease.repository.0)
        .execute(connection)
        .await?;
    Ok(())
}

/// What is known of a repository once it is held.
pub(crate) struct Held {
    /// How many of its pull requests are in quarantine.
    pub(crate) quarantined: i64,
    /// Pull requests that were merged or closed before are not stored.
    pub(crate) kept_since: Option<DateTime<Utc>>,
}

/// Replaces what is remembered of the rows that the list by update cannot show.
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

/// Refuses to write for a repository that somebody else has taken over, and holds it for the rest of the transaction.
pub(crate) async fn renew_lease(
    connection: &mut Session,
    lease: &Lease,
    now: DateTime<Utc>,
) -> Result<Held, StoreError> {
    // An expired lease that nobody has taken is still good: the fence tells.
    let held = sqlx::query_as!(
        Held,
        "update repositories set leased_until = greatest(leased_until, $3) where id = $1 and fence = $2
        returning quarantined, (select kept_since from retention) as kept_since",
        lease.repository.0,
        lease.fence,
        now + lease.ttl
    )
    .fetch_optional(connection)
    .await?;
    held.ok_or(StoreError::LostLease)
}

/// Who works on a repository, with the fence.
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

/// The repositories that are collected, the one served longest ago first; or only one of them.
pub(crate) async fn repositories(
    connection: &mut Session,
    only: Option<RepositoryId>,
) -> Result<Vec<Repository>, StoreError> {
    sqlx::query!(
        r#"select
            id, name, current_name, github_id, pattern, watermark, covered_since, reopened_since, backfill_page, backfill_since,
            backfill_anchor, backfill_length, backfill_newest, backfill_seen, backfill_readings,
            backfill_rows, backfill_oldest, backfill_last, etag, etag_scope, page_size, collected_at, verified_at, failures, retry_at,
            (select kept_since from retention) as kept_since,
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
        let backfill = row.backfill_page.zip(row.backfill_since).map(|(page, since)| Backfill {
            next_page: page.unsigned_abs(),
            since,
            anchor: row.backfill_anchor,
            length: row.backfill_length.map(i32::unsigned_abs),
            newest: row.backfill_newest,
            seen: row.backfill_seen.unsigned_abs(),
            readings: row.backfill_readings.unsigned_abs().into(),
            // Readings are by creation.
            read_back: row
                .backfill_rows
                .filter(|_| row.backfill_readings == 0)
                .map(|rows| ReadBack { rows: rows.unsigned_abs(), oldest: row.backfill_oldest, last: row.backfill_last }),
        });
        Ok(Repository {
            id: RepositoryId(row.id),
            name: parse_stored(&row.name)?,
            current_name: row.current_name.as_deref().map(parse_stored).transpose()?,
            github_id: row.github_id,
            pattern: row.pattern.as_deref().map(parse_stored).transpose()?,
            watermark: row.watermark,
            covered_since: row.covered_since,
            reopened_since: row.reopened_since,
            backfill,
            etag: row.etag.zip(row.etag_scope).map(|(etag, scope)| StoredEtag { etag, scope }),
            page_size: u8::try_from(row.page_size).unwrap_or(100),
            collected_at: row.collected_at,
            verified_at: row.verified_at,
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
