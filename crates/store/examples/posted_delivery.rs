//! Measures a posted deployment that delivers 100 pull requests of a service with 50,000 commits, 5,000 pull requests and 500
//! deployments, compared with reading the commits alone.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mergeline_domain::delivery::DeploymentEvent;
use mergeline_domain::teams_file::TeamsFile;
use mergeline_fake_github::at;
use mergeline_store::{ApplyOptions, Poster, Sender};
use mergeline_test_support::TestDatabase;
use sqlx::AssertSqlSafe;

const COMMITS: i64 = 50_000;
/// Every tenth commit merges a pull request.
const PULL_REQUESTS: i64 = COMMITS / 10;
const DELIVERED_BY_EACH: i64 = 100;
/// How many deployments there were before.
const PAST: i64 = 500;
/// How many deployments are measured.
const MEASURED: i64 = 20;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a program for people and scripts")]
async fn main() -> Result<()> {
    let database = TestDatabase::create().await?;
    let (store, pool) = (database.store()?, database.pool().await?);
    let now = at("2026-06-15T12:00:00Z");
    let text = "version: 1\nrepositories: [acme/api]\ndeployments: { source: events }\n\
                teams: [{ slug: everyone, members: [{ github: ana }] }]\n";
    store.apply(&TeamsFile::parse("teams.yaml", text.as_bytes())?, ApplyOptions::default(), now).await?;
    let first = PULL_REQUESTS - MEASURED * DELIVERED_BY_EACH;
    let facts = format!(
        "insert into commits (repository_id, oid, parents, committed_at)
        select r.id, decode(lpad(to_hex(n), 40, '0'), 'hex'),
            case when n = 1 then '{{}}' else array[decode(lpad(to_hex(n - 1), 40, '0'), 'hex')] end,
            '2025-06-01'::timestamptz + n * interval '10 minutes'
        from repositories as r cross join generate_series(1, {COMMITS}) as n;
        insert into pull_requests (
            repository_id, instance_id, external_id, number, title, author_id, state, is_draft, created_at, updated_at, closed_at, merged_at,
            merge_commit, detailed_at
        )
        select
            r.id, 1, n, n, 'Change', h.person_id, 'merged', false, t.at - interval '1 day', t.at, t.at, t.at, lpad(to_hex(n * 10), 40, '0'), t.at
        from repositories as r
        cross join accounts as h
        cross join generate_series(1, {PULL_REQUESTS}) as n
        cross join lateral (select '2025-06-01'::timestamptz + n * 10 * interval '10 minutes' as at) as t;
        insert into pr_attributions (pull_request_id, team_id, membership_id, weight, repository_id, author_id, created_at, closed_at, merged_at)
        select p.id, m.team_id, m.id, 1, p.repository_id, p.author_id, p.created_at, p.closed_at, p.merged_at
        from pull_requests as p cross join team_memberships as m;
        update services set has_facts = true;
        insert into deployments (
            service_id, source, external_id, listed_environment, environment, environment_group, created_at, outcome, succeeded_at
        )
        select s.id, 'events', 'past-' || n, 'production', 'production', 'production', t.at, 'succeeded', t.at
        from services as s
        cross join generate_series(1, {PAST}) as n
        cross join lateral (select '2025-06-02'::timestamptz + n * {first} * interval '100 minutes' / {PAST} as at) as t;
        insert into deployment_revisions (deployment_id, repository_id, oid)
        select d.id, r.id, decode(lpad(to_hex(row_number() over (order by d.id) * {first} / {PAST} * 10), 40, '0'), 'hex')
        from deployments as d cross join repositories as r;
        analyze"
    );
    sqlx::raw_sql(AssertSqlSafe(facts)).execute(&pool).await?;
    store.derive_all(true).await?;
    sqlx::raw_sql("analyze").execute(&pool).await?;
    let poster = Poster::of(&store);
    let mut took = Vec::new();
    let mut reading = Vec::new();
    for number in 0..=MEASURED {
        let pull_request = first + number * DELIVERED_BY_EACH;
        let event = DeploymentEvent {
            id: format!("deployment-{number}"),
            service: "acme/api".to_owned(),
            environment: "production".to_owned(),
            sha: Some(format!("{:040x}", pull_request * 10)),
            finished_at: Some(format!("2026-06-{:02}T12:00:00Z", 1 + number / 2)),
            ..DeploymentEvent::default()
        };
        let deployment = event.check(at("2026-06-20T12:00:00Z")).ok().context("valid")?;
        let started = Instant::now();
        poster.post_deployment(&Sender::default(), &[7; 32], &deployment, now).await??;
        took.push(started.elapsed());
        let started = Instant::now();
        let commits: Vec<(Vec<u8>, Vec<Vec<u8>>)> =
            sqlx::query_as("select oid, parents from commits").fetch_all(&pool).await?;
        ensure!(commits.len() == usize::try_from(COMMITS)?, "all commits");
        reading.push(started.elapsed());
    }
    let delivered: i64 = sqlx::query_scalar(
        "select count(*) from pr_deliveries as l inner join deployments as d on l.deployment_id = d.id
        where d.external_id like 'deployment-%'",
    )
    .fetch_one(&pool)
    .await?;
    ensure!(delivered == MEASURED * DELIVERED_BY_EACH, "{delivered} were delivered");
    // The first one brings what the past already had.
    let (whole, read) = (median(took.split_off(1)), median(reading));
    println!(
        "a posted deployment, after {PAST} others, that delivers {DELIVERED_BY_EACH} pull requests of {COMMITS} commits: {whole:.1} ms, reading the commits \
         {read:.1} ms: {:.2} x",
        whole / read
    );
    Ok(())
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1_000.0
}
