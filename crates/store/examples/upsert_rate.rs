//! Measures how fast pages are stored, compared with plain `COPY` of the same rows into the same tables.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use chrono::TimeDelta;
use futures::TryStreamExt;
use mergeline_domain::Verdict;
use mergeline_domain::teams_file::TeamsFile;
use mergeline_fake_github::{FakePullRequest, at, pr};
use mergeline_store::{ApplyOptions, KeptPullRequest, PageOfWork, Writer};
use mergeline_test_support::TestDatabase;
use sqlx::PgPool;

const ROWS: i64 = 20_000;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a program for people and scripts")]
async fn main() -> Result<()> {
    let database = TestDatabase::create().await?;
    // COPY needs a login to which no policies apply.
    let (store, pool) = (database.store()?, PgPool::connect(database.superuser_url()).await?);
    let text = "version: 1\nrepositories: [acme/api]\nteams: [{ slug: everyone, members: [{ github: ana }] }]\n";
    store
        .apply(&TeamsFile::parse("teams.yaml", text.as_bytes())?, ApplyOptions::default(), at("2026-06-15T12:00:00Z"))
        .await?;
    let pull_requests: Vec<FakePullRequest> = (1..=ROWS)
        .map(|number| pr("acme/api", number).merged_at_instant(at("2026-02-02T10:00:00Z") + TimeDelta::minutes(number)))
        .collect();
    for page_size in [100, 10_000] {
        sqlx::raw_sql("truncate pull_requests, pr_attributions cascade").execute(&pool).await?;
        let upserted = upsert(&store, &pull_requests, page_size).await?;
        let copied = copy(&pool).await?;
        let (upserted, copied) = (rate(upserted), rate(copied));
        println!(
            "upserts, {page_size} rows a transaction: {upserted:.0} rows/s with attributions, {:.2} x plain COPY ({copied:.0} rows/s)",
            upserted / copied
        );
    }
    Ok(())
}

fn rate(took: Duration) -> f64 {
    f64::from(i32::try_from(ROWS).unwrap_or(i32::MAX)) / took.as_secs_f64()
}

async fn upsert(store: &Writer, pull_requests: &[FakePullRequest], page_size: usize) -> Result<Duration> {
    let snapshot = store.snapshot().await?.context("configured")?;
    let repository = snapshot.repositories.first().context("a repository")?.id;
    let now = at("2026-06-15T12:00:00Z");
    let (lease, _) = store.lease(repository, now, Duration::ZERO).await?.context("free")?;
    let mut took = Duration::ZERO;
    for page in pull_requests.chunks(page_size) {
        let mut work = PageOfWork::default();
        for pull_request in page.iter().map(FakePullRequest::facts) {
            work.understood.push(pull_request.number);
            if let Verdict::Keep { person, attributions } = snapshot.roster.judge(&pull_request) {
                let person = person.id;
                work.kept.push(KeptPullRequest { pull_request, person, attributions });
            }
        }
        let started = Instant::now();
        store.upsert_page(&lease, snapshot.revision, work, now).await?;
        took += started.elapsed();
    }
    Ok(took)
}

/// Copies the rows that were just stored into the same tables after emptying them, with all indexes and references.
async fn copy(pool: &PgPool) -> Result<Duration> {
    let mut connection = pool.acquire().await?;
    let mut tables = Vec::new();
    for (table, columns) in [
        (
            "pull_requests",
            "id, repository_id, instance_id, number, external_id, author_id, title, state, is_draft, base_ref, created_at, updated_at, closed_at, merged_at, node_id",
        ),
        (
            "pr_attributions",
            "pull_request_id, team_id, membership_id, weight, repository_id, author_id, created_at, closed_at, merged_at",
        ),
    ] {
        let mut rows = Vec::new();
        let mut out = connection.copy_out_raw(&format!("copy {table} ({columns}) to stdout")).await?;
        while let Some(chunk) = out.try_next().await? {
            rows.extend_from_slice(&chunk);
        }
        drop(out);
        tables.push((table, columns, rows));
    }
    sqlx::raw_sql("truncate pull_requests, pr_attributions cascade").execute(&mut *connection).await?;
    let mut took = Duration::ZERO;
    for (table, columns, rows) in tables {
        let started = Instant::now();
        let mut into = connection.copy_in_raw(&format!("copy {table} ({columns}) from stdin")).await?;
        into.send(rows).await?;
        into.finish().await?;
        took += started.elapsed();
    }
    Ok(took)
}
