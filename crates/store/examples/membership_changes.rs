//! Measures how long membership changes take: 10,000 people in 200 teams with a million stored pull requests. `PEOPLE`
//! and `PULL_REQUESTS` make it smaller.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mergeline_domain::teams_file::TeamsFile;
use mergeline_fake_github::at;
use mergeline_store::{Applied, ApplyOptions, PULL_REQUESTS_AT_ONCE, Writer};
use mergeline_test_support::TestDatabase;
use sqlx::PgPool;

const TEAMS: usize = 200;
const REPOSITORIES: usize = 100;

/// Pull requests over three years, in turn from all people and repositories, each with the share of its author's only
/// team.
const FILL: &str = "
insert into pull_requests (
    repository_id, instance_id, number, external_id, author_id, title, state, is_draft, base_ref, created_at, updated_at, closed_at, merged_at, node_id
)
select
    r.ids[1 + n % cardinality(r.ids)], 1, n, n, p.ids[1 + n % cardinality(p.ids)], 'Change ' || n, 'merged', false, 'main',
    m.merged_at - interval '20 hours', m.merged_at, m.merged_at, m.merged_at, 'PR_' || n
from generate_series(1, $1::bigint) as n
cross join (select array_agg(id order by id) as ids from repositories) as r
cross join (select array_agg(id order by id) as ids from people) as p
cross join lateral (select timestamptz '2023-06-01Z' + n * (interval '3 years' / $1::bigint) as merged_at) as m";

const ATTRIBUTE: &str = "
insert into pr_attributions (
    pull_request_id, team_id, membership_id, weight, repository_id, author_id, created_at, closed_at, merged_at
)
select p.id, m.team_id, m.id, m.weight, p.repository_id, p.author_id, p.created_at, p.closed_at, p.merged_at
from pull_requests as p
inner join team_memberships as m on p.author_id = m.person_id and m.removed_in is null";

fn number(variable: &str, usual: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Each person is in one team. Members of the first `teams` teams have this weight.
fn file(people: usize, teams: usize, weight: &str) -> Result<TeamsFile> {
    let repositories: Vec<String> = (0..REPOSITORIES).map(|n| format!("acme/repo-{n}")).collect();
    let mut text = format!("version: 1\nrepositories: [{}]\nteams:\n", repositories.join(", "));
    for team in 0..TEAMS {
        let _ = writeln!(text, "  - slug: team-{team}\n    members:");
        let weight = if team < teams { weight } else { "1" };
        for person in (team..people).step_by(TEAMS) {
            let _ = writeln!(text, "      - {{ github: user-{person}, weight: {weight} }}");
        }
    }
    Ok(TeamsFile::parse("teams.yaml", text.as_bytes())?)
}

/// The duration of applying, with all its steps.
struct Timing {
    applied: Applied,
    first: Duration,
    steps: Vec<Duration>,
}

async fn apply(store: &Writer, file: &TeamsFile) -> Result<Timing> {
    let options = ApplyOptions { allow_removals: true, ..ApplyOptions::default() };
    let started = Instant::now();
    let mut applied = store.apply(file, options, at("2026-06-15T12:00:00Z")).await?;
    let (first, mut steps) = (started.elapsed(), Vec::new());
    while applied.people_to_reattribute > 0 {
        let started = Instant::now();
        applied.note(store.reattribute(PULL_REQUESTS_AT_ONCE).await?);
        steps.push(started.elapsed());
    }
    Ok(Timing { applied, first, steps })
}

#[expect(clippy::print_stdout, reason = "a program for people and scripts")]
async fn measure(store: &Writer, what: &str, file: &TeamsFile) -> Result<()> {
    let started = Instant::now();
    let options = ApplyOptions { dry_run: true, ..ApplyOptions::default() };
    let planned = store.apply(file, options, at("2026-06-15T12:00:00Z")).await?;
    let plan = started.elapsed();
    let Timing { applied, first, steps } = apply(store, file).await?;
    anyhow::ensure!(planned.pull_requests_reattributed == applied.pull_requests_reattributed, "the plan was wrong");
    let all: Duration = steps.iter().sum::<Duration>() + first;
    println!(
        "{what}: {} pull requests of {} memberships; plan {:.2} s, first transaction {:.2} s, {} more steps of {:.2} s at most, total {:.1} s",
        applied.pull_requests_reattributed,
        applied.plan.memberships.len(),
        plan.as_secs_f64(),
        first.as_secs_f64(),
        steps.len(),
        steps.iter().max().copied().unwrap_or_default().as_secs_f64(),
        all.as_secs_f64()
    );
    Ok(())
}

/// The peak memory of this process, in MB.
fn peak_memory() -> Result<usize> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("Linux")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<usize>()? / 1024)
}

async fn fill(pool: &PgPool, pull_requests: usize) -> Result<()> {
    sqlx::query(FILL).bind(i64::try_from(pull_requests)?).execute(pool).await?;
    sqlx::query(ATTRIBUTE).execute(pool).await?;
    sqlx::raw_sql("vacuum analyze").execute(pool).await?;
    Ok(())
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a program for people and scripts")]
async fn main() -> Result<()> {
    let (people, pull_requests) = (number("PEOPLE", 10_000), number("PULL_REQUESTS", 1_000_000));
    let database = TestDatabase::create().await?;
    let store = database.store()?;
    let usual = file(people, 0, "1")?;
    let first = apply(&store, &usual).await?;
    println!("first teams file with {people} people: {:.2} s", first.first.as_secs_f64());
    fill(&database.pool().await?, pull_requests).await?;
    let before = peak_memory()?;
    measure(&store, "nothing changes", &usual).await?;
    measure(&store, "one team changes", &file(people, 1, "0.5")?).await?;
    measure(&store, "everyone changes", &file(people, TEAMS, "0.25")?).await?;
    println!("peak memory of this program: {} MB, {before} MB of it before the changes", peak_memory()?);
    Ok(())
}
