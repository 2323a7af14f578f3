//! Services of the teams file: whose a deployment is.

use anyhow::Result;
use mergeline_domain::teams_file::TeamsFile;
use mergeline_fake_github::{at, deployment};
use mergeline_store::ApplyOptions;

use super::{collect_all, collect_all_at, commit, deliveries, merged_as, oid};
use crate::common::{NOW, World};

const TEAMS: &str =
    "teams:\n- { slug: payments, members: [{ github: ana }] }\n- { slug: platform, members: [{ github: bob }] }\n";

async fn apply(world: &World, services: &str) -> Result<()> {
    let text = format!("version: 1\nrepositories: [acme/api, acme/web]\n{services}\n{TEAMS}");
    let file = TeamsFile::parse("teams.yaml", text.as_bytes())?;
    world.store.apply(&file, ApplyOptions::default(), at(NOW)).await?;
    assert_eq!(world.store.derive_all(false).await?.rows, 0, "a full recompute agrees");
    Ok(())
}

/// Deployments of each service: its name, and the numbers of its deployments with their kinds.
async fn by_service(world: &World) -> Result<Vec<String>> {
    world
        .texts(
            "select coalesce(s.slug, replace(r.display_name, '/', '.')) || ' '
                || string_agg((d.external_id::bigint - 5000000000) || ':' || coalesce(f.kind, '-'), ' ' order by d.external_id)
            from deployment_facts as f
            inner join deployments as d on f.deployment_id = d.id
            inner join services as s on f.service_id = s.id
            left join repositories as r on s.repository_id = r.id
            group by s.slug, r.display_name order by 1",
        )
        .await
}

async fn world() -> Result<World> {
    let world = World::new().await?;
    world.fake.put_commits(
        "acme/api",
        [
            commit(1, &[], "2026-06-01T08:00:00Z"),
            commit(2, &[1], "2026-06-02T08:00:00Z"),
            commit(3, &[2], "2026-06-03T08:00:00Z"),
        ],
    );
    world.fake.put([
        merged_as(1, 1, "2026-06-01T08:00:00Z"),
        merged_as(2, 2, "2026-06-02T08:00:00Z"),
        merged_as(3, 3, "2026-06-03T08:00:00Z"),
    ]);
    let deployed = |number: i64, commit: u64, environment: &str, time: &str| {
        deployment("acme/api", number, &oid(commit), time).to(environment).status("success", time)
    };
    world.fake.put_deployments([
        deployed(1, 1, "production", "2026-06-01T09:00:00Z"),
        deployed(2, 2, "prod-admin", "2026-06-02T09:00:00Z"),
        deployed(3, 2, "production", "2026-06-02T10:00:00Z"),
        deployed(4, 3, "prod-admin", "2026-06-03T09:00:00Z"),
        deployed(5, 3, "blue", "2026-06-03T10:00:00Z"),
    ]);
    collect_all(&world).await?;
    Ok(world)
}

#[tokio::test]
async fn a_repository_is_a_service_until_the_file_names_one() -> Result<()> {
    let world = world().await?;
    assert_eq!(by_service(&world).await?, ["acme.api 1:first 2:change 3:rollout 4:change"]);
    apply(&world, "services: [{ slug: shop, repositories: [acme/api] }]").await?;
    assert_eq!(by_service(&world).await?, ["shop 1:first 2:change 3:rollout 4:change"]);
    apply(&world, "").await?;
    assert_eq!(by_service(&world).await?, ["acme.api 1:first 2:change 3:rollout 4:change"]);
    Ok(())
}

#[tokio::test]
async fn services_of_one_repository_are_told_apart_by_environments() -> Result<()> {
    let world = world().await?;
    let services = "services:\n- { slug: shop, repositories: [acme/api] }\n\
                    - { slug: admin, repositories: [acme/api], environments: [prod-admin] }";
    apply(&world, services).await?;
    assert_eq!(by_service(&world).await?, ["admin 2:first 4:change", "shop 1:first 3:change"]);
    let delivered = world
        .texts(
            "select s.slug || ' #' || p.number from pr_deliveries as l
            inner join services as s on l.service_id = s.id
            inner join pull_requests as p on l.pull_request_id = p.id
            where l.deployment_id is not null order by 1",
        )
        .await?;
    assert_eq!(delivered, ["admin #3", "shop #2"], "each delivers for itself");
    let first = world
        .texts(
            "select number || ' ' || delivered_at::date from pull_requests where delivered_at is not null order by 1",
        )
        .await?;
    assert_eq!(first, ["2 2026-06-02", "3 2026-06-03"], "of the whole, the first service counts");
    Ok(())
}

#[tokio::test]
async fn a_state_may_move_a_deployment_to_a_service_without_any() -> Result<()> {
    let world = World::new().await?;
    let services = "services:\n- { slug: shop, repositories: [acme/api], environments: [deploy, shop] }\n\
                    - { slug: blog, repositories: [acme/api], environments: [blog] }";
    apply(&world, services).await?;
    world.fake.put([merged_as(1, 1, "2026-06-01T08:00:00Z")]);
    world.fake.put_commits("acme/api", [commit(1, &[], "2026-06-01T08:00:00Z")]);
    world.fake.put_deployments([deployment("acme/api", 1, &oid(1), "2026-06-01T09:00:00Z")
        .to("deploy")
        .status("success", "2026-06-01T09:00:00Z")
        .in_environment("blog")]);
    collect_all(&world).await?;
    assert_eq!(by_service(&world).await?, ["blog 1:first"]);
    Ok(())
}

#[tokio::test]
async fn a_repository_that_is_removed_keeps_its_past() -> Result<()> {
    let world = world().await?;
    let shop = "services: [{ slug: shop, repositories: [acme/api], owners: [{ team: payments }] }]";
    apply(&world, shop).await?;
    let past = "select 'delivered ' || count(*) from pull_requests where delivered_at is not null
        union all select basis || ' ' || sum(share)::integer from deployment_shares group by basis
        union all select 'facts ' || count(*) from deployment_facts";
    let before = world.texts(past).await?;
    assert_eq!(before, ["delivered 2", "delivered 2", "owned 3", "facts 4"]);
    let text = format!("version: 1\nrepositories: [acme/web]\n{TEAMS}");
    let file = TeamsFile::parse("teams.yaml", text.as_bytes())?;
    world.store.apply(&file, ApplyOptions::default(), at(NOW)).await?;
    assert_eq!(world.store.derive_all(false).await?.rows, 0, "a full recompute agrees");
    assert_eq!(world.texts(past).await?, before);
    apply(&world, shop).await?;
    assert_eq!(world.texts(past).await?, before, "and when it returns");
    Ok(())
}

#[tokio::test]
async fn a_service_may_have_a_repository_by_two_names() -> Result<()> {
    let world = world().await?;
    let pool = world.database.pool().await?;
    world.fake.rename("acme/api", "acme/new");
    // Under a pattern, both names may be written.
    sqlx::raw_sql(
        "insert into services (slug, name, place) values ('shop', 'shop', 0);
        insert into service_repositories (service_id, repository)
        select s.id, n.name from services as s cross join (values ('acme/api'), ('acme/new')) as n (name) where s.slug = 'shop'",
    )
    .execute(&pool)
    .await?;
    // The next run finds that its deployments belong to the service now.
    collect_all_at(&world, "2026-06-15T16:00:00Z").await?;
    assert_eq!(by_service(&world).await?, ["shop 1:first 2:change 3:rollout 4:change"]);
    assert_eq!(world.store.derive_all(false).await?.rows, 0, "a full recompute agrees");
    Ok(())
}

#[tokio::test]
async fn configured_environments_replace_the_default_ones() -> Result<()> {
    let world = world().await?;
    apply(&world, "environments: { production: [blue] }").await?;
    assert_eq!(by_service(&world).await?, ["acme.api 5:first"]);
    apply(&world, "environments: { production: [blue, production] }").await?;
    assert_eq!(by_service(&world).await?, ["acme.api 1:first 3:change 5:change"]);
    assert_eq!(deliveries(&world).await?.into_values().collect::<Vec<_>>(), ["before_first_deployment", "3", "5"]);
    Ok(())
}

#[tokio::test]
async fn owners_have_their_shares_when_a_deployment_finished() -> Result<()> {
    let world = world().await?;
    let shop = |owners: &str| format!("services: [{{ slug: shop, repositories: [acme/api], owners: [{owners}] }}]");
    apply(
        &world,
        &shop(
            "{ team: payments, weight: 0.6 }, { team: platform, weight: 0.4, to: 2026-06-02 }, \
             { team: platform, weight: 0.1, from: 2026-06-03 }",
        ),
    )
    .await?;
    let owned = "select t.slug || ' ' || sum(s.share)::numeric(6, 2) || ' of ' || count(*)
        from deployment_shares as s inner join teams as t on s.team_id = t.id
        where s.basis = 'owned' group by t.slug order by t.slug";
    assert_eq!(world.texts(owned).await?, ["payments 1.80 of 3", "platform 0.50 of 2"]);
    apply(&world, &shop("{ team: payments }")).await?;
    assert_eq!(world.texts(owned).await?, ["payments 3.00 of 3"]);
    assert_eq!(world.number("select count(*) from service_owners where removed_in is not null").await?, 3, "history");
    Ok(())
}
