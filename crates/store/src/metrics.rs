//! The answers: teams, velocity and cycle times, coverage.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use mergeline_domain::{TeamId, TeamSlug};

use crate::configuration::parse_stored;
use crate::{Store, StoreError};

/// How a request names a team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TeamRef {
    /// By number.
    Id(TeamId),
    /// By slug.
    Slug(TeamSlug),
}

/// A team with its present members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    /// The number.
    pub id: TeamId,
    /// The slug.
    pub slug: TeamSlug,
    /// The name for people.
    pub name: String,
    /// When it was taken out of the configuration, if it was.
    pub archived_at: Option<DateTime<Utc>>,
    /// How many people are members now.
    pub members: i64,
    /// The sum of their weights in ten-thousandths.
    pub weight_units: i64,
}

/// The calendar unit of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interval {
    /// ISO weeks, Monday to Sunday.
    Week,
    /// Calendar months.
    Month,
}

impl Interval {
    fn as_str(self) -> &'static str {
        match self {
            Self::Week => "week",
            Self::Month => "month",
        }
    }
}

/// Velocity and cycle times of one team over a range.
#[derive(Debug, Clone, PartialEq)]
pub struct CycleTimes {
    /// One for each bucket that the range touches, in order, empty ones included.
    pub buckets: Vec<Bucket>,
    /// The whole range; its `start` is the range's first bucket.
    pub total: Bucket,
}

/// The merged pull requests of one bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    /// The first day of the calendar unit.
    pub start: NaiveDate,
    /// Distinct pull requests.
    pub prs_merged: i64,
    /// Their weights' sum in ten-thousandths.
    pub weighted_units: i64,
    /// Distinct authors.
    pub contributors: i64,
    /// Pull requests with a duration: merges before the creation have none.
    pub duration_n: i64,
    /// Their weights' sum in ten-thousandths.
    pub duration_weight_units: i64,
    /// Their durations, `None` when there are none.
    pub durations: Option<Durations>,
}

/// Weighted statistics of durations, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Durations {
    /// The weighted mean.
    pub mean: f64,
    /// The weighted median.
    pub p50: f64,
    /// The weighted 75th percentile.
    pub p75: f64,
    /// The weighted 90th percentile.
    pub p90: f64,
    /// The weighted 95th percentile.
    pub p95: f64,
}

/// How far the collection has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// Configured repositories that were collected completely at least once, and whose last attempt succeeded.
    pub collected: i64,
    /// Configured repositories whose last attempt failed. What was collected before is counted.
    pub failing: Vec<String>,
    /// Configured repositories that are not collected completely for everybody yet.
    pub pending: Vec<String>,
    /// Everything that changed since then is stored. `None` before the first complete collection.
    pub covered_since: Option<DateTime<Utc>>,
    /// When the oldest of the last complete collections began: nothing newer is claimed. `None` before the first.
    pub data_as_of: Option<DateTime<Utc>>,
}

impl Store {
    /// All teams, those in force first, then the archived ones, by slug.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn teams(&self, now: DateTime<Utc>) -> Result<Vec<Team>, StoreError> {
        self.read_teams(None, None, now).await
    }

    /// One team, `None` when there is none of that number or slug.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn team(&self, team: &TeamRef, now: DateTime<Utc>) -> Result<Option<Team>, StoreError> {
        let teams = match team {
            TeamRef::Id(id) => self.read_teams(Some(id.0), None, now).await?,
            TeamRef::Slug(slug) => self.read_teams(None, Some(slug.as_str()), now).await?,
        };
        Ok(teams.into_iter().next())
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
                count(m.id) as "members!",
                coalesce(sum(m.weight) * 10000, 0)::bigint as "weight_units!"
            from teams as t
            left join team_memberships as m
                on t.id = m.team_id
                and m.removed_in is null
                and tstzrange(m.joined_at, m.left_at, '[)') @> $3::timestamptz
            where ($1::bigint is null or t.id = $1) and ($2::text is null or t.slug = $2)
            group by t.id
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
                })
            })
            .collect()
    }

    /// Velocity and cycle times of a team over `[from, to)`, by calendar unit in a zone.
    ///
    /// # Errors
    /// When the database fails or takes too long.
    pub async fn cycle_times(
        &self,
        team: TeamId,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        zone: Tz,
        interval: Interval,
    ) -> Result<CycleTimes, StoreError> {
        let rows = sqlx::query!(
            r#"select
                bucket,
                prs_merged as "prs_merged!",
                (prs_merged_weighted * 10000)::bigint as "weighted_units!",
                contributors as "contributors!",
                duration_n as "duration_n!",
                (duration_weight * 10000)::bigint as "duration_weight_units!",
                mean_seconds,
                percentile_seconds
            from team_cycle_times($1, $2, $3, $4, $5)"#,
            team.0,
            from,
            to,
            zone.name(),
            interval.as_str()
        )
        .fetch_all(&self.pool)
        .await?;
        let mut buckets = Vec::with_capacity(rows.len());
        let mut total = None;
        for row in rows {
            let percentiles: Option<[f64; 4]> = row.percentile_seconds.and_then(|values| values.try_into().ok());
            let durations = row.mean_seconds.zip(percentiles);
            let bucket = Bucket {
                start: row.bucket.unwrap_or(from.with_timezone(&zone).date_naive()),
                prs_merged: row.prs_merged,
                weighted_units: row.weighted_units,
                contributors: row.contributors,
                duration_n: row.duration_n,
                duration_weight_units: row.duration_weight_units,
                durations: durations.map(|(mean, [p50, p75, p90, p95])| Durations { mean, p50, p75, p90, p95 }),
            };
            if row.bucket.is_some() {
                buckets.push(bucket);
            } else {
                total = Some(bucket);
            }
        }
        let total = total.ok_or_else(|| StoreError::Other("no row for the whole range".into()))?;
        Ok(CycleTimes { buckets, total })
    }

    /// How far the collection has come, over all configured repositories.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn coverage(&self) -> Result<Coverage, StoreError> {
        let row = sqlx::query_file!("queries/coverage.sql").fetch_one(&self.pool).await?;
        Ok(Coverage {
            collected: row.collected,
            failing: row.failing_names.unwrap_or_default(),
            pending: row.pending_names.unwrap_or_default(),
            covered_since: row.covered_since,
            data_as_of: row.data_as_of,
        })
    }

    /// The time zone of the configuration in force, UTC before the first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn timezone(&self) -> Result<Tz, StoreError> {
        let zone = sqlx::query_scalar!(r#"select timezone as "timezone!" from configuration_in_force"#)
            .fetch_optional(&self.pool)
            .await?;
        zone.map_or(Ok(Tz::UTC), |name| parse_stored(&name))
    }
}
