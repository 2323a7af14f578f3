//! Status of the collection for people, and why a pull request counts.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use mergeline_domain::metrics::Coverage;
use mergeline_domain::{AttributedBy, ExternalId, PullRequestState, RepoName, TeamSlug};
use serde::Serialize;

use crate::connection::{APPLIED_MIGRATIONS, is_of_before_first_release, missing_grant, refuse_if_too_old};
use crate::logins::statuses;
use crate::metrics::data_status;
use crate::quarantine::meant_by;
use crate::revision::parse_stored;
use crate::roles::{Roles, bypasses_policies, missing_role, owns_tables};
use crate::session::Session;
use crate::{LoginStatus, Reader, ResultState, RunState, StoreError, Writer};

/// The database server and its schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatabaseStatus {
    /// The server's major version.
    pub version: i32,
    /// Whether the connection is encrypted.
    pub is_encrypted: bool,
    /// The applied migrations, oldest first; empty for an empty database.
    pub migrations: Vec<i64>,
    /// The statement that lets this login create tables; `None` when it already may.
    pub missing_grant: Option<String>,
    /// The statements that an administrator must run so that the API reads with fewer rights; `None` when it does.
    pub missing_role: Option<String>,
    /// Whether row-level security does not apply to what this program does.
    pub bypasses_policies: bool,
    /// Whether this login owns the tables, or will create them; only then can it migrate.
    pub owns_tables: bool,
    /// The logins beside the owner's, those of the collector and the API; none where one login does everything.
    pub logins: Vec<LoginStatus>,
}

/// Why a pull request is in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineReason {
    /// What was wrong.
    pub reason: String,
    /// Only a place in the list is in quarantine, and the pull request may be the one at that place.
    pub is_by_place: bool,
}

impl DatabaseStatus {
    /// The migrations that this program would apply, with descriptions, oldest first.
    pub fn missing(&self) -> Vec<(i64, String)> {
        missing(&self.migrations)
    }

    /// Whether a version before the first release created the schema. It cannot be migrated.
    pub fn is_of_before_first_release(&self) -> bool {
        is_of_before_first_release(&self.migrations)
    }

    /// Migrations that a newer program has applied.
    pub fn unknown(&self) -> Vec<i64> {
        let known = Writer::known_migrations();
        let is_unknown = |version: &i64| known.iter().all(|(other, _)| other != version);
        self.migrations.iter().copied().filter(is_unknown).collect()
    }
}

fn missing(applied: &[i64]) -> Vec<(i64, String)> {
    let is_missing = |(version, _): &(i64, String)| !applied.contains(version);
    Writer::known_migrations().into_iter().filter(is_missing).collect()
}

/// A run in the ledger, with the sums over its repositories.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunStatus {
    /// Its id.
    pub id: i64,
    /// `running` or how it ended.
    pub state: RunState,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Repositories that it planned to collect.
    pub planned: i32,
    /// Repositories that failed.
    pub failed: i64,
    /// Repositories that continue later.
    pub deferred: i64,
    /// Requests to GitHub.
    pub requests: i64,
    /// GraphQL points.
    pub graphql_points: i64,
    /// Pull requests listed.
    pub listed: i64,
    /// Pull requests kept.
    pub kept: i64,
    /// New or changed rows.
    pub changed: i64,
    /// What went wrong while planning.
    pub problems: Vec<String>,
}

/// The collection status of a repository.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RepositoryStatus {
    /// `owner/name`.
    pub name: String,
    /// `owner/name` in the configuration, or the pattern, if it differs from the name.
    pub configured_as: Option<String>,
    /// The result of the last work on it; `None` before the first.
    pub state: Option<ResultState>,
    /// Why it did not succeed.
    pub reason_code: Option<String>,
    /// The same as a sentence.
    pub reason: Option<String>,
    /// When deferred work can continue, or a failing repository is retried.
    pub next_at: Option<DateTime<Utc>>,
    /// When the last complete collection started. Nothing newer is claimed as complete.
    pub collected_at: Option<DateTime<Utc>>,
    /// Everything that changed since then is stored.
    pub covered_since: Option<DateTime<Utc>>,
    /// The next page of a running backfill.
    pub backfill_page: Option<i32>,
    /// Stored pull requests.
    pub pull_requests: i64,
    /// Stored pull requests whose details must be read.
    pub without_details: i64,
    /// Merged pull requests that were not compared with the paths of services in force.
    pub without_files: i64,
    /// Pull requests in quarantine.
    pub quarantined: i64,
    /// False if pull requests are disabled in its settings.
    pub has_pull_requests: bool,
}

/// Why a stored pull request counts as it does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The title.
    pub title: String,
    /// The author's login.
    pub author: String,
    /// The state.
    pub state: PullRequestState,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
    /// When it was merged.
    pub merged_at: Option<DateTime<Utc>>,
    /// The instant that decides which memberships apply.
    pub attributed_at: DateTime<Utc>,
    /// Which of its times that instant is.
    pub attributed_by: AttributedBy,
    /// Whether it no longer exists on GitHub.
    pub is_deleted: bool,
    /// The author's memberships, with and without a share.
    pub shares: Vec<Share>,
    /// Its known durations; `None` when it does not count for any team.
    pub times: Option<Times>,
}

/// The durations of a pull request in seconds; `None` where unknown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Times {
    /// From opening to merge.
    pub cycle: Option<f64>,
    /// From the first commit to opening.
    pub coding: Option<f64>,
    /// From opening, or being ready, to the first review.
    pub pickup: Option<f64>,
    /// From the first review to merge.
    pub review: Option<f64>,
    /// Why a duration is unknown although one might expect it.
    pub flags: Vec<String>,
}

/// A membership of a pull request's author, and whether it gives the team a share.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Share {
    /// The team's slug.
    pub team: String,
    /// The membership's id.
    pub membership: i64,
    /// Its weight in ten-thousandths.
    pub weight_units: i32,
    /// When it starts; `None` is the beginning of time.
    pub joined_at: Option<DateTime<Utc>>,
    /// When it ends; `None` means never.
    pub left_at: Option<DateTime<Utc>>,
    /// Whether the pull request counts for the team.
    pub counts: bool,
}

/// A configured person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfiguredLogin {
    /// The login in the configuration.
    pub login: String,
    /// The account's GitHub id, if known.
    pub external_id: Option<ExternalId>,
    /// The account's login as last seen on GitHub.
    pub seen_as: String,
}

/// Checks that all migrations of this program are applied. A schema with more is fine, unless it requires a newer
/// program.
///
/// # Errors
/// [`StoreError::Schema`] when a migration is missing or the program is too old; other errors when the database fails.
async fn require_migrations(connection: &mut Session) -> Result<(), StoreError> {
    let applied: Vec<i64> = sqlx::query_scalar(APPLIED_MIGRATIONS).fetch_all(&mut *connection).await?;
    let missing = missing(&applied);
    match missing.first() {
        None => refuse_if_too_old(connection).await,
        Some((version, name)) => {
            let cause = format!("{} migrations are missing, starting with {version} ({name})", missing.len());
            Err(StoreError::Schema(cause.into()))
        }
    }
}

impl Reader {
    /// The collection's coverage, after a check that the schema is up to date. Uses a dedicated connection, so that it
    /// works while the whole pool is busy, and tests whether a new connection is accepted.
    ///
    /// # Errors
    /// Why the check failed.
    pub async fn health(&self) -> Result<Coverage, StoreError> {
        if self.pool.is_closed() {
            return Err(sqlx::Error::PoolClosed.into());
        }
        let mut connection = self.dedicated_connection().await?;
        let coverage = data_status(&mut connection, None, &[]).await?.coverage;
        require_migrations(&mut connection).await?;
        connection.close().await?;
        Ok(coverage)
    }

    /// The database server and its schema. Works with any schema, and with none.
    ///
    /// # Errors
    /// Why the database cannot be queried.
    pub async fn database_status(&self) -> Result<DatabaseStatus, StoreError> {
        let mut connection = self.dedicated_connection().await?;
        let bypasses_policies = bypasses_policies(&mut connection).await?;
        // The rest is about the login, not about the role that it acts as.
        sqlx::raw_sql("set local role to default").execute(&mut connection).await?;
        let server = sqlx::query!(
            r#"select
                current_setting('server_version_num')::integer / 10000 as "version!",
                coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), false) as "is_encrypted!",
                to_regclass('_sqlx_migrations') is not null as "is_migrated!""#
        )
        .fetch_one(&mut connection)
        .await?;
        let migrations = if server.is_migrated {
            sqlx::query_scalar(APPLIED_MIGRATIONS).fetch_all(&mut connection).await?
        } else {
            Vec::new()
        };
        let missing_grant = missing_grant(&mut connection).await?;
        let missing_role = missing_role(&mut connection, Roles::Usual).await?;
        let owns_tables = owns_tables(&mut connection).await?;
        let logins = if server.is_migrated { statuses(&mut connection).await? } else { Vec::new() };
        connection.close().await?;
        let (version, is_encrypted) = (server.version, server.is_encrypted);
        Ok(DatabaseStatus {
            version,
            is_encrypted,
            migrations,
            missing_grant,
            missing_role,
            bypasses_policies,
            owns_tables,
            logins,
        })
    }

    /// Configured patterns whose repositories GitHub does not list completely for the token, and why.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn incomplete_patterns(&self) -> Result<Vec<(String, String)>, StoreError> {
        let rows = sqlx::query!(
            "select p.pattern, p.reason from incomplete_patterns as p
            inner join configuration_in_force as c on p.pattern = any(c.repository_patterns)
            order by p.pattern"
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|row| (row.pattern, row.reason)).collect())
    }

    /// The last runs, newest first. Only those before the run `before`, if given.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn runs(&self, before: Option<i64>, limit: u32) -> Result<Vec<RunStatus>, StoreError> {
        let rows = sqlx::query!(
            r#"select
                n.id, n.state, n.started_at, n.finished_at, n.planned, n.problems,
                count(r.run_id) filter (where r.state = 'failed') as "failed!",
                count(r.run_id) filter (where r.state in ('deferred', 'busy')) as "deferred!",
                coalesce(sum(r.requests), 0) as "requests!",
                coalesce(sum(r.graphql_points), 0) as "graphql_points!",
                coalesce(sum(r.listed), 0) as "listed!",
                coalesce(sum(r.kept), 0) as "kept!",
                coalesce(sum(r.changed), 0) as "changed!"
            from collection_runs as n
            left join collection_results as r on n.id = r.run_id
            where $1::bigint is null or n.id < $1
            group by n.tenant_id, n.id
            order by n.id desc
            limit $2"#,
            before,
            i64::from(limit)
        )
        .fetch_all(&self.pool)
        .await?;
        let runs = rows.into_iter().map(|row| {
            Ok(RunStatus {
                id: row.id,
                state: parse_stored(&row.state)?,
                started_at: row.started_at,
                finished_at: row.finished_at,
                planned: row.planned,
                failed: row.failed,
                deferred: row.deferred,
                requests: row.requests,
                graphql_points: row.graphql_points,
                listed: row.listed,
                kept: row.kept,
                changed: row.changed,
                problems: row.problems,
            })
        });
        runs.collect()
    }

    /// The collection status of each configured repository, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn repository_statuses(&self) -> Result<Vec<RepositoryStatus>, StoreError> {
        let rows = sqlx::query!(
            r#"select
                r.display_name as "name!",
                coalesce(r.pattern, nullif(r.name, r.display_name)) as configured_as,
                l.state as "state?",
                l.error_code as reason_code,
                l.error_message as reason,
                coalesce(l.deferred_until, case when r.failures > 0 then r.retry_at end) as next_at,
                r.collected_at, r.covered_since, r.has_pull_requests,
                case when r.backfill_order is not null then r.backfill_rows / r.page_size + 1 end as backfill_page,
                r.pull_requests, r.without_details, r.without_files::bigint as "without_files!", r.quarantined
            from repositories as r
            left join lateral (
                select c.state, c.error_code, c.error_message, c.deferred_until
                from collection_results as c
                -- Somebody else was at work on it, and says more.
                where c.repository_id = r.id and c.state <> 'busy'
                order by c.run_id desc
                limit 1
            ) as l on true
            where r.removed_at is null
            order by 1"#
        )
        .fetch_all(&self.pool)
        .await?;
        let statuses = rows.into_iter().map(|row| {
            Ok(RepositoryStatus {
                name: row.name,
                configured_as: row.configured_as,
                state: row.state.as_deref().map(parse_stored).transpose()?,
                reason_code: row.reason_code,
                reason: row.reason,
                next_at: row.next_at,
                collected_at: row.collected_at,
                covered_since: row.covered_since,
                has_pull_requests: row.has_pull_requests,
                backfill_page: row.backfill_page,
                pull_requests: row.pull_requests,
                without_details: row.without_details,
                without_files: row.without_files,
                quarantined: row.quarantined,
            })
        });
        statuses.collect()
    }

    /// The names of the repositories that anything counts for one of these teams in.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn repositories_of_teams(
        &self,
        teams: impl IntoIterator<Item = &TeamSlug>,
    ) -> Result<BTreeSet<String>, StoreError> {
        let teams: Vec<String> = teams.into_iter().map(ToString::to_string).collect();
        let names = sqlx::query_scalar!(
            r#"select r.display_name as "name!"
            from repositories as r
            where
                r.removed_at is null
                and exists (
                    select from pr_attributions as a
                    inner join teams as t on a.team_id = t.id
                    where t.slug = any($1::text []) and a.repository_id = r.id
                )"#,
            &teams
        );
        Ok(names.fetch_all(&self.pool).await?.into_iter().collect())
    }

    /// For which teams a stored pull request counts, and why; `None` when it is not stored.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn explain(&self, repository: &RepoName, number: i64) -> Result<Option<Explanation>, StoreError> {
        let row =
            sqlx::query_file!("queries/explain.sql", repository.as_str(), number).fetch_optional(&self.pool).await?;
        let Some(row) = row else { return Ok(None) };
        let shares = sqlx::query_as!(
            Share,
            r#"select
                t.slug as team, m.id as membership, (m.weight * 10000)::integer as "weight_units!", m.joined_at, m.left_at,
                a.membership_id is not null as "counts!"
            from team_memberships as m
            inner join teams as t on m.team_id = t.id
            left join pr_attributions as a on a.pull_request_id = $2 and a.membership_id = m.id
            where m.person_id = $1 and m.removed_in is null
            order by t.slug, m.joined_at nulls first"#,
            row.author_id,
            row.id
        )
        .fetch_all(&self.pool)
        .await?;
        let times = sqlx::query_as!(
            Times,
            r#"select
                cycle_time_seconds as cycle, coding_seconds as coding, pickup_seconds as pickup,
                review_seconds as review, flags as "flags!"
            from pr_metrics where pull_request_id = $1 limit 1"#,
            row.id
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(Some(Explanation {
            title: row.title,
            author: row.login,
            state: parse_stored(&row.state)?,
            created_at: row.created_at,
            merged_at: row.merged_at,
            attributed_at: row.attributed_at,
            attributed_by: parse_stored(&row.attributed_by)?,
            is_deleted: row.is_deleted,
            shares,
            times,
        }))
    }

    /// Why a pull request is in quarantine, or may be one that is known there only by its place; `None` otherwise.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn quarantine_reason(
        &self,
        repository: &RepoName,
        number: i64,
    ) -> Result<Option<QuarantineReason>, StoreError> {
        self.with_deadline(async |connection| {
            let meant = meant_by(&mut *connection, repository).await?;
            let query = sqlx::query_as!(
                QuarantineReason,
                r#"select q.reason, q.number is null as "is_by_place!"
                from quarantined_pull_requests as q
                where
                    q.repository_id = any($1)
                    and (
                        q.number = $2
                        -- Behind the row before it, with none in between that is known.
                        or (
                            q.number is null and q.after_number < $2
                            and not exists (
                                select from pull_requests as p
                                where p.repository_id = q.repository_id and p.number > q.after_number and p.number <= $2
                            )
                        )
                    )
                order by q.number nulls last, q.after_number desc, q.rows_after
                limit 1"#,
                &meant,
                number
            );
            Ok(query.fetch_optional(connection).await?)
        })
        .await
    }

    /// The configured accounts at GitHub, each with the login last seen there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn configured_logins(&self) -> Result<Vec<ConfiguredLogin>, StoreError> {
        let rows = sqlx::query!(
            r#"select l.login as "login!", h.external_id, h.login as seen_as
            from accounts as h
            inner join instances as i on h.instance_id = i.id and i.forge = 'github'
            cross join lateral unnest(h.configured_login || h.other_logins) with ordinality as l (login, place)
            where
                exists (select from team_memberships as m where m.person_id = h.person_id and m.removed_in is null)
                -- A login that somebody had before is whose it is now.
                and (
                    l.place = 1
                    or not exists (
                        select from accounts as o
                        where o.instance_id = h.instance_id and o.person_id <> h.person_id and l.login in (o.configured_login, o.login)
                    )
                )
            order by 1"#
        )
        .fetch_all(&self.pool)
        .await?;
        let logins = rows.into_iter().map(|row| ConfiguredLogin {
            login: row.login,
            external_id: row.external_id.map(ExternalId::from),
            seen_as: row.seen_as,
        });
        Ok(logins.collect())
    }
}
