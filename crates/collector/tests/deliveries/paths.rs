//! Services that share a repository by paths.

use anyhow::Result;
use chrono::TimeDelta;
use mergeline_domain::teams_file::TeamsFile;
use mergeline_fake_github::{at, deployment};
use mergeline_store::ApplyOptions;

use super::{collect_all, collect_all_at, commit, merged_as, oid};
use crate::common::{NOW, World};

const BOTH: &str = "services:
- { slug: shop, repositories: [acme/api], paths: [shop, shared/**], environments: [prod-shop] }
- { slug: admin, repositories: [acme/api], paths: [admin, shared/**], environments: [prod-admin] }";

async fn apply(world: &World, services: &str) -> Result<()> {
    let text = format!(
        "version: 1\nrepositories: [acme/api]\n{services}\nteams: [{{ slug: payments, members: [{{ github: ana }}] }}]\n"
    );
    let file = TeamsFile::parse("teams.yaml", text.as_bytes())?;
    world.store.apply(&file, ApplyOptions::default(), at(NOW)).await?;
    agree(world).await
}

async fn agree(world: &World) -> Result<()> {
    assert_eq!(world.store.derive_all(false).await?.rows, 0, "a full recompute agrees");
    // The numbers are those of the rows behind them.
    let each = world
        .texts(
            "select r.reason || ' ' || count(*) from pull_requests as p cross join reason_not_delivered(p.id) as r
            where p.merged_at is not null and p.delivered_at is null group by r.reason order by r.reason",
        )
        .await?;
    let all = "select reason || ' ' || n from undelivered(null, null, '2026-01-01', '2027-01-01') order by reason";
    assert_eq!(each, world.texts(all).await?);
    Ok(())
}

/// What each service says about each of its pull requests.
async fn by_service(world: &World) -> Result<Vec<String>> {
    world
        .texts(
            "select s.slug || ' #' || p.number || ' ' || coalesce(l.missing, d.environment)
            from pr_deliveries as l
            inner join services as s on l.service_id = s.id
            inner join pull_requests as p on l.pull_request_id = p.id
            left join deployments as d on l.deployment_id = d.id
            order by s.slug, p.number",
        )
        .await
}

/// Why pull requests were not delivered at all, and by one service.
async fn reasons(world: &World) -> Result<Vec<String>> {
    world
        .texts(
            "select concat_ws(' ', s.slug, u.reason, u.n)
            from (select null::bigint as id, null as slug union all select id, slug from services where slug is not null) as s
            cross join lateral undelivered(null, s.id, '2026-01-01', '2027-01-01') as u
            order by s.slug nulls first, u.reason",
        )
        .await
}

/// How often files were asked for.
fn asked(world: &World) -> usize {
    let is_of_files = |body: &String| body.contains("ChangedFiles") || body.contains("MoreFiles");
    world.fake.requests().iter().filter(|request| request.body.as_ref().is_some_and(is_of_files)).count()
}

/// Five pull requests after a first one, one per day: of the shop, of the administration, of both, of neither, of the shop. Both
/// are deployed after the first and after the fourth.
async fn world() -> Result<World> {
    let world = World::new().await?;
    let day = |number: u64| format!("2026-06-{number:02}T08:00:00Z");
    let commits = (1..=6).map(|number| commit(number, &[number - 1][..usize::from(number > 1)], &day(number)));
    world.fake.put_commits("acme/api", commits);
    let files: [&[&str]; 6] = [
        &["shop/a.rs", "admin/a.rs"],
        &["shop/b.rs"],
        &["admin/b.rs"],
        &["shared/x/c.rs"],
        &["README.md"],
        &["shop/d.rs"],
    ];
    let numbered = (1..).zip(1..).zip(files);
    world.fake.put(numbered.map(|((number, oid), files)| merged_as(number, oid, &day(oid)).changing(files)));
    let deployed = |number: i64, commit: u64, environment: &str, time: &str| {
        deployment("acme/api", number, &oid(commit), time).to(environment).status("success", time)
    };
    world.fake.put_deployments([
        deployed(1, 1, "prod-shop", "2026-06-01T09:00:00Z"),
        deployed(2, 1, "prod-admin", "2026-06-01T10:00:00Z"),
        deployed(3, 5, "prod-shop", "2026-06-05T09:00:00Z"),
        deployed(4, 5, "prod-admin", "2026-06-05T10:00:00Z"),
    ]);
    Ok(world)
}

#[tokio::test]
async fn a_pull_request_belongs_to_the_services_whose_paths_it_changes() -> Result<()> {
    let world = world().await?;
    apply(&world, BOTH).await?;
    let report = collect_all(&world).await?;
    assert_eq!(report.problems, Vec::<String>::new());
    agree(&world).await?;
    assert_eq!(
        by_service(&world).await?,
        [
            "admin #1 before_first_deployment",
            "admin #3 prod-admin",
            "admin #4 prod-admin",
            "shop #1 before_first_deployment",
            "shop #2 prod-shop",
            "shop #4 prod-shop",
            "shop #6 not_deployed_yet",
        ]
    );
    let expected = [
        "before_first_deployment 1",
        "no_service 1",
        "not_deployed_yet 1",
        "admin before_first_deployment 1",
        "shop before_first_deployment 1",
        "shop not_deployed_yet 1",
    ];
    assert_eq!(reasons(&world).await?, expected);
    assert_eq!(asked(&world), 1, "a query for a hundred");
    let before = world.database.digest().await?;
    collect_all(&world).await?;
    assert_eq!((asked(&world), world.database.digest().await?), (1, before), "what is merged does not change");
    Ok(())
}

#[tokio::test]
async fn files_are_not_read_where_no_service_has_paths() -> Result<()> {
    let world = world().await?;
    apply(&world, "services: [{ slug: shop, repositories: [acme/api], environments: [prod-shop] }]").await?;
    collect_all(&world).await?;
    assert_eq!(asked(&world), 0);
    let delivered = ["shop #2 prod-shop", "shop #3 prod-shop", "shop #4 prod-shop", "shop #5 prod-shop"];
    assert_eq!(by_service(&world).await?[1..5], delivered);
    Ok(())
}

/// How many pull requests answers say are not compared.
async fn pending(world: &World) -> Result<i64> {
    world.number("select coalesce(sum(without_files), 0)::bigint from repositories").await
}

#[tokio::test]
async fn what_was_compared_with_other_paths_stands_until_the_next_run() -> Result<()> {
    let world = world().await?;
    apply(&world, BOTH).await?;
    assert_eq!(pending(&world).await?, 0, "nothing is stored");
    collect_all(&world).await?;
    let (before, explained) = (by_service(&world).await?, reasons(&world).await?);
    apply(&world, &BOTH.replace("paths: [shop, shared/**]", "paths: [shared/**, shop/, shop]")).await?;
    assert_eq!(pending(&world).await?, 0, "the same, written differently");
    apply(&world, &BOTH.replace("paths: [shop, ", "paths: [README.md, ")).await?;
    assert_eq!((by_service(&world).await?, pending(&world).await?), (before.clone(), 6));
    let expected = [
        "before_first_deployment 1",
        "not_collected 1",
        "not_deployed_yet 1",
        "admin before_first_deployment 1",
        "shop before_first_deployment 1",
        "shop not_collected 2",
        "shop not_deployed_yet 1",
    ];
    assert_eq!(reasons(&world).await?, expected, "admin's paths are the same");
    collect_all(&world).await?;
    agree(&world).await?;
    assert_eq!((asked(&world), pending(&world).await?), (2, 0));
    assert_eq!(by_service(&world).await?[3..], ["shop #4 prod-shop", "shop #5 prod-shop"]);
    // Back, with another change in between.
    apply(&world, BOTH).await?;
    apply(&world, &BOTH.replace("paths: [shop, ", "paths: [nothing, ")).await?;
    apply(&world, BOTH).await?;
    collect_all(&world).await?;
    agree(&world).await?;
    assert_eq!((by_service(&world).await?, reasons(&world).await?), (before.clone(), explained));
    // Without paths, both have everything, and keep it until it is compared.
    let without = BOTH.replace("paths: [shop, shared/**], ", "").replace("paths: [admin, shared/**], ", "");
    apply(&world, &without).await?;
    let all = by_service(&world).await?;
    assert_eq!(all.len(), 12);
    apply(&world, BOTH).await?;
    assert_eq!((by_service(&world).await?, pending(&world).await?), (all, 6));
    collect_all(&world).await?;
    assert_eq!(by_service(&world).await?, before);
    Ok(())
}

#[tokio::test]
async fn a_repository_that_is_no_longer_collected_keeps_its_past_with_other_paths() -> Result<()> {
    let world = world().await?;
    apply(&world, BOTH).await?;
    collect_all(&world).await?;
    let before = by_service(&world).await?;
    let elsewhere = |paths: &str| format!("services: [{{ slug: shop, repositories: [acme/web], paths: [{paths}] }}]");
    for services in [elsewhere("shop, shared/**"), elsewhere("other")] {
        let text = format!(
            "version: 1\nrepositories: [acme/web]\n{services}\nteams: [{{ slug: payments, members: [{{ github: ana }}] }}]\n"
        );
        let file = TeamsFile::parse("teams.yaml", text.as_bytes())?;
        world.store.apply(&file, ApplyOptions { allow_removals: true, ..ApplyOptions::default() }, at(NOW)).await?;
        agree(&world).await?;
        assert_eq!(by_service(&world).await?, before);
        let of_shop: Vec<String> = reasons(&world).await?.into_iter().filter(|it| it.starts_with("shop")).collect();
        assert_eq!(of_shop, ["shop before_first_deployment 1", "shop not_deployed_yet 1"]);
    }
    Ok(())
}

#[tokio::test]
async fn a_pull_request_with_more_files_than_github_lists_belongs_to_all_services() -> Result<()> {
    let world = world().await?;
    let mut large = merged_as(2, 2, "2026-06-02T08:00:00Z");
    large.changed_files = 3_001;
    let mut long = merged_as(3, 3, "2026-06-03T08:00:00Z");
    long.files = (1..=101).map(|number| format!("docs/{number}.md")).collect();
    long.files.push("admin/last.rs".to_owned());
    long.changed_files = 102;
    world.fake.put([large, long]);
    apply(&world, BOTH).await?;
    collect_all(&world).await?;
    agree(&world).await?;
    let services = "select '#' || p.number || ' ' || array_to_string(array(
            select s.slug from pull_request_services as t inner join services as s on t.service_id = s.id
            where t.pull_request_id = p.id and t.is_touched order by s.slug
        ), ' ') || case when 'files_incomplete' = any(pull_request_flags(p)) then ' incomplete' else '' end
        from pull_requests as p where p.number in (2, 3) order by p.number";
    assert_eq!(world.texts(services).await?, ["#2 admin shop incomplete", "#3 admin"], "pages are read on");
    Ok(())
}

#[tokio::test]
async fn files_that_github_does_not_return_are_asked_for_later_and_nothing_else_waits() -> Result<()> {
    let world = world().await?;
    apply(&world, BOTH).await?;
    for number in [2, 4] {
        world.fake.break_files("acme/api", number, true);
    }
    collect_all(&world).await?;
    agree(&world).await?;
    let unread = "select count(*) from pull_request_files where paths_digest is null and failures = 1";
    assert_eq!((world.number(unread).await?, pending(&world).await?), (2, 2));
    assert!(reasons(&world).await?.contains(&"not_collected 2".to_owned()), "{:?}", reasons(&world).await?);
    assert_eq!(world.number("select count(*) from deployment_facts").await?, 4, "deployments are read");
    let before = asked(&world);
    collect_all(&world).await?;
    assert_eq!(asked(&world), before, "not before an hour has passed");
    for number in [2, 4] {
        world.fake.break_files("acme/api", number, false);
    }
    collect_all_at(&world, "2026-06-17T14:00:00Z").await?;
    agree(&world).await?;
    assert_eq!(by_service(&world).await?.len(), 7);
    Ok(())
}

#[tokio::test]
async fn broken_neighbors_hold_up_no_other_node() -> Result<()> {
    let world = world().await?;
    world.fake.put((7..=40).map(|number| merged_as(number, 6, "2026-06-07T08:00:00Z").changing(&["admin/x.rs"])));
    // The latest are asked for first.
    for number in 30..=40 {
        world.fake.break_files("acme/api", number, true);
    }
    apply(&world, BOTH).await?;
    let report = collect_all(&world).await?;
    assert_eq!(report.problems, Vec::<String>::new());
    agree(&world).await?;
    assert_eq!(pending(&world).await?, 11);
    assert_eq!(world.number("select count(*) from pull_request_files where failures = 1").await?, 11);
    assert_eq!(world.number("select count(*) from deployment_facts").await?, 4, "deployments are read");
    // With one new neighbor, which is read.
    world.fake.put([merged_as(41, 6, "2026-06-17T13:00:00Z").changing(&["admin/x.rs"])]);
    collect_all_at(&world, "2026-06-17T14:00:00Z").await?;
    assert_eq!(pending(&world).await?, 11);
    assert_eq!(world.number("select count(*) from pull_request_files where failures = 2").await?, 11);
    // After a while they count for all.
    for hours in [20, 60, 120] {
        let now = at("2026-06-17T14:00:00Z") + TimeDelta::hours(hours);
        collect_all_at(&world, &now.to_rfc3339()).await?;
    }
    assert_eq!(pending(&world).await?, 11);
    collect_all_at(&world, "2026-07-01T14:00:00Z").await?;
    agree(&world).await?;
    assert_eq!(pending(&world).await?, 0);
    let flagged = "select count(*) from pull_requests as p where 'files_incomplete' = any(pull_request_flags(p))";
    assert_eq!(world.number(flagged).await?, 11);
    Ok(())
}

#[tokio::test]
async fn new_services_keep_what_their_repository_had_until_it_is_compared() -> Result<()> {
    let world = world().await?;
    apply(&world, "environments: { production: [prod-shop, prod-admin] }").await?;
    collect_all(&world).await?;
    let delivered = "select count(*) from pull_requests where delivered_at is not null";
    assert_eq!(world.number(delivered).await?, 4);
    apply(&world, BOTH).await?;
    assert_eq!((world.number(delivered).await?, pending(&world).await?), (4, 6));
    collect_all(&world).await?;
    agree(&world).await?;
    assert_eq!((world.number(delivered).await?, pending(&world).await?), (3, 0), "#5 belongs to no service");
    Ok(())
}
