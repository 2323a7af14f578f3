//! Runs of workflows, releases and tags, and merges as deployments.

use anyhow::Result;
use chrono::TimeDelta;
use mergeline_domain::delivery::DeploymentEvent;
use mergeline_domain::teams_file::TeamsFile;
use mergeline_fake_github::{FakeRun, Fault, at, deployment, release, run, tag};
use mergeline_store::{ApplyOptions, Poster, RunState, Sender};

use super::{collect_all, collect_all_at, commit, merged_as, oid};
use crate::common::{NOW, World};

/// Four pull requests of acme/api, each merged as the commit with its number, and this line about deployments.
async fn world(deployments: &str) -> Result<World> {
    let world = World::unconfigured().await?;
    apply(&world, deployments).await?;
    let day = |day: u64| format!("2026-06-{day:02}T08:00:00Z");
    world.fake.put_commits(
        "acme/api",
        (1..=4).map(|number| {
            let parents: Vec<u64> = (number > 1).then_some(number - 1).into_iter().collect();
            commit(number, &parents, &day(number))
        }),
    );
    world.fake.put((1..=4).map(|number| merged_as(number, number.unsigned_abs(), &day(number.unsigned_abs()))));
    Ok(world)
}

async fn apply(world: &World, deployments: &str) -> Result<()> {
    let text = format!(
        "version: 1\nrepositories: [acme/api]\ndeployments: {deployments}\nteams: [{{ slug: payments, members: [{{ github: ana \
         }}] }}]\n"
    );
    let file = TeamsFile::parse("teams.yaml", text.as_bytes())?;
    world.store.apply(&file, ApplyOptions::default(), at(NOW)).await?;
    Ok(())
}

/// Each finished deployment: what it is at its source, its kind, and the pull requests that it delivered.
async fn deployments(world: &World) -> Result<Vec<String>> {
    assert_eq!(world.store.derive_all(false).await?.rows, 0, "a full recompute agrees");
    world
        .texts(
            "select case when d.source = 'merges' then d.version else d.external_id end || ' ' || coalesce(f.kind, 'failed') || coalesce(' ' || string_agg(p.number::text, ','
                    order by p.number), '')
            from deployment_facts as f
            inner join deployments as d on f.deployment_id = d.id
            left join pr_deliveries as l on d.id = l.deployment_id
            left join pull_requests as p on l.pull_request_id = p.id
            group by d.id, d.source, d.version, d.external_id, f.finished_at, f.kind
            order by f.finished_at, d.external_id",
        )
        .await
}

/// When each list was last read completely, or the problem.
async fn readings(world: &World) -> Result<Vec<String>> {
    world
        .texts(
            "select source || ' ' || list || ' ' || coalesce(problem, to_char(read_at at time zone 'UTC', 'DD HH24:MI'), 'never')
            from deployment_lists order by 1",
        )
        .await
}

/// A run for a commit that ended five minutes after its start.
fn ended(number: i64, commit: u64, conclusion: &str, started_at: &str) -> FakeRun {
    let ended_at = (at(started_at) + TimeDelta::minutes(5)).to_rfc3339();
    run("acme/api", number, &oid(commit), started_at).ended(conclusion, &ended_at)
}

const WORKFLOW: &str = "{ workflow: deploy.yml, branch: main }";

#[tokio::test]
async fn runs_of_the_named_workflow_and_branch_are_deployments() -> Result<()> {
    let world = world(WORKFLOW).await?;
    world.fake.put_runs([
        ended(1, 1, "success", "2026-06-01T09:00:00Z"),
        ended(2, 2, "timed_out", "2026-06-02T09:00:00Z"),
        ended(3, 2, "cancelled", "2026-06-02T10:00:00Z"),
        ended(4, 2, "skipped", "2026-06-02T11:00:00Z"),
        ended(5, 3, "success", "2026-06-03T09:00:00Z"),
        // A fork may call its branch main.
        ended(6, 4, "success", "2026-06-03T10:00:00Z").on("pull_request", "main"),
        ended(7, 4, "success", "2026-06-03T11:00:00Z").on("merge_group", "main"),
        ended(8, 4, "success", "2026-06-03T12:00:00Z").on("push", "next"),
        ended(9, 4, "success", "2026-06-03T13:00:00Z").of("ci.yml"),
    ]);
    // GitHub's own deployments are those of another source.
    world.fake.put_deployments([
        deployment("acme/api", 1, &oid(4), "2026-06-04T09:00:00Z").status("success", "2026-06-04T09:05:00Z")
    ]);
    let report = collect_all(&world).await?;
    assert_eq!(report.problems, Vec::<String>::new());
    let expected = ["19000000001/1 first", "19000000002/1 failed", "19000000005/1 change 2,3"];
    assert_eq!(deployments(&world).await?, expected);
    assert_eq!(readings(&world).await?, ["github-actions deploy.yml@main 15 12:00"]);
    // Again: one conditional request for the runs, and no commit is asked for.
    world.fake.forget_requests();
    let before = world.database.digest().await?;
    collect_all(&world).await?;
    assert_eq!(world.database.digest().await?, before);
    let asked = world.asked_about("acme/api");
    assert!(asked.len() == 2 && asked[1].contains("/actions/workflows/deploy.yml/runs?"), "{asked:?}");
    Ok(())
}

#[tokio::test]
async fn each_attempt_of_a_run_is_a_deployment_that_keeps_its_end() -> Result<()> {
    let world = world(WORKFLOW).await?;
    let first = ended(1, 1, "success", "2026-06-01T09:00:00Z");
    let second = ended(2, 2, "failure", "2026-06-02T09:00:00Z");
    world.fake.put_runs([first.clone(), second.clone()]);
    collect_all_at(&world, "2026-06-02T12:00:00Z").await?;
    assert_eq!(deployments(&world).await?, ["19000000001/1 first", "19000000002/1 failed"]);
    // Started again twice before the next collection, and not ended.
    let again = second.again("2026-06-02T13:00:00Z").ended("failure", "2026-06-02T13:05:00Z");
    world.fake.put_runs([again.clone().again("2026-06-02T14:00:00Z")]);
    collect_all_at(&world, "2026-06-02T16:00:00Z").await?;
    let failed = ["19000000001/1 first", "19000000002/1 failed", "19000000002/2 failed"];
    assert_eq!(deployments(&world).await?, failed);
    world.fake.put_runs([again.again("2026-06-02T14:00:00Z").ended("success", "2026-06-02T17:00:00Z")]);
    // Days later: one that has not ended is asked about until it does.
    collect_all_at(&world, "2026-06-20T16:00:00Z").await?;
    let all = ["19000000001/1 first", "19000000002/1 failed", "19000000002/2 failed", "19000000002/3 change 2"];
    assert_eq!(deployments(&world).await?, all);
    // GitHub forgets old runs. What was deployed stays.
    world.fake.delete_run("acme/api", first.id);
    collect_all_at(&world, "2026-06-20T20:00:00Z").await?;
    assert_eq!(deployments(&world).await?, all);
    Ok(())
}

#[tokio::test]
async fn more_runs_than_a_filtered_list_has_are_all_read() -> Result<()> {
    let world = world(WORKFLOW).await?;
    let start = at("2026-05-01T00:00:00Z");
    // Of some, 150 are of one second.
    let runs = (1..=1_250).map(|number| {
        let minutes = if number <= 150 { 1 } else { number };
        ended(number, 1, "success", &(start + TimeDelta::minutes(minutes)).to_rfc3339())
    });
    world.fake.put_runs(runs);
    collect_all(&world).await?;
    assert_eq!(world.number("select count(*) from deployments where outcome = 'succeeded'").await?, 1_250);
    assert_eq!(readings(&world).await?, ["github-actions deploy.yml@main 15 12:00"]);
    Ok(())
}

#[tokio::test]
async fn a_first_reading_of_runs_goes_on_where_it_stopped() -> Result<()> {
    let world = world(WORKFLOW).await?;
    let start = at("2026-05-01T00:00:00Z");
    let hourly = |numbers: std::ops::RangeInclusive<i64>| {
        numbers.map(|number| ended(number, 1, "success", &(start + TimeDelta::hours(number)).to_rfc3339()))
    };
    world.fake.put_runs(hourly(1..=250));
    world.fail(3, &Fault::Nothing);
    world.fake.fail_next("acme/api", Fault::Status(404));
    let report = collect_all_at(&world, "2026-05-11T11:00:00Z").await?;
    assert_eq!(report.state, RunState::Succeeded, "{:?}", report.problems);
    let stored = world.number("select count(*) from deployments").await?;
    assert!((100..250).contains(&stored), "{stored}");
    assert_eq!(readings(&world).await?, ["github-actions deploy.yml@main no_permission"]);
    world.fake.put_runs(hourly(251..=260));
    world.fake.forget_requests();
    collect_all_at(&world, "2026-05-11T23:00:00Z").await?;
    assert_eq!(world.number("select count(*) from deployments").await?, 260);
    assert_eq!(readings(&world).await?, ["github-actions deploy.yml@main 11 23:00"]);
    Ok(())
}

#[tokio::test]
async fn a_workflow_that_is_not_found_is_named_and_leaves_the_rest_complete() -> Result<()> {
    let world = world("{ workflow: deploi.yml }").await?;
    world.fake.put_runs([ended(1, 1, "success", "2026-06-01T09:00:00Z")]);
    let report = collect_all(&world).await?;
    assert_eq!(report.state, RunState::Succeeded);
    assert_eq!(
        world.texts("select problem_message from deployment_lists").await?,
        [
            "the workflow `deploi.yml` does not exist, or is hidden from the token: the token needs the permission Actions, read only"
        ]
    );
    apply(&world, WORKFLOW).await?;
    world.fake.hide_actions("acme/api", true);
    collect_all_at(&world, "2026-06-15T16:00:00Z").await?;
    let unread = world.store.unread_deployments().await?;
    let unread: Vec<_> = unread.iter().map(|it| (it.repository.as_str(), it.code.as_str())).collect();
    assert_eq!(unread, [("acme/api", "no_permission")], "only of what is wanted now");
    world.fake.hide_actions("acme/api", false);
    collect_all_at(&world, "2026-06-15T20:00:00Z").await?;
    assert_eq!(deployments(&world).await?, ["19000000001/1 first"]);
    Ok(())
}

#[tokio::test]
async fn published_releases_are_deployments_and_follow_their_list() -> Result<()> {
    let world = world("{ source: github-releases }").await?;
    let first = release("acme/api", 1, "v1", &oid(1), "2026-06-01T09:00:00Z");
    let second = release("acme/api", 2, "v2", &oid(2), "2026-06-02T09:00:00Z");
    let beta = release("acme/api", 3, "v3-beta", &oid(3), "2026-06-03T09:00:00Z").as_prerelease();
    let draft = release("acme/api", 4, "v4", &oid(4), "2026-06-04T09:00:00Z").as_draft();
    world.fake.put_releases([first, second.clone(), beta.clone(), draft.clone()]);
    world.fake.put_tags([tag("acme/api", "v0", &oid(4), "2026-06-05T09:00:00Z")]);
    collect_all_at(&world, "2026-06-10T12:00:00Z").await?;
    assert_eq!(deployments(&world).await?, ["RE_1 first", "RE_2 change 2"]);
    // The beta becomes a release, the draft is published later than it was made, and a tag moves.
    let mut moved = second.clone();
    moved.sha = Some(oid(4));
    let mut published = draft;
    published.published_at = Some(at("2026-06-11T09:00:00Z"));
    let mut full = beta;
    full.is_prerelease = false;
    world.fake.put_releases([moved, published, full]);
    collect_all_at(&world, "2026-06-11T12:00:00Z").await?;
    let expected = ["RE_1 first", "RE_2 change 2", "RE_3 change 3", "RE_4 change 4"];
    assert_eq!(deployments(&world).await?, expected, "a commit stays as it was first seen");
    // Deleted: what it delivered moves to the next one.
    world.fake.delete_release("acme/api", 3);
    collect_all_at(&world, "2026-06-11T16:00:00Z").await?;
    assert_eq!(deployments(&world).await?, ["RE_1 first", "RE_2 change 2", "RE_4 change 3,4"]);
    // Prereleases and annotated tags are a choice, which needs no reading of what is stored.
    apply(&world, "{ source: github-releases, tag: 'v[12]*' }").await?;
    assert_eq!(deployments(&world).await?, ["RE_1 first", "RE_2 change 2"]);
    Ok(())
}

#[tokio::test]
async fn an_annotated_tag_is_a_deployment_until_it_has_a_release() -> Result<()> {
    let world = world("{ source: github-releases, tags: true }").await?;
    let mut light = tag("acme/api", "light", &oid(4), "2026-06-04T09:00:00Z");
    light.tagged_at = None;
    world.fake.put_tags([
        tag("acme/api", "v1", &oid(1), "2026-06-01T09:00:00Z"),
        tag("acme/api", "v2", &oid(2), "2026-06-02T09:00:00Z"),
        light,
    ]);
    collect_all_at(&world, "2026-06-10T12:00:00Z").await?;
    assert_eq!(deployments(&world).await?, ["REF_acme/api:refs/tags/v1 first", "REF_acme/api:refs/tags/v2 change 2"]);
    world.fake.put_releases([release("acme/api", 2, "v2", &oid(2), "2026-06-02T15:00:00Z")]);
    collect_all_at(&world, "2026-06-10T16:00:00Z").await?;
    assert_eq!(deployments(&world).await?, ["REF_acme/api:refs/tags/v1 first", "RE_2 change 2"]);
    apply(&world, "{ source: github-releases }").await?;
    assert_eq!(deployments(&world).await?, ["RE_2 first"]);
    Ok(())
}

#[tokio::test]
async fn a_merge_into_the_named_branch_is_an_assumed_deployment() -> Result<()> {
    let world = world("{ source: merges, branch: main }").await?;
    // Merged into another branch, which reaches main with the next pull request.
    let mut aside = merged_as(5, 5, "2026-06-03T20:00:00Z");
    aside.base_ref = "next".to_owned();
    world.fake.put([aside]);
    world
        .fake
        .put_commits("acme/api", [commit(5, &[3], "2026-06-03T20:00:00Z"), commit(4, &[3, 5], "2026-06-04T08:00:00Z")]);
    collect_all(&world).await?;
    assert_eq!(deployments(&world).await?, ["#1 first", "#2 change 2", "#3 change 3", "#4 change 4,5"]);
    assert_eq!(readings(&world).await?, ["merges main 15 12:00"]);
    let assumed = "select count(*) from pr_attributions where lead_seconds is not null and deploy_seconds is null";
    assert_eq!(world.number(assumed).await?, 4, "how long a deployment took is not known");
    let of_service = "select coalesce(sum(n), 0)::bigint
        from services_in_force as s
        cross join lateral delivery_times(null, s.id, '2026-06-01', '2026-07-01', 'UTC', 'week') as t
        where t.measure = 'deploy'";
    assert_eq!(world.number(of_service).await?, 0, "nor for the service");
    let deployment =
        world.number("select deployment_id from pr_deliveries where deployment_id is not null limit 1").await?;
    let id = mergeline_domain::delivery::DeploymentId(deployment);
    let delivered = world.database.reader()?.session().await?.delivered_by(id).await?;
    assert!(delivered.iter().all(|it| it.lead_seconds.is_some() && it.deploy_seconds.is_none()), "{delivered:?}");
    world.fake.forget_requests();
    let before = world.database.digest().await?;
    collect_all(&world).await?;
    assert_eq!(world.database.digest().await?, before);
    assert_eq!(world.asked_about("acme/api").len(), 1, "merges cost no request");
    // What is deleted here was merged all the same.
    world.execute("update pull_requests set detailed_at = merged_at - interval '1 hour' where number = 3").await?;
    let repository = mergeline_store::RepositoryId(world.number("select id from repositories").await?);
    let merges = world.store.merges(repository, "main", at("2026-06-01T00:00:00Z")).await?;
    assert!(merges.is_missing_some && merges.deployments.len() == 3, "details of before the merge lack its commit");
    world.store.prune(at("2026-06-02T00:00:00Z"), 0).await?;
    collect_all(&world).await?;
    assert_eq!(world.number("select count(*) from deployments where deleted_at is null").await?, 4);
    // What GitHub deleted was not.
    world.execute("update pull_requests set deleted_at = now() where number = 4").await?;
    collect_all(&world).await?;
    assert_eq!(world.number("select count(*) from deployments where deleted_at is null").await?, 3);
    // Without the source, they do not count; what was derived from them goes.
    apply(&world, "{ source: events }").await?;
    assert_eq!(deployments(&world).await?, Vec::<String>::new());
    assert_eq!(world.number("select count(*) from pull_requests where is_delivery_assumed").await?, 0);
    Ok(())
}

#[tokio::test]
async fn merges_and_tags_of_several_repositories_are_kept_apart() -> Result<()> {
    for (source, expected) in [
        ("{ source: merges, branch: main }", ["acme/api #1 1", "acme/api #2 2", "acme/web #1 1", "acme/web #2 2"]),
        (
            "{ source: github-releases, tags: true }",
            ["acme/api v1 1", "acme/api v2 2", "acme/web v1 1", "acme/web v2 2"],
        ),
    ] {
        let world = World::unconfigured().await?;
        let text = format!(
            "version: 1\nrepositories: [acme/api, acme/web]\ndeployments: {source}\nteams: [{{ slug: payments, members: [{{ \
             github: ana }}] }}]\n"
        );
        let file = TeamsFile::parse("teams.yaml", text.as_bytes())?;
        world.store.apply(&file, ApplyOptions::default(), at(NOW)).await?;
        for (repository, hour) in [("acme/api", 8), ("acme/web", 10)] {
            let time = |day: u64| format!("2026-06-{day:02}T{hour:02}:00:00Z");
            world.fake.put_commits(repository, [commit(1, &[], &time(1)), commit(2, &[1], &time(2))]);
            let merged = |number: i64| {
                let mut one = merged_as(number, number.unsigned_abs(), &time(number.unsigned_abs()));
                one.repository = repository.to_owned();
                one
            };
            world.fake.put([merged(1), merged(2)]);
            world.fake.put_tags([tag(repository, "v1", &oid(1), &time(1)), tag(repository, "v2", &oid(2), &time(2))]);
        }
        for _ in 0..2 {
            collect_all(&world).await?;
            let stored = world
                .texts(
                    "select concat_ws(' ', r.name, d.version, to_char(d.created_at at time zone 'UTC', 'FMDD')) from deployments as d
                    inner join repositories as r on d.repository_id = r.id
                    inner join deployment_facts as f on d.id = f.deployment_id
                    where
                        extract(hour from d.created_at at time zone 'UTC') = case r.name when 'acme/api' then 8 else 10 end
                        and d.deleted_at is null
                    order by 1",
                )
                .await?;
            assert_eq!(stored, expected);
        }
        let before = world.database.digest().await?;
        collect_all(&world).await?;
        assert_eq!(world.database.digest().await?, before, "{source}");
    }
    Ok(())
}

#[tokio::test]
async fn without_a_source_in_the_file_those_of_github_count_again() -> Result<()> {
    let world = world("{ source: merges, branch: main }").await?;
    collect_all(&world).await?;
    world.fake.put_deployments([
        deployment("acme/api", 1, &oid(4), "2026-06-04T09:00:00Z").status("success", "2026-06-04T09:05:00Z")
    ]);
    let text = "version: 1\nrepositories: [acme/api]\nteams: [{ slug: payments, members: [{ github: ana }] }]\n";
    let file = TeamsFile::parse("teams.yaml", text.as_bytes())?;
    world.store.apply(&file, ApplyOptions::default(), at(NOW)).await?;
    let report = collect_all(&world).await?;
    assert_eq!((report.state, report.problems), (RunState::Succeeded, Vec::new()));
    assert_eq!(world.texts("select source from lists_of_repositories").await?, ["github-deployments"]);
    assert_eq!(world.number("select count(*) from deployment_facts as f inner join deployments as d on f.deployment_id = d.id where d.source = 'github-deployments'").await?, 1);
    Ok(())
}

#[tokio::test]
async fn an_old_run_that_was_running_when_it_was_seen_gets_its_end() -> Result<()> {
    let world = world(WORKFLOW).await?;
    let old = ended(1, 1, "failure", "2026-06-01T23:00:00Z");
    world.fake.put_runs([old.clone()]);
    collect_all_at(&world, "2026-06-02T04:00:00Z").await?;
    // Within the time that is listed again, but not after it.
    let again = old.again("2026-06-08T22:55:00Z");
    world.fake.put_runs([again.clone()]);
    collect_all_at(&world, "2026-06-08T22:58:00Z").await?;
    assert_eq!(world.number("select count(*) from deployments where outcome = 'unfinished'").await?, 1);
    world.fake.put_runs([again.ended("success", "2026-06-08T23:05:00Z")]);
    collect_all_at(&world, "2026-06-09T02:58:00Z").await?;
    assert_eq!(deployments(&world).await?, ["19000000001/1 failed", "19000000001/2 first"]);
    Ok(())
}

#[tokio::test]
async fn without_tags_an_empty_list_of_releases_is_no_loss() -> Result<()> {
    let world = world("{ source: github-releases, tags: true }").await?;
    world.fake.put_tags([tag("acme/api", "v1", &oid(1), "2026-06-01T09:00:00Z")]);
    collect_all_at(&world, "2026-06-10T12:00:00Z").await?;
    assert_eq!(readings(&world).await?, ["github-releases tags 10 12:00"]);
    apply(&world, "{ source: github-releases }").await?;
    collect_all_at(&world, "2026-06-10T16:00:00Z").await?;
    collect_all_at(&world, "2026-06-10T20:00:00Z").await?;
    assert_eq!(readings(&world).await?, ["github-releases releases 10 20:00", "github-releases tags never"]);
    Ok(())
}

#[tokio::test]
async fn a_run_that_waited_for_long_keeps_all_its_attempts() -> Result<()> {
    let world = world(WORKFLOW).await?;
    let waiting = run("acme/api", 1, &oid(1), "2026-06-01T09:00:00Z");
    world.fake.put_runs([waiting.clone()]);
    collect_all_at(&world, "2026-06-01T12:00:00Z").await?;
    // Approved, failed and started again, all before the next collection.
    let failed = waiting.ended("failure", "2026-06-20T09:00:00Z");
    let again = failed.again("2026-06-20T10:00:00Z").ended("success", "2026-06-20T10:05:00Z");
    world.fake.put_runs([again]);
    collect_all_at(&world, "2026-06-20T12:00:00Z").await?;
    assert_eq!(deployments(&world).await?, ["19000000001/1 failed", "19000000001/2 first"]);
    Ok(())
}

#[tokio::test]
async fn what_an_erased_person_merged_stays_a_deployment() -> Result<()> {
    let world = world("{ source: merges, branch: main }").await?;
    collect_all(&world).await?;
    let before = deployments(&world).await?;
    assert_eq!(before, ["#1 first", "#2 change 2", "#3 change 3", "#4 change 4"]);
    let text = "version: 1\nrepositories: [acme/api]\ndeployments: { source: merges, branch: main }\n\
                teams: [{ slug: payments, members: [{ github: bo }] }]\n";
    let file = TeamsFile::parse("teams.yaml", text.as_bytes())?;
    world.store.apply(&file, ApplyOptions::default(), at(NOW)).await?;
    let ana = world.store.accounts_of(&"ana".parse()?).await?;
    let person = ana.first().map(|account| account.person);
    while world.store.erase(person, &["ana".to_owned()], at(NOW)).await? {}
    assert_eq!(world.number("select count(*) from pull_requests").await?, 0);
    for _ in 0..2 {
        assert_eq!(deployments(&world).await?, ["#1 first", "#2 change", "#3 change", "#4 change"]);
        collect_all(&world).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_repository_that_is_removed_and_added_again_keeps_its_releases() -> Result<()> {
    let world = world("{ source: github-releases }").await?;
    world.fake.put_releases([
        release("acme/api", 1, "v1", &oid(2), "2026-06-02T09:00:00Z"),
        release("acme/api", 2, "v2", &oid(4), "2026-06-04T09:00:00Z"),
    ]);
    collect_all(&world).await?;
    let before = deployments(&world).await?;
    assert_eq!(before.len(), 2);
    world.apply_to("acme/web", "{ slug: payments, members: [{ github: ana }] }").await?;
    collect_all_at(&world, "2026-06-15T16:00:00Z").await?;
    assert_eq!(world.number("select count(*) from deployments where deleted_at is null").await?, 2);
    apply(&world, "{ source: github-releases }").await?;
    assert_eq!(deployments(&world).await?, before);
    collect_all_at(&world, "2026-06-15T20:00:00Z").await?;
    assert_eq!(deployments(&world).await?, before);
    Ok(())
}

/// Reports a deployment to production.
async fn post(world: &World, id: &str, sha: String, finished_at: &str) -> Result<()> {
    let event = DeploymentEvent {
        id: id.to_owned(),
        service: "acme/api".to_owned(),
        environment: "production".to_owned(),
        sha: Some(sha),
        finished_at: Some(finished_at.to_owned()),
        ..DeploymentEvent::default()
    };
    let posted = event.check(at(NOW)).map_err(|invalid| anyhow::anyhow!("{invalid:?}"))?;
    Poster::of(&world.store).post_deployment(&Sender::default(), &[7; 32], &posted, at(NOW)).await??;
    Ok(())
}

#[tokio::test]
async fn commits_of_posted_deployments_that_cannot_be_read_are_said() -> Result<()> {
    let coverage =
        "select concat_ws(' ', is_posted, problem, read_at is null, covered_since is null) from deployments_read";
    for is_hidden in [false, true] {
        let world = world("{ source: events }").await?;
        if is_hidden {
            world.fake.withhold_commits();
        }
        post(&world, "1", oid(2), "2026-06-02T09:00:00Z").await?;
        collect_all(&world).await?;
        let unread = world.store.unread_deployments().await?;
        let unread: Vec<(&str, &str)> = unread.iter().map(|it| (it.source.as_str(), it.code.as_str())).collect();
        let (expected, seen) =
            if is_hidden { (vec![("events", "no_permission")], "t no_permission t f") } else { (vec![], "t t f") };
        assert_eq!((unread, world.texts(coverage).await?), (expected, vec![seen.to_owned()]));
    }
    Ok(())
}

#[tokio::test]
async fn the_digest_of_an_image_as_a_posted_commit_does_not_hold_up_other_commits() -> Result<()> {
    let world = world("{ source: events }").await?;
    for (id, sha, time) in [
        ("image", "f".repeat(64), "2026-06-01T09:00:00Z"),
        ("first", oid(1), "2026-06-01T10:00:00Z"),
        ("second", oid(3), "2026-06-03T10:00:00Z"),
    ] {
        post(&world, id, sha, time).await?;
    }
    collect_all(&world).await?;
    assert_eq!(deployments(&world).await?, ["image unknown", "first first", "second change 2,3"]);
    assert_eq!(world.store.unread_deployments().await?, Vec::new());
    Ok(())
}
