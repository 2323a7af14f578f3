//! A run killed at any point and repeated gives the same rows as one that was never killed.

use anyhow::{Context, Result, ensure};
use mergeline_collector::CollectOptions;
use mergeline_fake_github::{at, pr};
use mergeline_test_support::TestDatabase;

use crate::world::World;

/// Everything that is collected, without what differs from run to run.
async fn collected(database: &TestDatabase) -> Result<String> {
    let pool = database.pool().await?;
    let rows: Vec<String> = sqlx::query_scalar(
        "select concat_ws(' ', 'pull_request', p.repository_id, p.number, p.state, p.updated_at, p.title, p.first_review_at,
            p.detailed_at, p.reviews_at, p.coding_seconds) from pull_requests as p
        union all select concat_ws(' ', 'review', p.number, v.place, v.reviewer_id, v.submitted_at)
            from pull_request_reviews as v inner join pull_requests as p on v.pull_request_id = p.id
        union all select concat_ws(' ', 'attribution', p.number, a.team_id, a.weight, a.merged_at, a.coding_seconds)
            from pr_attributions as a inner join pull_requests as p on a.pull_request_id = p.id
        union all select concat_ws(' ', 'repository', r.name, r.watermark, r.covered_since is null, r.backfill_order, r.backfill_rows)
            from repositories as r
        union all select concat_ws(' ', 'quarantine', q.number, q.reason) from quarantined_pull_requests as q
        order by 1",
    )
    .fetch_all(&pool)
    .await?;
    pool.close().await;
    Ok(rows.join("\n"))
}

/// Two repositories, three pages of backfill, reviews, a stranger and an undecodable pull request.
async fn world(is_old: bool) -> Result<World> {
    let mut world = World::new(0).await?;
    let created_at = if is_old { "2001-01-01T00:00:00Z" } else { "2026-01-01T00:00:00Z" };
    for name in ["acme/api", "acme/web"] {
        world.fake.set_repository_creation(name, at(created_at));
    }
    world.teams.has_pattern = false;
    world.apply().await?;
    world.fake.put((1..=7).map(|number| {
        pr("acme/api", number)
            .created("2026-02-01T09:00:00Z")
            .merged("2026-02-02T10:00:00Z")
            .reviewed_by("bob", "2026-02-01T12:00:00Z")
    }));
    world.fake.put([
        pr("acme/api", 8).by("stranger"),
        pr("acme/api", 9).overriding("created_at", serde_json::Value::Null),
        pr("acme/web", 1).merged("2026-02-03T10:00:00Z"),
    ]);
    Ok(world)
}

/// Without deployments, whose requests would double the points at which a run can be killed, each with a database of its own.
fn pull_requests_only(world: &mut World) -> CollectOptions {
    CollectOptions { deployments: false, ..world.options() }
}

/// At every third one: a database for each of them takes minutes. `KILL_STEP=1` tries all.
#[tokio::test]
async fn f05_kill_at_any_await_gives_the_same_rows() -> Result<()> {
    let step = std::env::var("KILL_STEP").map_or(Ok(3), |text| text.parse())?;
    killed_and_run_again(false, step).await
}

#[tokio::test]
async fn f05_kill_during_reading_by_update_gives_same_rows() -> Result<()> {
    killed_and_run_again(true, 7).await
}

/// Kills after `step` more polls each time, until nothing is left to kill. The past of repositories older than any
/// window is read by update.
async fn killed_and_run_again(is_old: bool, step: u64) -> Result<()> {
    let mut undisturbed = world(is_old).await?;
    let options = pull_requests_only(&mut undisturbed);
    undisturbed.run(options, u64::MAX).await?;
    let options = pull_requests_only(&mut undisturbed);
    undisturbed.run(options, u64::MAX).await?;
    let expected = collected(&undisturbed.database).await?;
    ensure!(expected.matches("pull_request").count() == 8, "{expected}");
    undisturbed.close().await?;
    let mut polls = 0;
    loop {
        let mut world = world(is_old).await?;
        let options = pull_requests_only(&mut world);
        let was_killed = world.run(options, polls).await?.is_none();
        world.wait_for_leases();
        let options = pull_requests_only(&mut world);
        world.run(options, u64::MAX).await?.context("not killed")?;
        let outcome = collected(&world.database).await?;
        ensure!(outcome == expected, "killed after {polls} polls:\n{outcome}\n\nnever killed:\n{expected}");
        world.close().await?;
        if !was_killed {
            return Ok(());
        }
        polls += step;
    }
}
