-- As merge_statistics does for a team: of the organization, what one person of a team lacks would show that person's time.
create or replace function smallest_groups(
    of_service bigint, range_from timestamptz, range_to timestamptz, zone text
)
returns table (bucket date, measure text, contributors bigint)
language sql stable parallel safe
as $$
    with merged as (
        select
            greatest(
                date_trunc('week', p.merged_at at time zone zone), (select date_trunc('week', range_from at time zone zone))
            )::date as bucket,
            a.team_id,
            p.author_id,
            p.cycle_seconds,
            p.coding_seconds,
            p.pickup_seconds,
            p.review_seconds,
            deploy_seconds(p) as deploy_seconds
        from pull_requests as p
        left join pr_attributions as a on p.id = a.pull_request_id
        where p.deleted_at is null and p.merged_at >= range_from and p.merged_at < range_to
    ),

    deliveries as (
        select p.id, p.delivered_at, lead_seconds(p) as lead_seconds, deploy_seconds(p) as deploy_seconds
        from pull_requests as p
        where
            of_service is null and p.deleted_at is null and p.delivered_at >= range_from and p.delivered_at < range_to
        union all
        select
            p.id,
            d.delivered_at,
            case when d.delivered_at >= p.first_commit_at
                then extract(epoch from d.delivered_at - p.first_commit_at)::double precision end,
            case when d.delivered_at >= p.merged_at and x.source <> 'merges'
                then extract(epoch from d.delivered_at - p.merged_at)::double precision end
        from pr_deliveries as d
        inner join pull_requests as p on d.pull_request_id = p.id
        inner join deployments as x on d.deployment_id = x.id
        where
            d.service_id = of_service and p.deleted_at is null and d.delivered_at >= range_from and d.delivered_at < range_to
    ),

    delivered as (
        select
            greatest(
                date_trunc('week', d.delivered_at at time zone zone), (select date_trunc('week', range_from at time zone zone))
            )::date as bucket,
            a.team_id,
            p.author_id,
            d.lead_seconds,
            d.deploy_seconds
        from deliveries as d
        inner join pull_requests as p on d.id = p.id
        left join pr_attributions as a on d.id = a.pull_request_id
    ),

    groups as (
        select d.bucket, x.measure, d.team_id, count(distinct d.author_id) as contributors
        from delivered as d
        cross join lateral (
            values ('change_lead_time', d.lead_seconds), ('delivered_deploy', d.deploy_seconds)
        ) as x (measure, seconds)
        where x.seconds is not null
        group by d.bucket, x.measure, d.team_id
        union all
        select m.bucket, d.measure, m.team_id, count(distinct m.author_id) as contributors
        from merged as m
        cross join lateral (
            values
            ('cycle_time', m.cycle_seconds),
            ('coding', m.coding_seconds),
            ('pickup', m.pickup_seconds),
            ('review', m.review_seconds),
            ('deploy', m.deploy_seconds)
        ) as d (measure, seconds)
        where d.seconds is not null
        group by m.bucket, d.measure, m.team_id
        union all
        -- The sum of all without the sums of both phases is of those who lack one.
        select m.bucket, d.measure, m.team_id, count(distinct m.author_id) as contributors
        from merged as m
        cross join lateral (values ('pickup', m.pickup_seconds), ('review', m.review_seconds)) as d (measure, seconds)
        where d.seconds is null and m.cycle_seconds is not null
        group by m.bucket, d.measure, m.team_id
    )

    select g.bucket, g.measure, min(g.contributors) from groups as g group by g.bucket, g.measure
$$;
