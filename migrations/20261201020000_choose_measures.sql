-- Percentiles of measures that nobody asked for take most of the time: each sorts all of the range twice.
drop function if exists merge_statistics(
    bigint, timestamptz, timestamptz, text, text, bigint [], text, boolean, boolean
);

create or replace function merge_statistics(
    team bigint,
    range_from timestamptz,
    range_to timestamptz,
    zone text,
    unit text,
    repository_ids bigint [] default null,
    base_branch text default null,
    ignore_weights boolean default false,
    count_people boolean default false,
    measures text [] default null
)
returns table (
    bucket date,
    measure text,
    n bigint,
    weight numeric,
    contributors bigint,
    mean double precision,
    percentiles double precision [],
    median_interval double precision []
)
language sql stable parallel safe
as $$
    with merged as (
        select
            -- Where clocks go back over midnight, the day before the first one comes a second time: it belongs to the first.
            greatest(
                date_trunc(unit, a.merged_at at time zone zone), (select date_trunc(unit, range_from at time zone zone))
            )::date as bucket,
            a.author_id,
            case when ignore_weights then 10000 else (a.weight * 10000)::integer end as units,
            a.cycle_seconds as cycle,
            a.coding_seconds as coding,
            a.pickup_seconds as pickup,
            a.review_seconds as review,
            a.deploy_seconds as deploy
        from pr_attributions as a
        where
            a.team_id = team
            and a.merged_at >= range_from
            and a.merged_at < range_to
            and (repository_ids is null or a.repository_id = any(repository_ids))
            and (
                base_branch is null
                or (select p.base_ref from pull_requests as p where p.id = a.pull_request_id) = base_branch
            )
        union all
        select
            greatest(
                date_trunc(unit, p.merged_at at time zone zone), (select date_trunc(unit, range_from at time zone zone))
            )::date,
            p.author_id,
            10000,
            p.cycle_seconds,
            p.coding_seconds,
            p.pickup_seconds,
            p.review_seconds,
            deploy_seconds(p)
        from pull_requests as p
        where
            team is null
            and p.deleted_at is null
            and p.merged_at >= range_from
            and p.merged_at < range_to
            and (repository_ids is null or p.repository_id = any(repository_ids))
            and (base_branch is null or p.base_ref = base_branch)
    ),

    aggregated as (
        select
            m.bucket,
            count(*) as n,
            sum(m.units) as units,
            count(distinct m.author_id) as contributors,

            count(m.cycle) as cycle_n,
            sum(m.units) filter (where m.cycle is not null) as cycle_units,
            count(distinct m.author_id) filter (where count_people and m.cycle is not null) as cycle_contributors,
            sum(m.cycle * m.units) as cycle_sum,
            array_agg(weighted_sample(m.cycle, m.units) order by weighted_sample(m.cycle, m.units) desc)
                filter (where m.cycle is not null and (measures is null or 'cycle_time' = any(measures))) as cycle_samples,

            count(m.coding) as coding_n,
            sum(m.units) filter (where m.coding is not null) as coding_units,
            count(distinct m.author_id) filter (where count_people and m.coding is not null) as coding_contributors,
            sum(m.coding * m.units) as coding_sum,
            array_agg(weighted_sample(m.coding, m.units) order by weighted_sample(m.coding, m.units) desc)
                filter (where m.coding is not null and (measures is null or 'coding' = any(measures))) as coding_samples,

            count(m.pickup) as pickup_n,
            sum(m.units) filter (where m.pickup is not null) as pickup_units,
            least(
                count(distinct m.author_id) filter (where count_people and m.pickup is not null),
                nullif(count(distinct m.author_id) filter (where count_people and m.pickup is null and m.cycle is not null), 0)
            ) as pickup_contributors,
            sum(m.pickup * m.units) as pickup_sum,
            array_agg(weighted_sample(m.pickup, m.units) order by weighted_sample(m.pickup, m.units) desc)
                filter (where m.pickup is not null and (measures is null or 'pickup' = any(measures))) as pickup_samples,

            count(m.review) as review_n,
            sum(m.units) filter (where m.review is not null) as review_units,
            least(
                count(distinct m.author_id) filter (where count_people and m.review is not null),
                nullif(count(distinct m.author_id) filter (where count_people and m.review is null and m.cycle is not null), 0)
            ) as review_contributors,
            sum(m.review * m.units) as review_sum,
            array_agg(weighted_sample(m.review, m.units) order by weighted_sample(m.review, m.units) desc)
                filter (where m.review is not null and (measures is null or 'review' = any(measures))) as review_samples,

            count(m.deploy) as deploy_n,
            sum(m.units) filter (where m.deploy is not null) as deploy_units,
            count(distinct m.author_id) filter (where count_people and m.deploy is not null) as deploy_contributors,
            sum(m.deploy * m.units) as deploy_sum,
            array_agg(weighted_sample(m.deploy, m.units) order by weighted_sample(m.deploy, m.units) desc)
                filter (where m.deploy is not null and (measures is null or 'deploy' = any(measures))) as deploy_samples
        from merged as m
        group by grouping sets ((m.bucket), ())
    ),

    -- From local times, which an instant has exactly one of: no bucket is lost or doubled where clocks change.
    calendar as (
        select
            generate_series(
                date_trunc(unit, range_from at time zone zone),
                (range_to - interval '1 microsecond') at time zone zone,
                case unit when 'quarter' then interval '3 months' else ('1 ' || unit)::interval end
            )::date as bucket
        where range_from < range_to
        union all
        select null
    )

    select
        c.bucket,
        m.measure,
        coalesce(m.n, 0),
        coalesce(m.units, 0)::numeric / 10000,
        coalesce(m.contributors, 0),
        m.sum / m.units,
        weighted_percentiles(m.samples, m.units, array[0.5, 0.75, 0.9, 0.95]),
        median_interval(m.samples)
    from calendar as c
    left join aggregated as a on a.bucket is not distinct from c.bucket
    cross join lateral (
        values
        ('merged', a.n, a.units, a.contributors, null::double precision, null::bigint []),
        ('cycle_time', a.cycle_n, a.cycle_units, a.cycle_contributors, a.cycle_sum, a.cycle_samples),
        ('coding', a.coding_n, a.coding_units, a.coding_contributors, a.coding_sum, a.coding_samples),
        ('pickup', a.pickup_n, a.pickup_units, a.pickup_contributors, a.pickup_sum, a.pickup_samples),
        ('review', a.review_n, a.review_units, a.review_contributors, a.review_sum, a.review_samples),
        ('deploy', a.deploy_n, a.deploy_units, a.deploy_contributors, a.deploy_sum, a.deploy_samples)
    ) as m (measure, n, units, contributors, sum, samples)
    order by c.bucket nulls last
$$;

comment on function merge_statistics is
'Measures of merged pull requests, of a team or (null) of the organization: one row per bucket and measure; bucket is null for the whole '
'range. With measures, only these have percentiles.';
