//! Query results: teams, statistics, the pull requests behind them, and the collection's coverage.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use mergeline_domain::delivery::{DeploymentId, MissingReason, ServiceId};
use mergeline_domain::metrics::{Allocations, Bucket, Coverage, Durations, Interval, Measure, MeasureKind, Statistics};
use mergeline_domain::{AttributedBy, Exclusion, Period, PullRequestState, RepoName, TeamId, TeamSlug, Weight};
use tokio::time::timeout;

use crate::revision::parse_stored;
use crate::session::{Access, Session};
use crate::{Reader, RepositoryId, Revision, StoreError, Tenant};

/// How a request identifies a team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TeamSelector {
    /// By id.
    Id(TeamId),
    /// By slug.
    Slug(TeamSlug),
}

/// As a person would write it.
impl std::fmt::Display for TeamSelector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => id.0.fmt(f),
            Self::Slug(slug) => slug.fmt(f),
        }
    }
}

impl TeamSelector {
    fn parts(&self) -> (Option<i64>, Option<&str>) {
        match self {
            Self::Id(id) => (Some(id.0), None),
            Self::Slug(slug) => (None, Some(slug.as_str())),
        }
    }
}

/// A team with its current members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    /// The id.
    pub id: TeamId,
    /// The slug.
    pub slug: TeamSlug,
    /// The display name.
    pub name: String,
    /// When it was removed from the configuration, if it was.
    pub archived_at: Option<DateTime<Utc>>,
    /// How many people are members now.
    pub members: i64,
    /// The sum of their weights in ten-thousandths.
    pub weight_units: i64,
    /// Since when the members have not changed; `None` is the beginning of time.
    pub members_since: Option<DateTime<Utc>>,
}

/// A membership that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The membership's id.
    pub membership: i64,
    /// The person's login.
    pub login: String,
    /// The weight in ten-thousandths.
    pub weight_units: i32,
    /// When it started; `None` is the beginning of time.
    pub joined_at: Option<DateTime<Utc>>,
    /// When it ends; `None` means never.
    pub left_at: Option<DateTime<Utc>>,
}

/// When somebody is or was in a team, and how much.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TeamMembership {
    /// The membership's id.
    pub id: i64,
    /// The person, as a number.
    pub person: i64,
    /// How much of them.
    pub weight: Weight,
    /// When.
    pub period: Period,
}

/// Selects pull requests of a team: those in `[from, to)`, optionally of some repositories and one branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The start of the range, inclusive.
    pub from: DateTime<Utc>,
    /// The end of the range, exclusive.
    pub to: DateTime<Utc>,
    /// Only of these repositories; `None` for all.
    pub repositories: Option<Vec<RepositoryId>>,
    /// Only into this branch; `None` for all.
    pub base: Option<String>,
}

impl Filter {
    /// Everything in a range.
    pub fn range(from: DateTime<Utc>, to: DateTime<Utc>) -> Self {
        Self { from, to, repositories: None, base: None }
    }

    pub(crate) fn repository_ids(&self) -> Option<Vec<i64>> {
        self.repositories.as_ref().map(|ids| ids.iter().map(|id| id.0).collect())
    }
}

/// How statistics are grouped and weighted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucketing {
    /// The calendar unit of a bucket.
    pub interval: Interval,
    /// The time zone in which days start.
    pub zone: Tz,
    /// Whether each pull request counts with weight 1, regardless of the membership.
    pub ignore_weights: bool,
    /// Whether to count the authors behind each duration, which takes extra time.
    pub count_contributors: bool,
    /// Which measures have percentiles; all if `None`. Each takes extra time.
    pub measures: Option<&'static [MeasureKind]>,
}

/// The measure that counts all merged pull requests.
const ALL_MERGED: &str = "merged";

/// Durations, as SQL returns them.
pub(crate) fn durations(
    mean: Option<f64>,
    percentiles: Option<Vec<f64>>,
    median_interval: Option<Vec<f64>>,
) -> Option<Durations> {
    let [p50, p75, p90, p95] = percentiles?.try_into().ok()?;
    let median_interval = median_interval.and_then(|ends| ends.try_into().ok());
    Some(Durations { mean: mean?, p50, p75, p90, p95, median_interval })
}

/// The context of every response: the configuration in force, and the collection's coverage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataStatus {
    /// The configuration in force; `None` before the first.
    pub revision: Option<Revision>,
    /// Its time zone; UTC before the first.
    pub timezone: Tz,
    /// Statistics of fewer people than this are hidden; 0 shows all.
    pub min_group_size: i64,
    /// Raised by each transaction that changes stored data.
    pub data_version: i64,
    /// The collection's coverage.
    pub coverage: Coverage,
    /// The requested team, if it exists.
    pub team: Option<TeamRef>,
}

/// A team's id and names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamRef {
    /// The id.
    pub id: TeamId,
    /// The slug.
    pub slug: TeamSlug,
    /// The display name.
    pub name: String,
}

/// A pull request of a current or former team member, and whether it counts for the team.
#[derive(Debug, Clone, PartialEq)]
pub struct TeamPullRequest {
    /// Its id in Mergeline.
    pub id: i64,
    /// Where it stands in the requested order.
    pub sort_at: DateTime<Utc>,
    /// The address of its page.
    pub url: String,
    /// `owner/name`.
    pub repository: String,
    /// Its number in the repository.
    pub number: i64,
    /// The title.
    pub title: String,
    /// The author's login.
    pub author: String,
    /// The state.
    pub state: PullRequestState,
    /// Whether it is a draft.
    pub is_draft: bool,
    /// The target branch.
    pub base_ref: Option<String>,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
    /// When it was merged.
    pub merged_at: Option<DateTime<Utc>>,
    /// When it was closed or merged.
    pub closed_at: Option<DateTime<Utc>>,
    /// When another person first reviewed it.
    pub first_review_at: Option<DateTime<Utc>>,
    /// The instant that decides which memberships apply.
    pub attributed_at: DateTime<Utc>,
    /// Which of its times that instant is.
    pub attributed_by: AttributedBy,
    /// The membership that gives the team its share; `None` if there is none.
    pub membership: Option<Member>,
    /// From opening to merge, in seconds.
    pub cycle_seconds: Option<f64>,
    /// From the first commit to opening, in seconds.
    pub coding_seconds: Option<f64>,
    /// From ready for review to the first review, in seconds.
    pub pickup_seconds: Option<f64>,
    /// From the first review to merge, in seconds.
    pub review_seconds: Option<f64>,
    /// The first deployment that delivered it.
    pub delivered_by: Option<DeploymentId>,
    /// The commit by which that is known: `merge_commit` or `head_commit`.
    pub via: Option<String>,
    /// When that was.
    pub delivered_at: Option<DateTime<Utc>>,
    /// From the first commit to that, in seconds.
    pub lead_seconds: Option<f64>,
    /// From the merge to that, in seconds.
    pub deploy_seconds: Option<f64>,
    /// Why it is not delivered so far; `None` unless it is merged.
    pub missing: Option<MissingReason>,
    /// Lines added.
    pub additions: Option<i32>,
    /// Lines deleted.
    pub deletions: Option<i32>,
    /// Files changed.
    pub changed_files: Option<i32>,
    /// Notes about its durations.
    pub flags: Vec<String>,
    /// Why it does not count; `None` when it counts.
    pub excluded: Option<Exclusion>,
}

/// The order of a list of pull requests.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::EnumString, strum::VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum PullRequestOrder {
    /// By the instant that determines membership.
    #[default]
    Oldest,
    /// The same, the last one first.
    Newest,
    /// By the time from opening to merge, the longest one first. Those without one come last.
    Longest,
    /// By the number of changed lines, the largest one first. Those without one come last.
    Largest,
}

impl PullRequestOrder {
    /// All orders.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;
}

/// Which pull requests a list is limited to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum ListedState {
    /// Those that are open, regardless of the range.
    Open,
    /// Those that were closed without a merge in the range.
    Closed,
    /// Those that were merged in the range.
    Merged,
    /// Those of the team that first reached production in the range.
    Delivered,
}

impl ListedState {
    /// All of them.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;
}

/// Which pull requests are listed, and in which order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PullRequestList {
    /// Only these.
    pub state: Option<ListedState>,
    /// The order.
    pub order: PullRequestOrder,
}

/// Later than anything that happened: the year 2200.
const LATEST: DateTime<Utc> = match DateTime::from_timestamp(7_258_118_400, 0) {
    Some(at) => at,
    None => DateTime::UNIX_EPOCH,
};

/// Who sees the pull requests behind a team's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Readers who may see every team. They also see members' pull requests from before they joined and after they
    /// left.
    AllTeams,
    /// Readers who may see only this team.
    ThisTeam,
}

/// The open pull requests of a team.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OpenPullRequests {
    /// How long they have been open.
    pub age: Measure,
    /// The age of the oldest, in seconds.
    pub oldest_seconds: Option<f64>,
}

impl Reader {
    /// All teams by slug, first those in force, then the archived ones.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn teams(&self, now: DateTime<Utc>) -> Result<Vec<Team>, StoreError> {
        self.read_teams(None, None, now).await
    }

    /// One team; `None` if there is none with that id or slug.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn team(&self, team: &TeamSelector, now: DateTime<Utc>) -> Result<Option<Team>, StoreError> {
        let (id, slug) = team.parts();
        Ok(self.read_teams(id, slug, now).await?.into_iter().next())
    }

    async fn read_teams(
        &self,
        id: Option<i64>,
        slug: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Team>, StoreError> {
        let rows = sqlx::query!(
            r#"select
                t.id, t.slug, t.name, t.archived_at,
                count(m.id) filter (where tstzrange(m.joined_at, m.left_at, '[)') @> $3::timestamptz) as "members!",
                coalesce(sum(m.weight) filter (where tstzrange(m.joined_at, m.left_at, '[)') @> $3::timestamptz) * 10000, 0)::bigint
                    as "weight_units!",
                greatest(max(m.joined_at) filter (where m.joined_at <= $3), max(m.left_at) filter (where m.left_at <= $3))
                    as members_since
            from teams as t
            left join team_memberships as m on t.id = m.team_id and m.removed_in is null
            where ($1::bigint is null or t.id = $1) and ($2::text is null or t.slug = $2)
            group by t.tenant_id, t.id
            order by t.archived_at is not null, t.slug"#,
            id,
            slug,
            now
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                Ok(Team {
                    id: TeamId(row.id),
                    slug: parse_stored(&row.slug)?,
                    name: row.name,
                    archived_at: row.archived_at,
                    members: row.members,
                    weight_units: row.weight_units,
                    members_since: row.members_since,
                })
            })
            .collect()
    }

    /// The memberships of a team that are in force, by login.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn members(&self, team: TeamId, now: DateTime<Utc>) -> Result<Vec<Member>, StoreError> {
        Ok(sqlx::query_as!(
            Member,
            r#"select m.id as membership, h.login as "login!", (m.weight * 10000)::integer as "weight_units!", m.joined_at, m.left_at
            from team_memberships as m
            cross join lateral (
                select case i.forge when 'github' then a.login else i.forge || ':' || a.login end as login
                from accounts as a
                inner join instances as i on a.instance_id = i.id
                where a.person_id = m.person_id
                order by a.instance_id
                limit 1
            ) as h
            where m.team_id = $1 and m.removed_in is null and tstzrange(m.joined_at, m.left_at, '[)') @> $2::timestamptz
            order by h.login"#,
            team.0,
            now
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// One connection for all queries of a request.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn session(&self) -> Result<ReadSession, StoreError> {
        Ok(ReadSession { connection: Box::new(self.pool.read().await?) })
    }

    /// A connection and the result of its first query: the data status and the requested team. The coverage is that of
    /// the named repositories, or of all configured ones if none is named. The query also tests the connection, which
    /// saves a round trip. A connection that broke or went silent while idle is replaced.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn session_with_status(
        &self,
        team: Option<&TeamSelector>,
        repositories: &[RepoName],
    ) -> Result<(ReadSession, DataStatus), StoreError> {
        if let Some(mut session) = self.pool.try_idle() {
            let asking = async {
                session.open(Access::Read).await?;
                data_status(&mut session, team, repositories).await
            };
            match timeout(self.test_timeout(), asking).await {
                // The server may be gone. The pool finds out.
                Ok(Err(StoreError::Unavailable(_) | StoreError::Unauthorized(_))) | Err(_) => session.discard(),
                Ok(outcome) => return outcome.map(|status| (ReadSession { connection: Box::new(session) }, status)),
            }
        }
        let mut reader = self.session().await?;
        let status = data_status(&mut reader.connection, team, repositories).await?;
        Ok((reader, status))
    }

    /// The teams whose memberships changed, and whose pull requests are being counted again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reattributing_teams(&self) -> Result<BTreeSet<TeamId>, StoreError> {
        let query = sqlx::query_scalar!("select distinct team_id from reattributions");
        let teams = self.with_deadline(async |connection| Ok(query.fetch_all(connection).await?)).await?;
        Ok(teams.into_iter().map(TeamId).collect())
    }

    /// The collection's coverage over all configured repositories.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn coverage(&self) -> Result<Coverage, StoreError> {
        self.with_deadline(async |connection| Ok(data_status(connection, None, &[]).await?.coverage)).await
    }

    /// The time zone of the configuration in force, UTC before the first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn timezone(&self) -> Result<Tz, StoreError> {
        self.with_deadline(async |connection| Ok(data_status(connection, None, &[]).await?.timezone)).await
    }
}

pub(crate) async fn data_status(
    connection: &mut Session,
    team: Option<&TeamSelector>,
    repositories: &[RepoName],
) -> Result<DataStatus, StoreError> {
    let (id, slug) = team.map_or((None, None), TeamSelector::parts);
    let names: Vec<String> = repositories.iter().map(ToString::to_string).collect();
    let names = (!names.is_empty()).then_some(names);
    let row = sqlx::query_file!("queries/data_status.sql", id, slug, names.as_deref()).fetch_one(connection).await?;
    let team = match (row.team_id, row.team_slug, row.team_name) {
        (Some(id), Some(slug), Some(name)) => Some(TeamRef { id: TeamId(id), slug: parse_stored(&slug)?, name }),
        _ => None,
    };
    Ok(DataStatus {
        revision: row.revision.map(Revision),
        timezone: row.timezone.map_or(Ok(Tz::UTC), |name| parse_stored(&name))?,
        min_group_size: row.min_group_size.unwrap_or_default().into(),
        data_version: row.data_version,
        coverage: Coverage {
            collected: row.collected,
            failing: row.failing_names.unwrap_or_default(),
            pending: row.pending_names.unwrap_or_default(),
            never_collected: row.never_collected_names.unwrap_or_default(),
            covered_since: row.covered_since,
            complete_until: row.complete_until,
            data_as_of: row.data_as_of,
            quarantined: row.quarantined,
            is_reattributing: row.is_reattributing,
            incomplete_patterns: row.incomplete_patterns.unwrap_or_default(),
        },
        team,
    })
}

/// A connection for a series of queries. It was tested once, when it was acquired.
#[derive(Debug)]
pub struct ReadSession {
    pub(crate) connection: Box<Session>,
}

impl ReadSession {
    /// Whose rows it reads.
    pub fn tenant(&self) -> Tenant {
        self.connection.tenant()
    }

    /// How many quarantined pull requests of the filter's repositories may have been opened before its end. The others
    /// cannot be in its range.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(target = "spans", name = "query", level = "debug", skip_all, fields(query = "quarantined"))]
    pub async fn quarantined(&mut self, filter: &Filter) -> Result<i64, StoreError> {
        let ids: Option<Vec<i64>> = filter.repositories.as_ref().map(|ids| ids.iter().map(|id| id.0).collect());
        let count = sqlx::query_scalar!(
            r#"select count(*) as "count!"
            from quarantined_pull_requests as q
            inner join repositories as r on q.repository_id = r.id
            where
                (q.created_from is null or q.created_from < $1)
                and case when $2::bigint [] is null then r.removed_at is null else r.id = any($2) end"#,
            filter.to,
            ids.as_deref()
        );
        Ok(count.fetch_one(&mut *self.connection).await?)
    }

    /// The ids of repositories, each with the requested name: several when one was replaced by another with the same
    /// name, none when it is unknown. With a team, only repositories with pull requests that count for it.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(
        target = "spans",
        name = "query",
        level = "debug",
        skip_all,
        fields(query = "repository_ids")
    )]
    pub async fn repository_ids(
        &mut self,
        names: &[RepoName],
        only_of: Option<TeamId>,
    ) -> Result<Vec<(String, RepositoryId)>, StoreError> {
        let names: Vec<&str> = names.iter().map(RepoName::as_str).collect();
        let rows = sqlx::query!(
            r#"select w.name as "name!", r.id
            from unnest($1::text []) as w (name)
            inner join repositories as r on r.name = w.name or r.current_name = w.name
            where
                $2::bigint is null
                -- Each has an index of its own.
                or exists (
                    select from pr_attributions as a
                    where a.team_id = $2 and a.repository_id = r.id and a.merged_at is not null
                )
                or exists (
                    select from pr_attributions as a
                    where a.team_id = $2 and a.repository_id = r.id and a.closed_at is null
                )
            order by r.id"#,
            &names as &[&str],
            only_of.map(|team| team.0)
        )
        .fetch_all(&mut *self.connection)
        .await?;
        Ok(rows.into_iter().map(|row| (row.name, RepositoryId(row.id))).collect())
    }

    /// A version of the data of these teams. It changes only with the repositories that have pull requests counting for
    /// them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn data_versions_of_teams<'a>(
        &mut self,
        teams: impl IntoIterator<Item = &'a TeamSlug>,
    ) -> Result<String, StoreError> {
        let teams: Vec<String> = teams.into_iter().map(ToString::to_string).collect();
        let versions = sqlx::query_file_scalar!("queries/data_versions_of_teams.sql", &teams);
        Ok(versions.fetch_one(&mut *self.connection).await?)
    }

    /// Velocity, cycle times and phases of a team, or of the organization for none, by calendar unit in a zone.
    ///
    /// # Errors
    /// When the database fails or takes too long.
    #[tracing::instrument(target = "spans", name = "query", level = "debug", skip_all, fields(query = "statistics"))]
    pub async fn statistics(
        &mut self,
        team: Option<TeamId>,
        filter: &Filter,
        bucketing: &Bucketing,
    ) -> Result<Statistics, StoreError> {
        let repositories = filter.repository_ids();
        let measures = bucketing.measures.map(|all| all.iter().map(|it| it.as_str()).collect::<Vec<_>>());
        let rows = sqlx::query!(
            r#"select
                bucket, measure as "measure!", n as "n!", (weight * 10000)::bigint as "units!", contributors as "contributors!",
                mean, percentiles, median_interval,
                -- Mostly all first commits are known, and no pull request is looked up.
                exists (
                    select from pr_attributions as a
                    inner join pull_requests as p on a.pull_request_id = p.id
                    where
                        a.team_id = $1 and a.merged_at >= $2 and a.merged_at < $3 and a.coding_seconds is null
                        and ($6::bigint [] is null or a.repository_id = any($6))
                        and ($7::text is null or p.base_ref = $7)
                        and p.detailed_at is distinct from p.updated_at
                )
                or $1 is null and exists (
                    select from pull_requests as p
                    where
                        p.merged_at >= $2 and p.merged_at < $3 and p.coding_seconds is null and p.deleted_at is null
                        and ($6::bigint [] is null or p.repository_id = any($6))
                        and ($7::text is null or p.base_ref = $7)
                        and p.detailed_at is distinct from p.updated_at
                ) as "lacks_details!"
            from merge_statistics($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"#,
            team.map(|team| team.0),
            filter.from,
            filter.to,
            bucketing.zone.name(),
            bucketing.interval.as_str(),
            repositories.as_deref(),
            filter.base,
            bucketing.ignore_weights,
            bucketing.count_contributors,
            measures as Option<Vec<&str>>
        )
        .fetch_all(&mut *self.connection)
        .await?;
        let mut total = Bucket::empty(filter.from.with_timezone(&bucketing.zone).date_naive());
        let mut buckets: Vec<Bucket> = Vec::new();
        let lacks_details = rows.first().is_some_and(|row| row.lacks_details);
        for row in rows {
            let bucket = match row.bucket {
                None => &mut total,
                Some(start) => {
                    if buckets.last().is_none_or(|last| last.start != start) {
                        buckets.push(Bucket::empty(start));
                    }
                    let last = buckets.len() - 1;
                    &mut buckets[last]
                }
            };
            match MeasureKind::from_name(&row.measure) {
                Some(kind) => {
                    let durations = durations(row.mean, row.percentiles, row.median_interval);
                    let (n, weight_units, contributors) = (row.n, row.units, row.contributors);
                    *bucket.measure_mut(kind) = Measure { n, weight_units, contributors, durations };
                }
                None if row.measure == ALL_MERGED => {
                    (bucket.prs_merged, bucket.weight_units, bucket.contributors) =
                        (row.n, row.units, row.contributors);
                }
                // From a newer schema.
                None => {}
            }
        }
        Ok(Statistics { buckets, total, lacks_details })
    }

    /// The durations of a team, or of the organization for none, in a range, without hidden weeks. `hidden` has the first day of each hidden week with
    /// the kind of duration that is hidden there. In the order of [`MeasureKind::ALL`].
    ///
    /// # Errors
    /// When the database fails or takes too long.
    #[tracing::instrument(
        target = "spans",
        name = "query",
        level = "debug",
        skip_all,
        fields(query = "durations_of_shown_weeks")
    )]
    pub async fn durations_of_shown_weeks(
        &mut self,
        team: Option<TeamId>,
        filter: &Filter,
        bucketing: &Bucketing,
        hidden: &[(MeasureKind, NaiveDate)],
    ) -> Result<Vec<(MeasureKind, Measure)>, StoreError> {
        let (kinds, weeks): (Vec<&str>, Vec<NaiveDate>) =
            hidden.iter().map(|(kind, week)| (kind.as_str(), *week)).unzip();
        let rows = sqlx::query_file!(
            "queries/durations_of_shown_weeks.sql",
            team.map(|team| team.0),
            filter.from,
            filter.to,
            bucketing.zone.name(),
            &kinds as &[&str],
            &weeks,
            bucketing.ignore_weights
        )
        .fetch_all(&mut *self.connection)
        .await?;
        let of_kind = |kind: MeasureKind| {
            let found = rows.iter().find(|row| row.kind == kind.as_str());
            found.map_or(Measure::NONE, |row| Measure {
                n: row.n,
                weight_units: row.units,
                contributors: row.contributors,
                durations: durations(row.mean, row.percentiles.clone(), row.median_interval.clone()),
            })
        };
        Ok(MeasureKind::ALL.into_iter().map(|kind| (kind, of_kind(kind))).collect())
    }

    /// Which merged pull requests count for teams, by calendar unit in a zone.
    ///
    /// # Errors
    /// When the database fails or takes too long.
    #[tracing::instrument(target = "spans", name = "query", level = "debug", skip_all, fields(query = "allocations"))]
    pub async fn allocations(&mut self, filter: &Filter, bucketing: &Bucketing) -> Result<Allocations, StoreError> {
        let repositories = filter.repository_ids();
        let rows = sqlx::query!(
            r#"select bucket, measure as "measure!", n as "n!", (weight * 10000)::bigint as "units!"
            from allocations($1, $2, $3, $4, $5, $6)"#,
            filter.from,
            filter.to,
            bucketing.zone.name(),
            bucketing.interval.as_str(),
            repositories.as_deref(),
            filter.base
        )
        .fetch_all(&mut *self.connection)
        .await?;
        let mut allocations = Allocations::default();
        for row in rows {
            let allocation = match row.bucket {
                None => &mut allocations.total,
                Some(start) => allocations.buckets.entry(start).or_default(),
            };
            match row.measure.as_str() {
                "allocated" => allocation.weight_units = row.units,
                "no_team" => allocation.no_team = row.n,
                "partly" => (allocation.partly, allocation.partly_units) = (row.n, row.units),
                "deleted" => allocation.deleted = row.n,
                // From a newer schema.
                _ => {}
            }
        }
        Ok(allocations)
    }

    /// How many people are behind each measure of a week for the smallest team, or those in none, by the name of the measure; of
    /// deliveries by a service, or by the first one for none.
    ///
    /// # Errors
    /// When the database fails or takes too long.
    #[tracing::instrument(
        target = "spans",
        name = "query",
        level = "debug",
        skip_all,
        fields(query = "smallest_groups")
    )]
    pub async fn smallest_groups(
        &mut self,
        service: Option<ServiceId>,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        zone: Tz,
    ) -> Result<HashMap<(NaiveDate, String), i64>, StoreError> {
        let rows = sqlx::query!(
            r#"select bucket as "bucket!", measure as "measure!", contributors as "contributors!" from smallest_groups($1, $2, $3, $4)"#,
            service.map(|service| service.0),
            from,
            to,
            zone.name()
        )
        .fetch_all(&mut *self.connection)
        .await?;
        Ok(rows.into_iter().map(|row| ((row.bucket, row.measure), row.contributors)).collect())
    }

    /// The pull requests behind a team's numbers, and those of its members that do not count, ordered by the instant
    /// that decides about membership. `after` is the cursor: the instant and id of the last known one.
    ///
    /// # Errors
    /// When the database fails or takes too long.
    #[tracing::instrument(
        target = "spans",
        name = "query",
        level = "debug",
        skip_all,
        fields(query = "team_pull_requests")
    )]
    pub async fn team_pull_requests(
        &mut self,
        team: TeamId,
        filter: &Filter,
        list: PullRequestList,
        audience: Audience,
        after: Option<(DateTime<Utc>, i64)>,
        limit: u32,
    ) -> Result<Vec<TeamPullRequest>, StoreError> {
        let is_delivered = list.state == Some(ListedState::Delivered);
        // The range is about other instants than the one that decides about membership.
        let is_open = list.state == Some(ListedState::Open);
        let from = if is_open || is_delivered { DateTime::UNIX_EPOCH } else { filter.from };
        let to = if is_open { LATEST } else { filter.to };
        let repositories = filter.repository_ids();
        let rows = sqlx::query_file!(
            "queries/team_pull_requests.sql",
            team.0,
            from,
            to,
            repositories.as_deref(),
            filter.base.as_deref(),
            after.map(|(at, _)| at),
            after.map(|(_, id)| id),
            i64::from(limit),
            audience == Audience::ThisTeam,
            list.state.map(<&str>::from),
            <&str>::from(list.order),
            filter.from
        )
        .fetch_all(&mut *self.connection)
        .await?;
        let rows = rows.into_iter().map(|row| {
            Ok(TeamPullRequest {
                membership: row.membership_id.zip(row.weight_units).map(|(membership, weight_units)| Member {
                    membership,
                    login: row.author.clone(),
                    weight_units,
                    joined_at: row.joined_at,
                    left_at: row.left_at,
                }),
                id: row.id,
                sort_at: row.sort_at,
                url: row.url,
                repository: row.repository,
                number: row.number,
                title: row.title,
                author: row.author,
                state: parse_stored(&row.state)?,
                is_draft: row.is_draft,
                base_ref: row.base_ref,
                created_at: row.created_at,
                merged_at: row.merged_at,
                closed_at: row.closed_at,
                first_review_at: row.first_review_at,
                attributed_at: row.attributed_at,
                attributed_by: parse_stored(&row.attributed_by)?,
                cycle_seconds: row.cycle_seconds,
                coding_seconds: row.coding_seconds,
                pickup_seconds: row.pickup_seconds,
                review_seconds: row.review_seconds,
                delivered_by: row.delivered_by.map(DeploymentId),
                via: row.via,
                delivered_at: row.delivered_at,
                lead_seconds: row.lead_seconds,
                deploy_seconds: row.deploy_seconds,
                missing: row.missing.as_deref().map(parse_stored).transpose()?,
                additions: row.additions,
                deletions: row.deletions,
                changed_files: row.changed_files,
                flags: row.flags,
                excluded: row.excluded.as_deref().map(parse_stored).transpose()?,
            })
        });
        rows.collect()
    }

    /// How long the open pull requests of a team have been open.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(
        target = "spans",
        name = "query",
        level = "debug",
        skip_all,
        fields(query = "open_pull_requests")
    )]
    pub async fn open_pull_requests(
        &mut self,
        team: TeamId,
        filter: &Filter,
        ignore_weights: bool,
        now: DateTime<Utc>,
    ) -> Result<OpenPullRequests, StoreError> {
        let repositories = filter.repository_ids();
        let row = sqlx::query!(
            r#"select
                count(*) as "n!",
                coalesce(sum(o.units), 0) as "units!",
                sum(o.age * o.units) / sum(o.units) as mean,
                max(o.age) as oldest,
                count(distinct o.author_id) as "contributors!",
                weighted_percentiles(
                    array_agg(weighted_sample(o.age, o.units) order by weighted_sample(o.age, o.units) desc),
                    sum(o.units),
                    array[0.5, 0.75, 0.9, 0.95]
                ) as percentiles,
                median_interval(
                    array_agg(weighted_sample(o.age, o.units) order by weighted_sample(o.age, o.units) desc)
                ) as median_interval
            from (
                select
                    a.author_id,
                    case when $5 then 10000 else (a.weight * 10000)::integer end as units,
                    greatest(extract(epoch from $2::timestamptz - a.created_at)::double precision, 0) as age
                from pr_attributions as a
                where
                    a.team_id = $1 and a.closed_at is null
                    and ($3::bigint [] is null or a.repository_id = any($3))
                    and (
                        $4::text is null
                        or (select p.base_ref from pull_requests as p where p.id = a.pull_request_id) = $4
                    )
            ) as o"#,
            team.0,
            now,
            repositories.as_deref(),
            filter.base,
            ignore_weights
        )
        .fetch_one(&mut *self.connection)
        .await?;
        Ok(OpenPullRequests {
            age: Measure {
                n: row.n,
                weight_units: row.units,
                contributors: row.contributors,
                durations: durations(row.mean, row.percentiles, row.median_interval),
            },
            oldest_seconds: row.oldest,
        })
    }
}
