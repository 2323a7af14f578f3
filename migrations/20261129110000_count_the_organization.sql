-- Numbers of the organization beside those of teams, and deliveries among the numbers of pull requests.

-- The previous release reads team_statistics, which has no deploy phase and no organization.

-- Measures of merged pull requests over [range_from, range_to), by calendar unit (day, week, month, quarter) in a time zone: those
-- of a team with its weights, or with null those of the organization, each once. One row per measure, for each bucket that the range touches, including empty ones, and for the whole range, whose bucket is
-- null. Unit: seconds; percentiles 0.5, 0.75, 0.9, 0.95.
--   merged      all of them (velocity@1); no durations
--   cycle_time  from opening to merge (pr_cycle_time@1); without merges before the opening, which occur in imported histories
--   coding, pickup, review, deploy  the phases (pr_phases@1), each over the pull requests for which it is known
-- `ignore_weights` gives each pull request the weight 1. The authors behind each duration are counted only with `count_people`,
-- because that takes extra time; otherwise the count is 0. A new measure needs a column in `merged`, a block in `aggregated` and a
-- row in `measures`.
create function merge_statistics(
    team bigint,
    range_from timestamptz,
    range_to timestamptz,
    zone text,
    unit text,
    repository_ids bigint [] default null,
    base_branch text default null,
    ignore_weights boolean default false,
    count_people boolean default false
)
returns table (
    bucket date,
    measure text,
    n bigint,
    weight numeric,
    contributors bigint,
    mean double precision,
    percentiles double precision []
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
                filter (where m.cycle is not null) as cycle_samples,

            count(m.coding) as coding_n,
            sum(m.units) filter (where m.coding is not null) as coding_units,
            count(distinct m.author_id) filter (where count_people and m.coding is not null) as coding_contributors,
            sum(m.coding * m.units) as coding_sum,
            array_agg(weighted_sample(m.coding, m.units) order by weighted_sample(m.coding, m.units) desc)
                filter (where m.coding is not null) as coding_samples,

            count(m.pickup) as pickup_n,
            sum(m.units) filter (where m.pickup is not null) as pickup_units,
            count(distinct m.author_id) filter (where count_people and m.pickup is not null) as pickup_contributors,
            sum(m.pickup * m.units) as pickup_sum,
            array_agg(weighted_sample(m.pickup, m.units) order by weighted_sample(m.pickup, m.units) desc)
                filter (where m.pickup is not null) as pickup_samples,

            count(m.review) as review_n,
            sum(m.units) filter (where m.review is not null) as review_units,
            count(distinct m.author_id) filter (where count_people and m.review is not null) as review_contributors,
            sum(m.review * m.units) as review_sum,
            array_agg(weighted_sample(m.review, m.units) order by weighted_sample(m.review, m.units) desc)
                filter (where m.review is not null) as review_samples,

            count(m.deploy) as deploy_n,
            sum(m.units) filter (where m.deploy is not null) as deploy_units,
            count(distinct m.author_id) filter (where count_people and m.deploy is not null) as deploy_contributors,
            sum(m.deploy * m.units) as deploy_sum,
            array_agg(weighted_sample(m.deploy, m.units) order by weighted_sample(m.deploy, m.units) desc)
                filter (where m.deploy is not null) as deploy_samples
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
        weighted_percentiles(m.samples, m.units, array[0.5, 0.75, 0.9, 0.95])
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
'Measures of merged pull requests, of a team or (null) of the organization: one row per bucket and measure; bucket is null for the whole range.';

-- Merged pull requests by whether they count for teams, by calendar unit in a time zone and for the whole range, whose bucket is
-- null. With the weights of teams, what is left over sums to the number of pull requests. Measures:
--   allocated  those that count for any team, and the sum of the weights of all teams
--   no_team    those whose author was in no team at the time
--   partly     those whose weights sum to less than 1, and what is left of them
--   deleted    those that GitHub no longer has: they do not count
create function allocations(
    range_from timestamptz,
    range_to timestamptz,
    zone text,
    unit text,
    repository_ids bigint [] default null,
    base_branch text default null
)
returns table (bucket date, measure text, n bigint, weight numeric)
language sql stable parallel safe
as $$
    with merged as (
        select
            greatest(
                date_trunc(unit, p.merged_at at time zone zone), (select date_trunc(unit, range_from at time zone zone))
            )::date as bucket,
            p.deleted_at is not null as is_deleted,
            (select sum(a.weight) from pr_attributions as a where a.pull_request_id = p.id) as weight
        from pull_requests as p
        where
            p.merged_at >= range_from
            and p.merged_at < range_to
            and (repository_ids is null or p.repository_id = any(repository_ids))
            and (base_branch is null or p.base_ref = base_branch)
    )

    select m.bucket, x.measure, count(*), sum(x.weight)
    from merged as m
    cross join lateral (
        select 'deleted' as measure, 0::numeric as weight where m.is_deleted
        union all
        select 'allocated', m.weight where not m.is_deleted and m.weight is not null
        union all
        select 'no_team', 1 where not m.is_deleted and m.weight is null
        union all
        select 'partly', 1 - m.weight where not m.is_deleted and m.weight < 1
    ) as x
    group by grouping sets ((m.bucket, x.measure), (x.measure))
$$;

comment on function allocations is
'Merged pull requests by whether they count for teams: one row per bucket and measure; bucket is null for the whole range.';

-- The smallest group of people, but none of nobody, behind a measure of any team, or of the pull requests that count for no team,
-- by week in a time zone. Where it is too small, the same measure of the organization would reveal it by subtraction. By the week of
-- the merge: the measures of merge_statistics. By that of the delivery by a service, or (null) by the first one: change_lead_time, and
-- delivered_deploy from the merge to it.
create function smallest_groups(of_service bigint, range_from timestamptz, range_to timestamptz, zone text)
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
            case when d.delivered_at >= p.merged_at
                then extract(epoch from d.delivered_at - p.merged_at)::double precision end
        from pr_deliveries as d
        inner join pull_requests as p on d.pull_request_id = p.id
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
    )

    select g.bucket, g.measure, min(g.contributors) from groups as g group by g.bucket, g.measure
$$;

comment on function smallest_groups is
'How many people are behind a measure of the smallest team of a week. Other measures of the week would reveal theirs.';

-- With filters for repositories and a branch.
drop function delivery_times(bigint, bigint, timestamptz, timestamptz, text, text, boolean);

-- How long it took from the first commit of delivered pull requests to their delivery (change_lead_time), and from the merge to
-- it (deploy), by the time of delivery. `delivered` counts all of them. With a service: deliveries by it; without: the first one.
create function delivery_times(
    team bigint,
    service bigint,
    range_from timestamptz,
    range_to timestamptz,
    zone text,
    unit text,
    ignore_weights boolean default false,
    repository_ids bigint [] default null,
    base_branch text default null
)
returns table (
    bucket date,
    measure text,
    n bigint,
    weight numeric,
    contributors bigint,
    mean double precision,
    percentiles double precision []
)
language sql stable parallel safe
as $$
    with delivered as (
        select a.delivered_at, a.author_id, a.lead_seconds as lead, a.deploy_seconds as deploy, (a.weight * 10000)::integer as units
        from pr_attributions as a
        where
            team is not null and service is null and a.team_id = team
            and a.delivered_at >= range_from and a.delivered_at < range_to
            and (repository_ids is null or a.repository_id = any(repository_ids))
            and (
                base_branch is null
                or (select p.base_ref from pull_requests as p where p.id = a.pull_request_id) = base_branch
            )
        union all
        select p.delivered_at, p.author_id, lead_seconds(p), deploy_seconds(p), 10000
        from pull_requests as p
        where
            team is null and service is null and p.deleted_at is null
            and p.delivered_at >= range_from and p.delivered_at < range_to
            and (repository_ids is null or p.repository_id = any(repository_ids))
            and (base_branch is null or p.base_ref = base_branch)
        union all
        select
            d.delivered_at,
            p.author_id,
            case when d.delivered_at >= p.first_commit_at
                then extract(epoch from d.delivered_at - p.first_commit_at)::double precision end,
            case when d.delivered_at >= p.merged_at
                then extract(epoch from d.delivered_at - p.merged_at)::double precision end,
            case when team is null then 10000 else (
                select (a.weight * 10000)::integer from pr_attributions as a
                where a.pull_request_id = p.id and a.team_id = team
            ) end
        from pr_deliveries as d
        inner join pull_requests as p on d.pull_request_id = p.id
        where
            service is not null and d.service_id = service and p.deleted_at is null
            and d.delivered_at >= range_from and d.delivered_at < range_to
            and (repository_ids is null or p.repository_id = any(repository_ids))
            and (base_branch is null or p.base_ref = base_branch)
    ),

    weighted as (
        select
            greatest(
                date_trunc(unit, d.delivered_at at time zone zone), (select date_trunc(unit, range_from at time zone zone))
            )::date as bucket,
            d.author_id,
            d.lead,
            d.deploy,
            case when ignore_weights then 10000 else d.units end as units
        from delivered as d
        where d.units is not null
    ),

    aggregated as (
        select
            w.bucket,
            count(*) as n,
            sum(w.units) as units,
            count(distinct w.author_id) as contributors,
            count(distinct w.author_id) filter (where w.lead is not null) as lead_contributors,
            count(distinct w.author_id) filter (where w.deploy is not null) as deploy_contributors,
            count(w.lead) as lead_n,
            sum(w.units) filter (where w.lead is not null) as lead_units,
            sum(w.lead * w.units) as lead_sum,
            array_agg(weighted_sample(w.lead, w.units) order by weighted_sample(w.lead, w.units) desc)
                filter (where w.lead is not null) as lead_samples,
            count(w.deploy) as deploy_n,
            sum(w.units) filter (where w.deploy is not null) as deploy_units,
            sum(w.deploy * w.units) as deploy_sum,
            array_agg(weighted_sample(w.deploy, w.units) order by weighted_sample(w.deploy, w.units) desc)
                filter (where w.deploy is not null) as deploy_samples
        from weighted as w
        group by grouping sets ((w.bucket), ())
    )

    select
        a.bucket,
        m.measure,
        m.n,
        coalesce(m.units, 0)::numeric / 10000,
        m.contributors,
        m.sum / m.units,
        weighted_percentiles(m.samples, m.units, array[0.5, 0.75, 0.9, 0.95])
    from aggregated as a
    cross join lateral (
        values
        ('delivered', a.n, a.units, a.contributors, null::double precision, null::bigint []),
        ('change_lead_time', a.lead_n, a.lead_units, a.lead_contributors, a.lead_sum, a.lead_samples),
        ('deploy', a.deploy_n, a.deploy_units, a.deploy_contributors, a.deploy_sum, a.deploy_samples)
    ) as m (measure, n, units, contributors, sum, samples)
$$;

comment on function delivery_times is
'Lead times of delivered pull requests: one row per bucket and measure; bucket is null for the whole range.';

-- Why a merged pull request was not delivered so far by a service, or (null) by any: the first of its reasons in this order: it
-- waits, its deployments are covered only since later, the history cannot be read, it came before or with the first deployment, no
-- source reports deployments of its service.
create function reason_not_delivered(of_pull_request bigint, by_service bigint)
returns table (reason text)
language sql stable parallel safe
as $$
    select coalesce(
        (
            select d.missing from pr_deliveries as d
            where d.pull_request_id = of_pull_request and (by_service is null or d.service_id = by_service)
            order by
                array_position(
                    array['not_deployed_yet', 'not_collected', 'unknown_history', 'before_first_deployment'], d.missing
                ) nulls first
            limit 1
        ),
        'no_source'
    )
$$;

comment on function reason_not_delivered is 'Why a merged pull request was not delivered so far by a service, or by any.';

-- Why pull requests that were merged in [range_from, range_to) were not delivered so far.
create or replace function undelivered(team bigint, service bigint, range_from timestamptz, range_to timestamptz)
returns table (reason text, n bigint, weight numeric)
language sql stable parallel safe
as $$
    with merged as (
        select p.id, 1::numeric as weight
        from pull_requests as p
        where
            team is null and p.deleted_at is null and p.merged_at >= range_from and p.merged_at < range_to
            and (service is not null or p.delivered_at is null)
        union all
        select a.pull_request_id, a.weight
        from pr_attributions as a
        where
            a.team_id = team and a.merged_at >= range_from and a.merged_at < range_to
            and (service is not null or a.delivered_at is null)
    ),

    explained as (
        select m.weight, r.reason
        from merged as m
        cross join lateral reason_not_delivered(m.id, service) as r
        where
            service is null
            or exists (
                select from repositories_of_services as o
                inner join pull_requests as p on o.repository_id = p.repository_id
                where o.service_id = service and p.id = m.id
            ) and not exists (
                select from pr_deliveries as d
                where d.pull_request_id = m.id and d.service_id = service and d.delivered_at is not null
            )
    )

    select e.reason, count(*), sum(e.weight)
    from explained as e
    group by e.reason
$$;
