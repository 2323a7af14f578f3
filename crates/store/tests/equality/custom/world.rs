//! Random rows of all things that metrics are of, and what each of them is in plain Rust.

use std::collections::BTreeMap;

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use mergeline_domain::insight::{FlagField, MetricMeasure, MetricOf, MetricState, TextField};
use mergeline_fake_github::at;
use mergeline_test_support::TestDatabase;
use serde_json::{Value, json};
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, PgPool};

use super::{BRANCHES, DAYS, FIRST_DAY, LABELS, TITLES};
use crate::common::fresh;

pub(super) type At = DateTime<Utc>;

const ROWS: i64 = 160;
const REVIEWS: i64 = 300;
const DEPLOYMENTS: i64 = 100;
const INCIDENTS: i64 = 100;
/// What a whole weight is.
const WHOLE: i64 = 100_000_000;

/// Something of a team, as everything that a metric can ask of it.
#[derive(Debug, Default)]
pub(super) struct Thing {
    pub(super) of: Option<MetricOf>,
    pub(super) team: i64,
    /// Of deployments and incidents.
    pub(super) basis: Option<String>,
    pub(super) id: i64,
    /// In hundred-millionths.
    pub(super) weight: i64,
    pub(super) author: Option<i64>,
    /// Who reviewed; somebody outside has no number.
    pub(super) reviewer: Option<i64>,
    pub(super) is_read: bool,
    /// While it may have had reviews that are not read; then it is nothing else.
    pub(super) unread_since: Option<(At, At)>,
    /// When it happened, by each event by which it is counted.
    pub(super) events: Vec<(Option<MetricState>, At)>,
    pub(super) texts: BTreeMap<TextField, Vec<String>>,
    pub(super) measures: BTreeMap<MetricMeasure, f64>,
    pub(super) flags: BTreeMap<FlagField, bool>,
}

/// All things of all teams.
pub(super) async fn things(pool: &PgPool) -> Result<Vec<Thing>> {
    let mut things: Vec<Thing> = facts(pool).await?.iter().map(Fact::thing).collect();
    things.extend(reviews(pool).await?);
    things.extend(deployments(pool).await?);
    things.extend(incidents(pool).await?);
    Ok(things)
}

/// A pull request's share in a team, with its facts.
#[derive(Debug, sqlx::FromRow)]
#[expect(clippy::struct_excessive_bools, reason = "a row has what its table has")]
struct Fact {
    team_id: i64,
    units: i32,
    id: i64,
    names: Vec<String>,
    author_id: i64,
    title: String,
    is_draft: bool,
    base_ref: Option<String>,
    head_ref: Option<String>,
    labels: Option<Vec<String>>,
    created_at: At,
    closed_at: Option<At>,
    merged_at: Option<At>,
    delivered_at: Option<At>,
    is_delivery_assumed: bool,
    first_commit_at: Option<At>,
    first_review_at: Option<At>,
    first_approval_at: Option<At>,
    ready_at: Option<At>,
    additions: Option<i32>,
    deletions: Option<i32>,
    changed_files: Option<i32>,
    is_read: bool,
    updated_at: At,
    are_reviews_read: bool,
    reverts: Option<i64>,
    reverts_a_revert: bool,
}

async fn facts(pool: &PgPool) -> Result<Vec<Fact>> {
    let facts = sqlx::query_as(
        "select a.team_id, (a.weight * 10000)::integer as units, p.id, array_remove(array[r.name, r.current_name, r.display_name], null) as names,
            p.author_id, p.title, p.is_draft, p.base_ref, p.head_ref, p.labels, p.created_at, p.closed_at, p.merged_at,
            p.delivered_at, p.is_delivery_assumed, p.first_commit_at, p.first_review_at, p.first_approval_at, p.ready_at,
            p.additions, p.deletions, p.changed_files, coalesce(p.detailed_at = p.updated_at, false) as is_read, p.reverts, p.updated_at,
            coalesce(p.reviews_at = p.updated_at, false) and not p.has_unread_reviews as are_reviews_read,
            coalesce((
                select w.reverts is not null from pull_requests as w
                where w.repository_id = p.repository_id and w.number = p.reverts
            ), false) as reverts_a_revert
        from pr_attributions as a
        inner join pull_requests as p on a.pull_request_id = p.id
        inner join repositories as r on p.repository_id = r.id",
    );
    Ok(facts.fetch_all(pool).await?)
}

impl Fact {
    fn seconds(from: Option<At>, to: Option<At>) -> Option<f64> {
        let (from, to) = (from?, to?);
        (from <= to).then(|| (to - from).as_seconds_f64())
    }

    fn measure(&self, measure: MetricMeasure) -> Option<f64> {
        let ready = self.ready_at.unwrap_or(self.created_at);
        let is_late = self.first_review_at.zip(self.merged_at).is_some_and(|(review, merge)| review > merge);
        let review = self.first_review_at.filter(|_| !is_late);
        match measure {
            MetricMeasure::CycleTime => Self::seconds(Some(self.created_at), self.merged_at),
            MetricMeasure::Coding => Self::seconds(self.first_commit_at, Some(self.created_at)),
            MetricMeasure::Pickup => Self::seconds(Some(ready), review),
            MetricMeasure::Review => Self::seconds(review.filter(|review| *review >= self.created_at), self.merged_at),
            MetricMeasure::Deploy => {
                Self::seconds(self.merged_at, self.delivered_at.filter(|_| !self.is_delivery_assumed))
            }
            MetricMeasure::LeadTime => Self::seconds(self.first_commit_at, self.delivered_at),
            MetricMeasure::Lines => Some(f64::from(self.additions? + self.deletions?)),
            MetricMeasure::Files => self.changed_files.map(f64::from),
            MetricMeasure::RecoveryTime | MetricMeasure::PullRequests | MetricMeasure::Wait => None,
        }
    }

    fn texts(&self, field: TextField) -> Vec<&str> {
        match field {
            TextField::Repositories => self.names.iter().map(String::as_str).collect(),
            TextField::BaseBranches => self.base_ref.as_deref().into_iter().collect(),
            TextField::Branches => self.head_ref.as_deref().into_iter().collect(),
            TextField::Labels => self.labels.iter().flatten().map(String::as_str).collect(),
            TextField::Titles => vec![&self.title],
            TextField::Services | TextField::Kinds | TextField::Severities => Vec::new(),
        }
    }

    fn flag(&self, field: FlagField) -> Option<bool> {
        let is_set = match field {
            FlagField::Reviewed => self.first_review_at.is_some(),
            FlagField::Approved => self.first_approval_at.is_some(),
            FlagField::Draft => return Some(self.is_draft),
            FlagField::Revert => self.reverts.is_some() && !self.reverts_a_revert,
            FlagField::Failure | FlagField::Rework | FlagField::Deployment | FlagField::Internal => return None,
        };
        // Whether something has not happened is known only when all was read.
        (is_set || self.is_read).then_some(is_set)
    }

    fn state(&self) -> Option<(MetricState, At)> {
        let closed = self.closed_at.map(|at| (MetricState::Closed, at));
        self.merged_at.map(|at| (MetricState::Merged, at)).or(closed)
    }

    fn thing(&self) -> Thing {
        let texts = MetricOf::PullRequests.texts().iter();
        let texts = texts.map(|field| (*field, self.texts(*field).into_iter().map(str::to_owned).collect()));
        let measures = MetricOf::PullRequests.measures().iter();
        let measures = measures.filter_map(|measure| Some((*measure, self.measure(*measure)?)));
        let flags = MetricOf::PullRequests.flags().iter();
        Thing {
            of: Some(MetricOf::PullRequests),
            team: self.team_id,
            id: self.id,
            weight: i64::from(self.units) * 10_000,
            author: Some(self.author_id),
            is_read: self.is_read,
            events: self.state().map(|(state, at)| (Some(state), at)).into_iter().collect(),
            texts: texts.collect(),
            measures: measures.collect(),
            flags: flags.filter_map(|flag| Some((*flag, self.flag(*flag)?))).collect(),
            ..Thing::default()
        }
    }
}

/// A membership or a share of a service.
#[derive(Debug, sqlx::FromRow)]
struct Part {
    team_id: i64,
    of_id: i64,
    units: i64,
    since: Option<At>,
    until: Option<At>,
}

impl Part {
    fn is_at(&self, at: At) -> bool {
        self.since.is_none_or(|since| since <= at) && self.until.is_none_or(|until| at < until)
    }
}

#[derive(Debug, sqlx::FromRow)]
struct Review {
    pull_request_id: i64,
    place: i32,
    author_id: i64,
    reviewer_id: Option<i64>,
    submitted_at: At,
}

async fn reviews(pool: &PgPool) -> Result<Vec<Thing>> {
    let parts: Vec<Part> = sqlx::query_as(
        "select team_id, person_id as of_id, (weight * 100000000)::bigint as units, joined_at as since, left_at as until
        from team_memberships where removed_in is null",
    )
    .fetch_all(pool)
    .await?;
    let reviews: Vec<Review> = sqlx::query_as("select * from pull_request_reviews").fetch_all(pool).await?;
    let facts: BTreeMap<i64, Fact> = facts(pool).await?.into_iter().map(|fact| (fact.id, fact)).collect();
    let mut things = Vec::new();
    // What may have reviews that are not read: from its opening to its last change.
    for fact in facts.values().filter(|fact| !fact.are_reviews_read) {
        for part in parts.iter().filter(|part| part.of_id == fact.author_id) {
            let unread_since = Some((fact.created_at, fact.updated_at));
            things.push(Thing { of: Some(MetricOf::Reviews), team: part.team_id, unread_since, ..Thing::default() });
        }
    }
    for review in &reviews {
        let Some(fact) = facts.get(&review.pull_request_id).filter(|fact| fact.author_id == review.author_id) else {
            continue;
        };
        let is_of = |part: &&Part| part.of_id == review.author_id && part.is_at(review.submitted_at);
        for part in parts.iter().filter(is_of) {
            let is_same = |other: &Part| {
                Some(other.of_id) == review.reviewer_id
                    && other.team_id == part.team_id
                    && other.is_at(review.submitted_at)
            };
            let ready = fact.ready_at.unwrap_or(fact.created_at);
            let wait = Fact::seconds(Some(ready), Some(review.submitted_at));
            let measures = [MetricMeasure::Lines, MetricMeasure::Files].map(|it| (it, fact.measure(it)));
            let measures = measures.into_iter().chain([(MetricMeasure::Wait, wait)]);
            let thing = fact.thing();
            things.push(Thing {
                of: Some(MetricOf::Reviews),
                team: part.team_id,
                id: review.pull_request_id * 100 + i64::from(review.place),
                weight: part.units,
                author: Some(review.author_id),
                reviewer: review.reviewer_id,
                events: vec![(None, review.submitted_at)],
                measures: measures.filter_map(|(measure, value)| Some((measure, value?))).collect(),
                flags: BTreeMap::from([(FlagField::Internal, parts.iter().any(is_same))]),
                ..thing
            });
        }
    }
    Ok(things)
}

#[derive(Debug, sqlx::FromRow)]
struct Deployment {
    basis: String,
    team_id: i64,
    units: i64,
    id: i64,
    service: String,
    finished_at: At,
    succeeded_at: Option<At>,
    kind: Option<String>,
    is_known: bool,
    pull_requests: i32,
    rework: Vec<String>,
    failures: i64,
    remedied_by_it: Option<At>,
    first_remedy: Option<At>,
}

async fn deployments(pool: &PgPool) -> Result<Vec<Thing>> {
    let rows: Vec<Deployment> = sqlx::query_as(
        "select s.basis, s.team_id, (s.share * 100000000)::bigint as units, f.deployment_id as id,
            coalesce(w.slug, replace(r.display_name, '/', '.')) as service, f.finished_at, f.succeeded_at, f.kind,
            f.is_known, f.pull_requests, f.rework, f.remedied_at as remedied_by_it,
            (select count(*) from deployment_failures as x where x.deployment_id = f.deployment_id) as failures,
            (select min(x.remedied_at) from deployment_failures as x where x.deployment_id = f.deployment_id) as first_remedy
        from deployment_shares as s
        inner join deployment_facts as f on s.deployment_id = f.deployment_id
        inner join services as w on f.service_id = w.id
        left join repositories as r on w.repository_id = r.id
        where f.kind is distinct from 'rollout'",
    )
    .fetch_all(pool)
    .await?;
    let thing = |row: Deployment| {
        let state = if row.kind.is_some() { MetricState::Succeeded } else { MetricState::Failed };
        let has_failed = row.failures > 0;
        let remedied = row.remedied_by_it.or(row.first_remedy).filter(|_| has_failed);
        let recovery = remedied.zip(row.succeeded_at).map(|(end, start)| (end - start).as_seconds_f64());
        let pull_requests = row.is_known.then(|| f64::from(row.pull_requests));
        let measures = [(MetricMeasure::RecoveryTime, recovery), (MetricMeasure::PullRequests, pull_requests)];
        Thing {
            of: Some(MetricOf::Deployments),
            team: row.team_id,
            basis: Some(row.basis),
            id: row.id,
            weight: row.units,
            is_read: true,
            events: vec![(Some(state), row.finished_at)],
            texts: BTreeMap::from([
                (TextField::Services, vec![row.service]),
                (TextField::Kinds, row.kind.clone().into_iter().collect()),
            ]),
            measures: measures.into_iter().filter_map(|(measure, value)| Some((measure, value?))).collect(),
            flags: BTreeMap::from([
                (FlagField::Failure, row.kind.is_some() && has_failed),
                (FlagField::Rework, !row.rework.is_empty()),
            ]),
            ..Thing::default()
        }
    };
    Ok(rows.into_iter().map(thing).collect())
}

#[derive(Debug, sqlx::FromRow)]
struct Incident {
    id: i64,
    service_id: Option<i64>,
    service: Option<String>,
    started_at: At,
    resolved_at: Option<At>,
    severity: Option<String>,
    deployment_id: Option<i64>,
    title: String,
    labels: Vec<String>,
}

async fn incidents(pool: &PgPool) -> Result<Vec<Thing>> {
    let rows: Vec<Incident> = sqlx::query_as(
        "select f.incident_id as id, f.service_id, coalesce(w.slug, replace(r.display_name, '/', '.')) as service,
            f.started_at, f.resolved_at, f.severity, f.deployment_id, i.title, i.labels
        from incident_facts as f
        inner join incidents as i on f.incident_id = i.id
        left join services as w on f.service_id = w.id
        left join repositories as r on w.repository_id = r.id",
    )
    .fetch_all(pool)
    .await?;
    let owners: Vec<Part> = sqlx::query_as(
        "select team_id, service_id as of_id, (weight * 100000000)::bigint as units, owned_from as since, owned_to as until
        from service_owners where removed_in is null",
    )
    .fetch_all(pool)
    .await?;
    let shares: Vec<Part> = sqlx::query_as(
        "select team_id, deployment_id as of_id, (share * 100000000)::bigint as units, null::timestamptz as since,
            null::timestamptz as until
        from deployment_shares where basis = 'delivered'",
    )
    .fetch_all(pool)
    .await?;
    let mut things = Vec::new();
    for row in &rows {
        let owned = owners.iter().filter(|part| Some(part.of_id) == row.service_id && part.is_at(row.started_at));
        let delivered = shares.iter().filter(|part| Some(part.of_id) == row.deployment_id);
        let parts = owned.map(|part| ("owned", part)).chain(delivered.map(|part| ("delivered", part)));
        for (basis, part) in parts {
            let resolved = row.resolved_at.map(|at| (Some(MetricState::Resolved), at));
            let recovery = row.resolved_at.and_then(|end| Fact::seconds(Some(row.started_at), Some(end)));
            things.push(Thing {
                of: Some(MetricOf::Incidents),
                team: part.team_id,
                basis: Some(basis.to_owned()),
                id: row.id,
                weight: part.units,
                is_read: true,
                events: resolved.into_iter().chain([(Some(MetricState::Started), row.started_at)]).collect(),
                texts: BTreeMap::from([
                    (TextField::Services, row.service.clone().into_iter().collect()),
                    (TextField::Severities, row.severity.clone().into_iter().collect()),
                    (TextField::Titles, vec![row.title.clone()]),
                    (TextField::Labels, row.labels.clone()),
                ]),
                measures: recovery.into_iter().map(|seconds| (MetricMeasure::RecoveryTime, seconds)).collect(),
                flags: BTreeMap::from([(FlagField::Deployment, row.deployment_id.is_some())]),
                ..Thing::default()
            });
        }
    }
    Ok(things)
}

/// Two teams that share people, two repositories and two services, with random pull requests, reviews, deployments and incidents.
pub(super) async fn world(random: &mut Rng) -> Result<TestDatabase> {
    let (database, store) = fresh().await?;
    let text = "version: 1\nrepositories: [acme/api, acme/Web_1]\nservices:\n\
                - { slug: shop, name: Shop, repositories: [acme/api], owners: [{ team: one, weight: 0.6, to: 2026-04-20 }, { team: two, weight: 0.4, from: 2026-04-01 }] }\n\
                teams:\n\
                - { slug: one, members: [{ github: ana }, { github: bob, weight: 0.5 }, { github: cho, weight: 0.3333, from: 2026-03-20 }] }\n\
                - { slug: two, members: [{ github: dov }, { github: bob, weight: 0.25, to: 2026-04-10 }, { github: eve, weight: 0.0001 }] }\n";
    let file = mergeline_domain::teams_file::TeamsFile::parse("teams.yaml", text.as_bytes())
        .map_err(|problems| anyhow::anyhow!("{problems}"))?;
    crate::common::apply(&store, &file).await?;
    let pool = database.pool().await?;
    let people: Vec<i64> = sqlx::query_scalar("select id from people order by id").fetch_all(&pool).await?;
    let rows: Vec<Value> = (1..=ROWS).map(|number| row(random, number, &people)).collect();
    sqlx::query(
        "insert into pull_requests (
            repository_id, instance_id, number, external_id, author_id, title, state, is_draft, base_ref, created_at, updated_at,
            closed_at, merged_at, detailed_at, first_commit_at, first_review_at, first_approval_at, ready_at, additions, deletions,
            changed_files, head_ref, labels, reverts, delivered_at, is_delivery_assumed, reviews_at, has_unread_reviews
        )
        select
            repository_id, 1, number, external_id, author_id, title, state, is_draft, base_ref, created_at, updated_at,
            closed_at, merged_at, detailed_at, first_commit_at, first_review_at, first_approval_at, ready_at, additions, deletions,
            changed_files, head_ref, labels, reverts, delivered_at, is_delivery_assumed, reviews_at, has_unread_reviews
        from jsonb_populate_recordset(null::pull_requests, $1)",
    )
    .bind(Json(rows))
    .execute(&pool)
    .await?;
    sqlx::query(
        "insert into pr_attributions (
            pull_request_id, team_id, membership_id, weight, repository_id, author_id, created_at, closed_at, merged_at
        )
        select p.id, m.team_id, m.id, m.weight, p.repository_id, p.author_id, p.created_at, p.closed_at, p.merged_at
        from pull_requests as p
        inner join team_memberships as m on p.author_id = m.person_id",
    )
    .execute(&pool)
    .await?;
    let ids: Vec<i64> = sqlx::query_scalar("select id from pull_requests order by id").fetch_all(&pool).await?;
    let authors: Vec<i64> =
        sqlx::query_scalar("select author_id from pull_requests order by id").fetch_all(&pool).await?;
    let rows: Vec<Value> = (1..=REVIEWS).map(|place| review(random, place, (&ids, &authors), &people)).collect();
    insert(&pool, "pull_request_reviews", "pull_request_id, place, author_id, reviewer_id, submitted_at", rows).await?;
    deploy(random, &pool).await?;
    let tables =
        "pull_requests, pr_attributions, pull_request_reviews, deployment_shares, deployment_facts, incident_facts";
    sqlx::query(AssertSqlSafe(format!("analyze {tables}"))).execute(&pool).await?;
    Ok(database)
}

async fn insert(pool: &PgPool, table: &str, columns: &str, rows: Vec<Value>) -> Result<()> {
    let statement =
        format!("insert into {table} ({columns}) select {columns} from jsonb_populate_recordset(null::{table}, $1)");
    sqlx::query(AssertSqlSafe(statement)).bind(Json(rows)).execute(pool).await?;
    Ok(())
}

fn review(random: &mut Rng, place: i64, (ids, authors): (&[i64], &[i64]), people: &[i64]) -> Value {
    let index = random.usize(0..ids.len());
    json!({
        "pull_request_id": ids[index],
        "place": place,
        // Sometimes of a former author.
        "author_id": if random.u32(0..10) == 0 { random.choice(people).copied() } else { Some(authors[index]) },
        "reviewer_id": random.choice(people).filter(|_| random.u32(0..4) > 0),
        "submitted_at": at(FIRST_DAY) + TimeDelta::minutes(random.i64(0..DAYS * 24 * 60)),
    })
}

/// Deployments of two services with failures, shares of both bases, and incidents.
async fn deploy(random: &mut Rng, pool: &PgPool) -> Result<()> {
    let services: Vec<i64> = sqlx::query_scalar("select id from services order by id").fetch_all(pool).await?;
    let teams: Vec<i64> = sqlx::query_scalar("select id from teams order by id").fetch_all(pool).await?;
    let moment = |random: &mut Rng| at(FIRST_DAY) + TimeDelta::seconds(random.i64(0..DAYS * 24 * 3600));
    let (mut deployments, mut facts, mut failures, mut shares) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for id in 1..=DEPLOYMENTS {
        let service = random.choice(&services).copied();
        let finished = moment(random);
        let kind =
            random.choice([Some("first"), Some("change"), Some("rollout"), Some("rollback"), Some("unknown"), None]);
        let kind = kind.flatten();
        let succeeded = kind.map(|_| finished);
        let remedied =
            |random: &mut Rng| (random.u32(0..2) == 0).then(|| finished + TimeDelta::minutes(random.i64(1..9000)));
        let rework: &[&str] = if random.u32(0..4) == 0 { &["hotfix", "revert"] } else { &[] };
        deployments.push(json!({
            "id": id, "service_id": service, "source": "github-deployments", "instance_id": 1, "external_id": id.to_string(),
            "listed_environment": "prod", "environment": "prod", "environment_group": "production", "created_at": finished,
            "is_transient": false, "is_declared_failed": false, "is_declared_rework": false,
            "outcome": if kind.is_some() { "succeeded" } else { "failed" }, "succeeded_at": succeeded,
            "failed_at": kind.is_none().then_some(finished),
        }));
        let by_it = remedied(random).filter(|_| random.u32(0..3) == 0);
        facts.push(json!({
            "deployment_id": id, "service_id": service, "succeeded_at": succeeded, "finished_at": finished, "kind": kind,
            "is_known": random.u32(0..4) > 0, "has_new_commits": true, "is_after_unknown": false,
            "pull_requests": random.u32(0..20), "rework": rework, "remedied_at": by_it, "remedied_by_id": by_it.map(|_| id),
        }));
        for reason in ["incident", "reverted"] {
            if random.u32(0..4) == 0 {
                let at = remedied(random);
                failures.push(json!({
                    "deployment_id": id, "reason": reason, "remedied_at": at, "remedied_by_id": at.map(|_| id),
                }));
            }
        }
        for (team, basis) in teams.iter().flat_map(|team| [(team, "delivered"), (team, "owned")]) {
            // Also shares that are no whole ten-thousandths, and less than one.
            let units = [random.i64(1..WHOLE), random.i64(1..20_000), WHOLE][random.usize(0..3)];
            if random.u32(0..3) > 0 {
                shares.push(json!({
                    "basis": basis, "team_id": team, "deployment_id": id, "share": format!("0.{units:08}").replace("0.100000000", "1"),
                    "service_id": service, "succeeded_at": succeeded, "finished_at": finished, "kind": kind, "rework": rework,
                }));
            }
        }
    }
    let columns = "service_id, source, instance_id, external_id, listed_environment, environment, environment_group, created_at, \
                   is_transient, is_declared_failed, is_declared_rework, outcome, succeeded_at, failed_at";
    insert(pool, "deployments", columns, deployments).await?;
    let columns = "deployment_id, service_id, succeeded_at, finished_at, kind, is_known, has_new_commits, is_after_unknown, \
                   pull_requests, rework, remedied_at, remedied_by_id";
    insert(pool, "deployment_facts", columns, facts).await?;
    insert(pool, "deployment_failures", "deployment_id, reason, remedied_at, remedied_by_id", failures).await?;
    let columns = "basis, team_id, deployment_id, share, service_id, succeeded_at, finished_at, kind, rework";
    insert(pool, "deployment_shares", columns, shares).await?;
    let (mut incidents, mut facts) = (Vec::new(), Vec::new());
    for id in 1..=INCIDENTS {
        let started = moment(random);
        let service = random.choice(&services).filter(|_| random.u32(0..5) > 0);
        let labels: Vec<&str> = (0..random.usize(0..3)).map(|_| LABELS[random.usize(0..LABELS.len())]).collect();
        incidents.push(json!({
            "service_id": service, "source": "events", "external_id": id.to_string(), "title": random.choice(TITLES),
            "labels": labels, "started_at": started,
        }));
        let deployment = (random.u32(0..3) > 0).then(|| random.i64(1..=DEPLOYMENTS));
        // Now and then a sender says that it ended before it started.
        let resolved = (random.u32(0..5) > 0).then(|| started + TimeDelta::minutes(random.i64(-60..9_000)));
        facts.push(json!({
            "incident_id": id, "service_id": service, "started_at": started, "resolved_at": resolved,
            "severity": random.choice(["critical", "high", "medium", "low"]).filter(|_| random.u32(0..4) > 0),
            "deployment_id": deployment, "rule": deployment.map(|_| "window"),
        }));
    }
    insert(pool, "incidents", "service_id, source, external_id, title, labels, started_at", incidents).await?;
    let columns = "incident_id, service_id, started_at, resolved_at, severity, deployment_id, rule";
    insert(pool, "incident_facts", columns, facts).await?;
    Ok(())
}

fn row(random: &mut Rng, number: i64, people: &[i64]) -> Value {
    let created = at(FIRST_DAY) + TimeDelta::minutes(random.i64(0..DAYS * 24 * 60));
    let later = |random: &mut Rng, hours: i64| created + TimeDelta::minutes(random.i64(-600..hours * 60));
    let maybe = |random: &mut Rng, at: At| (random.u32(0..4) > 0).then_some(at);
    let ended = later(random, 300);
    let state = ["merged", "merged", "merged", "closed", "open"][random.usize(0..5)];
    let updated = created + TimeDelta::hours(random.i64(0..90 * 24));
    let labels: Vec<&str> = (0..random.usize(0..3)).map(|_| LABELS[random.usize(0..LABELS.len())]).collect();
    let branch = |random: &mut Rng| random.choice(BRANCHES).filter(|_| random.u32(0..5) > 0);
    let early = created - TimeDelta::minutes(random.i64(-100..5_000));
    let (review, approval, ready) = (later(random, 400), later(random, 400), later(random, 20));
    let delivered = later(random, 600);
    json!({
        "repository_id": random.i64(1..=2),
        "number": number,
        "external_id": (3_000_000 + number).to_string(),
        "author_id": random.choice(people),
        "title": random.choice(TITLES),
        "state": state,
        "is_draft": random.u32(0..5) == 0,
        "base_ref": branch(random),
        "head_ref": branch(random),
        "labels": (random.u32(0..6) > 0).then_some(labels),
        "created_at": created,
        "updated_at": updated,
        "detailed_at": (random.u32(0..5) > 0).then_some(updated),
        "reviews_at": (random.u32(0..40) > 0).then_some(updated),
        "has_unread_reviews": random.u32(0..80) == 0,
        "closed_at": (state != "open").then_some(ended),
        "merged_at": (state == "merged").then_some(ended),
        "first_commit_at": maybe(random, early),
        "first_review_at": maybe(random, review),
        "first_approval_at": maybe(random, approval),
        "ready_at": (random.u32(0..4) == 0).then_some(ready),
        "additions": (random.u32(0..6) > 0).then(|| random.u32(0..30)),
        "deletions": random.u32(0..30),
        "changed_files": (random.u32(0..6) > 0).then(|| random.u32(0..6)),
        "reverts": (random.u32(0..4) == 0).then(|| random.i64(1..=ROWS)),
        "delivered_at": maybe(random, delivered),
        "is_delivery_assumed": random.u32(0..4) == 0,
    })
}
