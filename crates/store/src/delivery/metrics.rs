//! Services, and DORA's metrics over what is derived.

use std::collections::BTreeMap;
use std::ops::Range;

use chrono::{DateTime, NaiveDate, Utc};
use mergeline_domain::delivery::{FailureReason, MissingReason, ServiceId, Share};
use mergeline_domain::metrics::{Basis, Count, DoraBucket, DoraStatistics, Interval, Timing};
use mergeline_domain::{RepoName, TeamId, TeamSlug, start_of_day};

use crate::metrics::{data_status, durations};
use crate::revision::parse_stored;
use crate::{Bucketing, DataStatus, Filter, ReadSession, RepositoryId, StoreError};

/// How a request identifies a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceSelector {
    /// By id.
    Id(ServiceId),
    /// By its slug: a service of the teams file, or `owner.name` of a repository.
    Slug(String),
}

/// A service in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its id.
    pub id: ServiceId,
    /// Its slug.
    pub slug: String,
    /// The display name.
    pub name: String,
    /// Whether it is a repository that no service of the teams file has.
    pub is_implied: bool,
    /// Its repositories, by name.
    pub repositories: Vec<String>,
    /// The files of them that belong to it; `None` for all.
    pub paths: Option<Vec<String>>,
    /// Whether any deployment of it is known.
    pub has_deployments: bool,
    /// The environments that are its production; `None` for those of the whole file.
    pub environments: Option<Vec<String>>,
}

/// A team that owns a service for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceOwner {
    /// The team.
    pub team: TeamSlug,
    /// Its share.
    pub share: Share,
    /// Since when; `None` from the beginning.
    pub from: Option<DateTime<Utc>>,
    /// Until when; `None` for no end.
    pub to: Option<DateTime<Utc>>,
}

/// Whose deployments, pull requests and incidents: a team's, a service's, both, or with neither those of the organization.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DoraScope {
    /// Only of this team.
    pub team: Option<TeamId>,
    /// Only of this service.
    pub service: Option<ServiceId>,
}

/// How DORA's metrics are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoraTerms {
    /// By what deployments belong to teams.
    pub basis: Basis,
    /// Which reasons make a deployment a failed one.
    pub failures: Vec<FailureReason>,
    /// Only incidents with one of these severities; `None` for all.
    pub severities: Option<Vec<String>>,
}

/// How far the deployments of some services are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeploymentCoverage {
    /// Services with a known deployment, and without.
    pub with_source: i64,
    /// Services without any.
    pub without_source: i64,
    /// Everything that was created since then is stored; `None` if something was never read.
    pub covered_since: Option<DateTime<Utc>>,
    /// Everything is stored up to then; `None` if something was never read.
    pub complete_until: Option<DateTime<Utc>>,
    /// What some repository is covered since, and was last read: outside of that nothing is known. `None` before the first
    /// reading of any.
    pub known_since: Option<DateTime<Utc>>,
    /// When any was last read.
    pub known_until: Option<DateTime<Utc>>,
    /// All incidents are stored up to then; `None` if something was never read, or no label means incidents.
    pub incidents_until: Option<DateTime<Utc>>,
    /// Repositories whose incidents could not be read at the last attempt, with the code of the reason.
    pub incident_problems: Vec<(String, String)>,
    /// Whether the configuration says how incidents are known.
    pub wants_incidents: bool,
    /// Repositories whose deployments could not be read at the last attempt, with the code of the reason.
    pub problems: Vec<(String, String)>,
    /// Attempts of the range asked for that have no end after 24 hours.
    pub abandoned: i64,
    /// Whether merges count as deployments.
    pub has_assumed: bool,
    /// Merged pull requests that were not compared with the paths in force of services.
    pub without_files: i64,
    /// Whether incidents of any source are known.
    pub has_incidents: bool,
}

/// How far a source of deployments is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceCoverage {
    /// Its name: `github-deployments`, `github-actions`, `github-releases`, `merges` or `events`.
    pub source: String,
    /// The services that it reports.
    pub services: i64,
    /// Everything that was created since then is stored; of `events` since the first one. `None` if something was never read.
    pub covered_since: Option<DateTime<Utc>>,
    /// Everything is stored up to then; `events` count as read until now. `None` if something was never read.
    pub complete_until: Option<DateTime<Utc>>,
    /// The last one that was posted.
    pub last_event_at: Option<DateTime<Utc>>,
    /// Repositories that could not be read at the last attempt.
    pub failing: i64,
    /// The codes of the reasons.
    pub problems: Vec<String>,
}

/// How far one list of a repository is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListCoverage {
    /// The repository, as `owner/name`.
    pub repository: String,
    /// The source of deployments; `None` for a list of incidents.
    pub source: Option<String>,
    /// What of the source: a workflow, `releases` or `tags`, a branch; of incidents the label. Empty for everything.
    pub list: String,
    /// Everything that was created since then is stored. Incidents are read from the beginning.
    pub covered_since: Option<DateTime<Utc>>,
    /// Everything is stored up to then; `None` if it was never read.
    pub read_at: Option<DateTime<Utc>>,
    /// The code of the reason why it could not be read at the last attempt.
    pub problem: Option<String>,
}

impl ReadSession {
    /// How far each list of deployments and of incidents is read, by repository.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_coverage(&mut self) -> Result<Vec<ListCoverage>, StoreError> {
        let lists = sqlx::query_as!(
            ListCoverage,
            r#"select
                r.display_name as "repository!", d.source as "source?", d.list as "list!",
                d.covered_since as "covered_since?", d.read_at as "read_at?", d.problem as "problem?"
            from deployment_lists_read as d
            inner join repositories as r on d.repository_id = r.id and r.removed_at is null
            union all
            select r.display_name, null, l.label, null, p.read_at, p.problem
            from configuration_in_force as c
            cross join lateral jsonb_array_elements_text(coalesce(c.delivery -> 'incident_labels', '[]')) as l (label)
            inner join repositories as r on r.removed_at is null
            left join incident_progress as p on r.id = p.repository_id and l.label = p.label
            order by 1, 2, 3"#
        );
        Ok(lists.fetch_all(&mut *self.connection).await?)
    }

    /// The data status for some repositories.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn status(&mut self, repositories: &[RepoName]) -> Result<DataStatus, StoreError> {
        data_status(&mut self.connection, None, repositories).await
    }

    /// All services in force: those of the teams file in its order, then repositories by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn services(&mut self) -> Result<Vec<Service>, StoreError> {
        self.read_services(None, None).await
    }

    /// One service in force; `None` if there is none with that id or slug.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn service(&mut self, service: &ServiceSelector) -> Result<Option<Service>, StoreError> {
        let (id, slug) = match service {
            ServiceSelector::Id(id) => (Some(id.0), None),
            ServiceSelector::Slug(slug) => (None, Some(slug.to_lowercase())),
        };
        Ok(self.read_services(id, slug.as_deref()).await?.into_iter().next())
    }

    async fn read_services(&mut self, id: Option<i64>, slug: Option<&str>) -> Result<Vec<Service>, StoreError> {
        let rows = sqlx::query!(
            r#"select
                f.id as "id!", f.slug as "slug!", f.name as "name!", f.is_implied as "is_implied!",
                array(
                    select r.display_name
                    from repositories_of_services as o
                    inner join repositories as r on o.repository_id = r.id
                    where o.service_id = f.id
                    order by r.display_name
                ) as "repositories!: Vec<String>",
                exists (
                    select from deployments as d
                    where d.service_id = f.id and d.environment_group = 'production' and d.deleted_at is null
                ) as "has_deployments!",
                f.environments, s.paths
            from services_in_force as f
            inner join services as s on f.id = s.id
            where ($1::bigint is null or f.id = $1) and ($2::text is null or f.slug = $2)
            order by f.is_implied, f.place, f.slug, f.id"#,
            id,
            slug
        )
        .fetch_all(&mut *self.connection)
        .await?;
        let services = rows.into_iter().map(|row| Service {
            id: ServiceId(row.id),
            slug: row.slug,
            name: row.name,
            is_implied: row.is_implied,
            repositories: row.repositories,
            paths: row.paths,
            has_deployments: row.has_deployments,
            environments: row.environments,
        });
        Ok(services.collect())
    }

    /// The owners of all services that have any, in order of the start.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn service_owners(&mut self) -> Result<BTreeMap<ServiceId, Vec<ServiceOwner>>, StoreError> {
        let rows = sqlx::query!(
            r#"select o.service_id, t.slug, (o.weight * 100000000)::bigint as "share!", o.owned_from, o.owned_to
            from service_owners as o
            inner join teams as t on o.team_id = t.id
            where o.removed_in is null
            order by o.service_id, o.owned_from nulls first, t.slug"#
        )
        .fetch_all(&mut *self.connection)
        .await?;
        let mut owners: BTreeMap<ServiceId, Vec<ServiceOwner>> = BTreeMap::new();
        for row in rows {
            let (team, share) = (parse_stored(&row.slug)?, Share(row.share));
            let owner = ServiceOwner { team, share, from: row.owned_from, to: row.owned_to };
            owners.entry(ServiceId(row.service_id)).or_default().push(owner);
        }
        Ok(owners)
    }

    /// Whether a team has, or had, anything in a service: a share of a deployment, the service itself, or a pull request.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_part_in(&mut self, team: TeamId, service: ServiceId) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar!(
            r#"select
                exists (select from deployment_shares as s where s.team_id = $1 and s.service_id = $2)
                or exists (select from service_owners as o where o.team_id = $1 and o.service_id = $2)
                or exists (
                    select from repositories_of_services as o
                    inner join services as s on o.service_id = s.id
                    inner join pr_attributions as a on o.repository_id = a.repository_id
                    where
                        o.service_id = $2 and a.team_id = $1
                        and (
                            s.paths is null
                            or exists (
                                select from pull_request_services as t
                                where t.service_id = $2 and t.pull_request_id = a.pull_request_id and t.is_touched
                            )
                        )
                ) as "has_part!""#,
            team.0,
            service.0
        )
        .fetch_one(&mut *self.connection)
        .await?)
    }

    /// How far each source of deployments is read: of those of a service, or of all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deployment_sources(
        &mut self,
        service: Option<ServiceId>,
        now: DateTime<Utc>,
    ) -> Result<Vec<SourceCoverage>, StoreError> {
        let sources = sqlx::query_file_as!(
            SourceCoverage,
            "queries/deployment_sources.sql",
            service.map(|service| service.0),
            now
        );
        Ok(sources.fetch_all(&mut *self.connection).await?)
    }

    /// How far deployments are read: those of a service, or all of them. Abandoned ones are those created in `range`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deployment_coverage(
        &mut self,
        service: Option<ServiceId>,
        repositories: Option<&[RepositoryId]>,
        range: Range<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<DeploymentCoverage, StoreError> {
        let repositories: Option<Vec<i64>> = repositories.map(|all| all.iter().map(|it| it.0).collect());
        let row = sqlx::query_file!(
            "queries/deployment_coverage.sql",
            service.map(|service| service.0),
            now,
            repositories.as_deref(),
            range.start,
            range.end
        )
        .fetch_one(&mut *self.connection)
        .await?;
        let pairs = |texts: &[String]| -> Vec<(String, String)> {
            let pairs = texts.iter().filter_map(|text| text.rsplit_once(' '));
            pairs.map(|(name, code)| (name.to_owned(), code.to_owned())).collect()
        };
        Ok(DeploymentCoverage {
            with_source: row.with_source,
            without_source: row.without_source,
            covered_since: row.covered_since,
            complete_until: row.complete_until,
            known_since: row.known_since,
            known_until: row.known_until,
            incidents_until: row.incidents_until,
            incident_problems: pairs(&row.incident_problems),
            wants_incidents: row.wants_incidents,
            problems: pairs(&row.problems),
            abandoned: row.abandoned,
            has_assumed: row.has_assumed,
            without_files: row.without_files,
            has_incidents: row.has_incidents,
        })
    }

    /// DORA's metrics of a scope over `[from, to)`, by calendar unit in a zone.
    ///
    /// # Errors
    /// When the database fails or takes too long.
    #[tracing::instrument(target = "spans", name = "query", level = "debug", skip_all, fields(query = "dora"))]
    pub async fn dora(
        &mut self,
        scope: DoraScope,
        terms: &DoraTerms,
        (from, to): (NaiveDate, NaiveDate),
        bucketing: &Bucketing,
    ) -> Result<DoraStatistics, StoreError> {
        let (start, end) = (start_of_day(from, bucketing.zone), start_of_day(to, bucketing.zone));
        let mut table = Table::new(from, to, bucketing.interval);
        self.count_deployments(scope, terms, (start, end), bucketing, &mut table).await?;
        self.delivery_times(scope, &Filter::range(start, end), bucketing, &mut table).await?;
        self.recovery_times(scope, terms, (start, end), bucketing, &mut table).await?;
        self.open_incidents(scope, terms, to, bucketing, &mut table).await?;
        let undelivered = self.undelivered(scope, (start, end), bucketing).await?;
        Ok(DoraStatistics { undelivered, ..table.finish() })
    }

    async fn count_deployments(
        &mut self,
        scope: DoraScope,
        terms: &DoraTerms,
        (from, to): (DateTime<Utc>, DateTime<Utc>),
        bucketing: &Bucketing,
        table: &mut Table,
    ) -> Result<(), StoreError> {
        let reasons: Vec<&str> = terms.failures.iter().map(<&str>::from).collect();
        let rows = sqlx::query!(
            r#"select bucket, measure as "measure!", n as "n!", (share * 100000000)::bigint as "share!",
                ((n - attributed) * 100000000)::bigint as "unattributed!"
            from count_deployments($1, $2, $3, $4, $5, $6, $7, $8)"#,
            scope.team.map(|team| team.0),
            scope.service.map(|service| service.0),
            <&str>::from(terms.basis),
            from,
            to,
            bucketing.zone.name(),
            bucketing.interval.as_str(),
            &reasons as &[&str]
        )
        .fetch_all(&mut *self.connection)
        .await?;
        for row in rows {
            let share = if bucketing.ignore_weights { Share(row.n * Share::WHOLE.0) } else { Share(row.share) };
            let bucket = table.at(row.bucket);
            bucket.deployments.set(&row.measure, Count { n: row.n, share });
            if scope.team.is_none() {
                bucket.unattributed.set(&row.measure, Share(row.unattributed));
            }
        }
        Ok(())
    }

    /// Only the deliveries of DORA's metrics and their times, of pull requests of a filter.
    ///
    /// # Errors
    /// When the database fails or takes too long.
    #[tracing::instrument(target = "spans", name = "query", level = "debug", skip_all, fields(query = "deliveries"))]
    pub async fn deliveries(
        &mut self,
        scope: DoraScope,
        filter: &Filter,
        (from, to): (NaiveDate, NaiveDate),
        bucketing: &Bucketing,
    ) -> Result<DoraStatistics, StoreError> {
        let mut table = Table::new(from, to, bucketing.interval);
        self.delivery_times(scope, filter, bucketing, &mut table).await?;
        Ok(table.finish())
    }

    async fn delivery_times(
        &mut self,
        scope: DoraScope,
        filter: &Filter,
        bucketing: &Bucketing,
        table: &mut Table,
    ) -> Result<(), StoreError> {
        let repositories = filter.repository_ids();
        let rows = sqlx::query!(
            r#"select
                bucket, measure as "measure!", n as "n!", (weight * 100000000)::bigint as "share!",
                contributors as "contributors!", mean, percentiles, median_interval
            from delivery_times($1, $2, $3, $4, $5, $6, $7, $8, $9)"#,
            scope.team.map(|team| team.0),
            scope.service.map(|service| service.0),
            filter.from,
            filter.to,
            bucketing.zone.name(),
            bucketing.interval.as_str(),
            bucketing.ignore_weights,
            repositories.as_deref(),
            filter.base
        )
        .fetch_all(&mut *self.connection)
        .await?;
        for row in rows {
            let count = Count { n: row.n, share: Share(row.share) };
            let durations = durations(row.mean, row.percentiles, row.median_interval);
            let timing = Timing { count, durations, contributors: row.contributors };
            let bucket = table.at(row.bucket);
            match row.measure.as_str() {
                "delivered" => bucket.delivered = count,
                "change_lead_time" => bucket.lead_time = timing,
                "deploy" => bucket.deploy = timing,
                // From a newer schema.
                _ => {}
            }
        }
        Ok(())
    }

    async fn recovery_times(
        &mut self,
        scope: DoraScope,
        terms: &DoraTerms,
        (from, to): (DateTime<Utc>, DateTime<Utc>),
        bucketing: &Bucketing,
        table: &mut Table,
    ) -> Result<(), StoreError> {
        let reasons: Vec<&str> = terms.failures.iter().map(<&str>::from).collect();
        let rows = sqlx::query!(
            r#"select
                bucket, measure as "measure!", n as "n!", (weight * 100000000)::bigint as "share!", mean, percentiles,
                ((n - attributed) * 100000000)::bigint as unattributed
            from recovery_times($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"#,
            scope.team.map(|team| team.0),
            scope.service.map(|service| service.0),
            <&str>::from(terms.basis),
            from,
            to,
            bucketing.zone.name(),
            bucketing.interval.as_str(),
            &reasons as &[&str],
            terms.severities.as_deref(),
            bucketing.ignore_weights
        )
        .fetch_all(&mut *self.connection)
        .await?;
        for row in rows {
            let count = Count { n: row.n, share: Share(row.share) };
            let timing = Timing { count, durations: durations(row.mean, row.percentiles, None), contributors: 0 };
            let bucket = table.at(row.bucket);
            match row.measure.as_str() {
                "recovery_time" => bucket.recovery = timing,
                "mttr" => {
                    bucket.mttr = timing;
                    if scope.team.is_none() {
                        bucket.unattributed.incidents = Share(row.unattributed.unwrap_or_default());
                    }
                }
                "deployment_recovery_time" => bucket.deployment_recovery = timing,
                // From a newer schema.
                _ => {}
            }
        }
        Ok(())
    }

    async fn open_incidents(
        &mut self,
        scope: DoraScope,
        terms: &DoraTerms,
        to: NaiveDate,
        bucketing: &Bucketing,
        table: &mut Table,
    ) -> Result<(), StoreError> {
        let ends: BTreeMap<NaiveDate, Option<NaiveDate>> =
            table.buckets.keys().map(|start| (bucketing.interval.end(*start).min(to), Some(*start))).collect();
        let days: Vec<NaiveDate> = ends.keys().copied().chain([to]).collect();
        let starts: Vec<Option<NaiveDate>> = ends.values().copied().chain([None]).collect();
        let instants: Vec<DateTime<Utc>> = days.iter().map(|day| start_of_day(*day, bucketing.zone)).collect();
        let rows = sqlx::query!(
            r#"select
                e.bucket, count(*) as "n!", (sum(i.share) * 100000000)::bigint as "share!",
                ((count(*) - sum(i.attributed)) * 100000000)::bigint as "unattributed!",
                count(*) filter (where i.has_deployment) as "linked!",
                (coalesce(sum(i.share) filter (where i.has_deployment), 0) * 100000000)::bigint as "linked_share!"
            from unnest($5::date [], $6::timestamptz []) as e (bucket, at)
            inner join scoped_incidents($1, $2, $3, $4) as i
                on i.started_at < e.at and (i.resolved_at is null or i.resolved_at >= e.at)
            -- What was over before the first of them needs no comparing.
            where i.resolved_at is null or i.resolved_at >= $7
            group by e.bucket"#,
            scope.team.map(|team| team.0),
            scope.service.map(|service| service.0),
            <&str>::from(terms.basis),
            terms.severities.as_deref(),
            &starts as &[Option<NaiveDate>],
            &instants,
            instants.iter().min().copied()
        )
        .fetch_all(&mut *self.connection)
        .await?;
        for row in rows {
            let count = |n: i64, share: i64| Count {
                n,
                share: if bucketing.ignore_weights { Share(n * Share::WHOLE.0) } else { Share(share) },
            };
            let bucket = table.at(row.bucket);
            bucket.open_incidents = count(row.n, row.share);
            bucket.open_linked_incidents = count(row.linked, row.linked_share);
            if scope.team.is_none() {
                bucket.unattributed.open_incidents = Share(row.unattributed);
            }
        }
        Ok(())
    }

    /// Pull requests of a scope that were merged in a range and not delivered so far, by reason.
    async fn undelivered(
        &mut self,
        scope: DoraScope,
        (from, to): (DateTime<Utc>, DateTime<Utc>),
        bucketing: &Bucketing,
    ) -> Result<BTreeMap<MissingReason, Count>, StoreError> {
        let rows = sqlx::query!(
            r#"select reason as "reason!", n as "n!", (weight * 100000000)::bigint as "share!" from undelivered($1, $2, $3, $4)"#,
            scope.team.map(|team| team.0),
            scope.service.map(|service| service.0),
            from,
            to
        )
        .fetch_all(&mut *self.connection)
        .await?;
        let rows = rows.into_iter().map(|row| {
            let share = if bucketing.ignore_weights { Share(row.n * Share::WHOLE.0) } else { Share(row.share) };
            Ok((parse_stored(&row.reason)?, Count { n: row.n, share }))
        });
        rows.collect()
    }
}

/// The buckets of a range while they are filled.
struct Table {
    buckets: BTreeMap<NaiveDate, DoraBucket>,
    total: DoraBucket,
}

impl Table {
    fn new(from: NaiveDate, to: NaiveDate, interval: Interval) -> Self {
        let mut buckets = BTreeMap::new();
        let mut start = interval.start(from);
        while start < to {
            buckets.insert(start, DoraBucket { start, ..DoraBucket::default() });
            start = interval.end(start);
        }
        Self { buckets, total: DoraBucket { start: from, ..DoraBucket::default() } }
    }

    /// The bucket that starts then; the whole range for none.
    fn at(&mut self, start: Option<NaiveDate>) -> &mut DoraBucket {
        match start {
            Some(start) => self.buckets.entry(start).or_insert(DoraBucket { start, ..DoraBucket::default() }),
            None => &mut self.total,
        }
    }

    fn finish(self) -> DoraStatistics {
        DoraStatistics {
            buckets: self.buckets.into_values().collect(),
            total: self.total,
            undelivered: BTreeMap::new(),
        }
    }
}
