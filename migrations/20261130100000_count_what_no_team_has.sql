-- What no team has of deployments and incidents: for the organization and for services, the shares of all teams stand beside the number.
drop function count_deployments;
drop function recovery_times;
drop function scoped_deployments;
drop function scoped_incidents;

create function scoped_deployments(
    team bigint, service bigint, by_basis text, range_from timestamptz, range_to timestamptz
)
returns table (
    deployment_id bigint,
    finished_at timestamptz,
    succeeded_at timestamptz,
    kind text,
    rework text [],
    share numeric,
    attributed numeric
)
language sql stable parallel safe
as $$
    select s.deployment_id, s.finished_at, s.succeeded_at, s.kind, s.rework, s.share, s.share
    from deployment_shares as s
    where
        team is not null and s.basis = by_basis and s.team_id = team and (service is null or s.service_id = service)
        and s.finished_at >= range_from and s.finished_at < range_to
        and s.kind is distinct from 'rollout'
    union all
    select f.deployment_id, f.finished_at, f.succeeded_at, f.kind, f.rework, 1, coalesce(a.share, 0)
    from deployment_facts as f
    left join (
        select s.deployment_id, sum(s.share) as share
        from deployment_shares as s
        where
            s.basis = by_basis and (service is null or s.service_id = service)
            and s.finished_at >= range_from and s.finished_at < range_to
        group by s.deployment_id
    ) as a on f.deployment_id = a.deployment_id
    where
        team is null and (service is null or f.service_id = service)
        and f.finished_at >= range_from and f.finished_at < range_to
        and f.kind is distinct from 'rollout'
$$;

comment on function scoped_deployments is
'Finished deployments of a team, a service or the organization in a range, each with the scope''s share of it and what of it belongs to any team.';

create function count_deployments(
    team bigint,
    service bigint,
    by_basis text,
    range_from timestamptz,
    range_to timestamptz,
    zone text,
    unit text,
    reasons text []
)
returns table (bucket date, measure text, n bigint, share numeric, attributed numeric)
language sql stable parallel safe
as $$
    with judged as (
        select
            greatest(
                date_trunc(unit, d.finished_at at time zone zone), (select date_trunc(unit, range_from at time zone zone))
            )::date as bucket,
            d.deployment_id,
            d.share,
            d.attributed,
            d.kind,
            d.rework,
            array(
                select f.reason from deployment_failures as f
                where d.kind is not null and f.deployment_id = d.deployment_id and f.reason = any(reasons)
            ) as failed_by
        from scoped_deployments(team, service, by_basis, range_from, range_to) as d
    )

    select j.bucket, m.measure, count(*), sum(j.share), sum(j.attributed)
    from judged as j
    cross join lateral (
        select 'finished' as measure
        union all
        select unnest(array['succeeded', j.kind]) where j.kind is not null
        union all
        select 'failed' where j.failed_by <> '{}'
        union all
        select 'unremedied' where j.failed_by <> '{}' and remedy_of(j.deployment_id, reasons) is null
        union all
        select 'failed:' || f.reason from unnest(j.failed_by) as f (reason)
        union all
        select 'rework' where j.rework <> '{}'
        union all
        select 'rework:' || r.reason from unnest(j.rework) as r (reason)
    ) as m
    group by grouping sets ((j.bucket, m.measure), (m.measure))
$$;

comment on function count_deployments is
'Deployments by kind, failure and rework: one row per bucket and measure; bucket is null for the whole range.';

create function scoped_incidents(team bigint, service bigint, by_basis text, severities text [])
returns table (
    incident_id bigint,
    started_at timestamptz,
    resolved_at timestamptz,
    has_deployment boolean,
    share numeric,
    attributed numeric
)
language sql stable parallel safe
as $$
    select
        f.incident_id, f.started_at, f.resolved_at, f.deployment_id is not null, 1,
        coalesce(
            case by_basis
                when 'delivered' then (
                    select sum(s.share) from deployment_shares as s
                    where s.basis = 'delivered' and s.deployment_id = f.deployment_id
                )
                else (
                    select sum(o.weight) from service_owners as o
                    where
                        o.service_id = f.service_id and o.removed_in is null
                        and (o.owned_from is null or o.owned_from <= f.started_at)
                        and (o.owned_to is null or f.started_at < o.owned_to)
                )
            end,
            0
        )
    from incident_facts as f
    where
        team is null and (service is null or f.service_id = service)
        and (severities is null or f.severity = any(severities))
    union all
    select f.incident_id, f.started_at, f.resolved_at, true, s.share, s.share
    from incident_facts as f
    inner join deployment_shares as s on f.deployment_id = s.deployment_id
    where
        team is not null and by_basis = 'delivered' and s.basis = 'delivered' and s.team_id = team
        and (service is null or f.service_id = service)
        and (severities is null or f.severity = any(severities))
    union all
    select f.incident_id, f.started_at, f.resolved_at, f.deployment_id is not null, o.weight, o.weight
    from incident_facts as f
    inner join service_owners as o on f.service_id = o.service_id
    where
        team is not null and by_basis = 'owned' and o.team_id = team and o.removed_in is null
        and (o.owned_from is null or o.owned_from <= f.started_at) and (o.owned_to is null or f.started_at < o.owned_to)
        and (service is null or f.service_id = service)
        and (severities is null or f.severity = any(severities))
$$;

comment on function scoped_incidents is
'Incidents of a team, a service or the organization, each with the scope''s share of it and what of it belongs to any team.';

create function recovery_times(
    team bigint,
    service bigint,
    by_basis text,
    range_from timestamptz,
    range_to timestamptz,
    zone text,
    unit text,
    reasons text [],
    severities text [],
    ignore_weights boolean default false
)
returns table (
    bucket date,
    measure text,
    n bigint,
    weight numeric,
    mean double precision,
    percentiles double precision [],
    attributed numeric
)
language sql stable parallel safe
as $$
    with incidents as (
        select
            i.resolved_at as at,
            extract(epoch from i.resolved_at - i.started_at)::double precision as seconds,
            i.share,
            i.attributed,
            i.has_deployment
        from scoped_incidents(team, service, by_basis, severities) as i
        where i.resolved_at >= range_from and i.resolved_at < range_to and i.resolved_at >= i.started_at
    ),

    -- Those of other teams are left out first: to find a remedy takes two looks.
    remedied as materialized (
        select
            f.deployment_id,
            f.succeeded_at,
            case when team is null then 1 else (
                select s.share from deployment_shares as s
                where s.basis = by_basis and s.team_id = team and s.deployment_id = f.deployment_id
            ) end as share
        from (
            select f.deployment_id from deployment_failures as f where f.remedied_at >= range_from and f.remedied_at < range_to
            union
            select f.deployment_id from deployment_facts as f where f.remedied_at >= range_from and f.remedied_at < range_to
        ) as r
        inner join deployment_facts as f on r.deployment_id = f.deployment_id
        where service is null or f.service_id = service
    ),

    recovered as materialized (
        select remedy_of(r.deployment_id, reasons) as at, r.succeeded_at, r.share
        from remedied as r
        where r.share is not null
    ),

    samples as (
        select 'recovery_time' as measure, i.at, i.seconds, i.share, i.attributed from incidents as i where i.has_deployment
        union all
        select 'mttr', i.at, i.seconds, i.share, i.attributed from incidents as i
        union all
        select
            'deployment_recovery_time', r.at, extract(epoch from r.at - r.succeeded_at)::double precision, r.share, null
        from recovered as r
        where r.at >= range_from and r.at < range_to
    ),

    weighted as (
        select
            s.measure,
            greatest(
                date_trunc(unit, s.at at time zone zone), (select date_trunc(unit, range_from at time zone zone))
            )::date as bucket,
            s.seconds,
            s.attributed,
            case when ignore_weights then 1 else s.share end as share,
            -- Sums stay exact; only percentiles use rounded weights.
            case when ignore_weights then 10000 else greatest((s.share * 10000)::integer, 1) end as units
        from samples as s
    )

    select
        w.bucket,
        w.measure,
        count(*),
        sum(w.share),
        sum(w.seconds * w.share::double precision) / sum(w.share)::double precision,
        weighted_percentiles(
            array_agg(weighted_sample(w.seconds, w.units) order by weighted_sample(w.seconds, w.units) desc),
            sum(w.units),
            array[0.5, 0.75, 0.9, 0.95]
        ),
        sum(w.attributed)
    from weighted as w
    group by grouping sets ((w.bucket, w.measure), (w.measure))
$$;

comment on function recovery_times is
'Times to recover of incidents and failed deployments: one row per bucket and measure; bucket is null for the whole range. Of incidents also what belongs to any team.';

-- Each list of deployments by itself, so that it can be seen which one was not read.
create view deployment_lists_read as
select w.repository_id, w.source, w.list, p.covered_since, p.read_at, p.problem
from lists_of_repositories as w
left join (
    select g.repository_id, 'github-deployments' as source, '' as list, g.covered_since, g.read_at, g.problem
    from deployment_progress as g
    union all
    select l.repository_id, l.source, l.list, l.covered_since, l.read_at, l.problem
    from deployment_lists as l
) as p on w.repository_id = p.repository_id and w.source = p.source and w.list = p.list
where w.source <> 'events';

comment on view deployment_lists_read is 'How far each list of deployments of each repository is read. Posted ones have no list.';

create or replace view deployments_read as
select
    r.id as repository_id,
    r.display_name,
    e.repository_id is not null as is_posted,
    case when e.repository_id is null then l.covered_since when e.is_known then e.first_at end as covered_since,
    case when e.repository_id is null then l.read_at end as read_at,
    case when e.repository_id is null then l.problem end as problem
from repositories as r
left join (
    select
        p.repository_id,
        case when bool_and(p.covered_since is not null) then max(p.covered_since) end as covered_since,
        case when bool_and(p.read_at is not null) then min(p.read_at) end as read_at,
        min(p.problem) as problem
    from deployment_lists_read as p
    group by p.repository_id
) as l on r.id = l.repository_id
left join (
    select o.repository_id, max(d.first_at) as first_at, bool_and(d.first_at is not null) as is_known
    from repositories_of_services as o
    inner join sources_of_services as s on o.service_id = s.service_id
    cross join lateral (
        select min(coalesce(d.succeeded_at, d.failed_at)) as first_at from deployments as d
        where s.source = 'events' and d.service_id = s.service_id and d.source = 'events' and d.environment_group = 'production'
    ) as d
    group by o.repository_id
    having bool_and(s.source is not distinct from 'events')
) as e on r.id = e.repository_id
where r.removed_at is null;

-- How well the median is known: its interval of confidence, from the order of the pull requests alone.
create function median_interval(samples bigint [])
returns double precision []
language plpgsql immutable strict parallel safe
as $$
declare
    n constant integer := cardinality(samples);
    -- The interval is from the sample with this rank to the one with the same rank from above.
    rank integer := 0;
    -- Of n coins: the chance of exactly `rank` heads, and of fewer.
    chance double precision;
    below double precision := 0;
begin
    if n < 6 then
        return null;
    end if;
    if n <= 1000 then
        chance := power(0.5::double precision, n);
        while below + chance <= 0.025 loop
            below := below + chance;
            chance := chance * (n - rank) / (rank + 1);
            rank := rank + 1;
        end loop;
    else
        -- The normal distribution is as good, and 0.5 ^ n would be too small.
        rank := floor(n / 2.0 + 0.5 - 0.979982 * sqrt(n));
    end if;
    return array[(samples[n + 1 - rank] >> 14) / 1000.0::double precision, (samples[rank] >> 14) / 1000.0::double precision];
end
$$;

comment on function median_interval is
'The 95 % interval of the median in seconds (median_interval@1). Takes weighted_samples in descending order. Null below six.';

drop function merge_statistics;

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
'Measures of merged pull requests, of a team or (null) of the organization: one row per bucket and measure; bucket is null for the whole range.';

-- Of a merge that counts as a deployment nobody knows how long it took to reach production, neither for its service.
drop function delivery_times;

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
    percentiles double precision [],
    median_interval double precision []
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
            case when d.delivered_at >= p.merged_at and x.source <> 'merges'
                then extract(epoch from d.delivered_at - p.merged_at)::double precision end,
            case when team is null then 10000 else (
                select (a.weight * 10000)::integer from pr_attributions as a
                where a.pull_request_id = p.id and a.team_id = team
            ) end
        from pr_deliveries as d
        inner join pull_requests as p on d.pull_request_id = p.id
        inner join deployments as x on d.deployment_id = x.id
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
        weighted_percentiles(m.samples, m.units, array[0.5, 0.75, 0.9, 0.95]),
        median_interval(m.samples)
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
    )

    select g.bucket, g.measure, min(g.contributors) from groups as g group by g.bucket, g.measure
$$;
