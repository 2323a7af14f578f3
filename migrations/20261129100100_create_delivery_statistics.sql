-- The formulas of deployments, deliveries and incidents, each defined once. A scope is a team (by a basis, `delivered` or
-- `owned`), a service, both, or with neither the whole organization. Everything is about production.

-- The finished deployments of a scope in [range_from, range_to), without rollouts, each with the scope's share of it.
create function scoped_deployments(
    team bigint,
    service bigint,
    by_basis text,
    range_from timestamptz,
    range_to timestamptz
)
returns table (
    deployment_id bigint,
    finished_at timestamptz,
    succeeded_at timestamptz,
    kind text,
    rework text [],
    share numeric
)
language sql stable parallel safe
as $$
    select s.deployment_id, s.finished_at, s.succeeded_at, s.kind, s.rework, s.share
    from deployment_shares as s
    where
        team is not null and s.basis = by_basis and s.team_id = team and (service is null or s.service_id = service)
        and s.finished_at >= range_from and s.finished_at < range_to
        and s.kind is distinct from 'rollout'
    union all
    select f.deployment_id, f.finished_at, f.succeeded_at, f.kind, f.rework, 1
    from deployment_facts as f
    where
        team is null and (service is null or f.service_id = service)
        and f.finished_at >= range_from and f.finished_at < range_to
        and f.kind is distinct from 'rollout'
$$;

comment on function scoped_deployments is
'Finished deployments of a team, a service or the organization in a range, each with the scope''s share of it.';

-- When a deployment that failed for one of these reasons was remedied: by the deployment that says so, else by the earliest. Null
-- if it did not fail or is not remedied.
create function remedy_of(deployment bigint, reasons text [])
returns timestamptz
language sql stable parallel safe
as $$
    select coalesce(
        (select f.remedied_at from deployment_facts as f where f.deployment_id = deployment),
        min(f.remedied_at)
    )
    from deployment_failures as f
    where f.deployment_id = deployment and f.reason = any(reasons)
    having count(*) > 0
$$;

comment on function remedy_of is 'When a deployment that failed for one of these reasons was remedied.';

-- How many deployments there are of each kind, by calendar unit in a time zone and for the whole range, whose bucket is null.
-- Measures: finished, succeeded, each kind, failed and failed:REASON (of the chosen reasons), unremedied, rework and
-- rework:REASON. A measure without deployments has no row.
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
returns table (bucket date, measure text, n bigint, share numeric)
language sql stable parallel safe
as $$
    with judged as (
        select
            greatest(
                date_trunc(unit, d.finished_at at time zone zone), (select date_trunc(unit, range_from at time zone zone))
            )::date as bucket,
            d.deployment_id,
            d.share,
            d.kind,
            d.rework,
            array(
                select f.reason from deployment_failures as f
                where d.kind is not null and f.deployment_id = d.deployment_id and f.reason = any(reasons)
            ) as failed_by
        from scoped_deployments(team, service, by_basis, range_from, range_to) as d
    )

    select j.bucket, m.measure, count(*), sum(j.share)
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

-- How long it took from the first commit of delivered pull requests to their delivery (change_lead_time), and from the merge to
-- it (deploy), by the time of delivery. `delivered` counts all of them. With a service: deliveries by it; without: the first one.
create function delivery_times(
    team bigint,
    service bigint,
    range_from timestamptz,
    range_to timestamptz,
    zone text,
    unit text,
    ignore_weights boolean default false
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
        union all
        select p.delivered_at, p.author_id, lead_seconds(p), deploy_seconds(p), 10000
        from pull_requests as p
        where
            team is null and service is null and p.deleted_at is null
            and p.delivered_at >= range_from and p.delivered_at < range_to
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
            service is not null and d.service_id = service
            and d.delivered_at >= range_from and d.delivered_at < range_to
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

-- Why pull requests that were merged in [range_from, range_to) were not delivered so far, each with the first of its reasons in
-- this order: it waits, its deployments are covered only since later, the history cannot be read, it came before or with the
-- first deployment, no source reports deployments of its service.
create function undelivered(team bigint, service bigint, range_from timestamptz, range_to timestamptz)
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
        select
            m.weight,
            coalesce(
                (
                    select d.missing from pr_deliveries as d
                    where d.pull_request_id = m.id and (service is null or d.service_id = service)
                    order by
                        array_position(
                            array['not_deployed_yet', 'not_collected', 'unknown_history', 'before_first_deployment'], d.missing
                        ) nulls first
                    limit 1
                ),
                'no_source'
            ) as reason
        from merged as m
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

comment on function undelivered is 'Merged pull requests that were not delivered so far, by reason.';

-- Which part of an incident belongs to a scope. By `delivered` that of its deployment, by `owned` that of its service's owners
-- when it started.
create function scoped_incidents(team bigint, service bigint, by_basis text, severities text [])
returns table (
    incident_id bigint,
    started_at timestamptz,
    resolved_at timestamptz,
    has_deployment boolean,
    share numeric
)
language sql stable parallel safe
as $$
    select f.incident_id, f.started_at, f.resolved_at, f.deployment_id is not null, 1
    from incident_facts as f
    where
        team is null and (service is null or f.service_id = service)
        and (severities is null or f.severity = any(severities))
    union all
    select f.incident_id, f.started_at, f.resolved_at, true, s.share
    from incident_facts as f
    inner join deployment_shares as s on f.deployment_id = s.deployment_id
    where
        team is not null and by_basis = 'delivered' and s.basis = 'delivered' and s.team_id = team
        and (service is null or f.service_id = service)
        and (severities is null or f.severity = any(severities))
    union all
    select f.incident_id, f.started_at, f.resolved_at, f.deployment_id is not null, o.weight
    from incident_facts as f
    inner join service_owners as o on f.service_id = o.service_id
    where
        team is not null and by_basis = 'owned' and o.team_id = team and o.removed_in is null
        and (o.owned_from is null or o.owned_from <= f.started_at) and (o.owned_to is null or f.started_at < o.owned_to)
        and (service is null or f.service_id = service)
        and (severities is null or f.severity = any(severities))
$$;

comment on function scoped_incidents is 'Incidents of a team, a service or the organization, each with the scope''s share of it.';

-- How long it took to recover, by the time of recovery. Measures: recovery_time (incidents with a deployment), mttr (all
-- incidents), deployment_recovery_time (failed deployments, from their success to their remedy).
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
returns table (bucket date, measure text, n bigint, weight numeric, mean double precision, percentiles double precision [])
language sql stable parallel safe
as $$
    with incidents as (
        select
            i.resolved_at as at,
            extract(epoch from i.resolved_at - i.started_at)::double precision as seconds,
            i.share,
            i.has_deployment
        from scoped_incidents(team, service, by_basis, severities) as i
        where i.resolved_at >= range_from and i.resolved_at < range_to and i.resolved_at >= i.started_at
    ),

    remedied as (
        select f.deployment_id from deployment_failures as f where f.remedied_at >= range_from and f.remedied_at < range_to
        union
        select f.deployment_id from deployment_facts as f where f.remedied_at >= range_from and f.remedied_at < range_to
    ),

    recovered as (
        select
            remedy_of(f.deployment_id, reasons) as at,
            extract(epoch from remedy_of(f.deployment_id, reasons) - f.succeeded_at)::double precision as seconds,
            case when team is null then 1 else (
                select s.share from deployment_shares as s
                where s.basis = by_basis and s.team_id = team and s.deployment_id = f.deployment_id
            ) end as share
        from deployment_facts as f
        inner join remedied as r on f.deployment_id = r.deployment_id
        where service is null or f.service_id = service
    ),

    samples as (
        select 'recovery_time' as measure, i.at, i.seconds, i.share from incidents as i where i.has_deployment
        union all
        select 'mttr', i.at, i.seconds, i.share from incidents as i
        union all
        select 'deployment_recovery_time', r.at, r.seconds, r.share
        from recovered as r
        where r.share is not null and r.at >= range_from and r.at < range_to
    ),

    weighted as (
        select
            s.measure,
            greatest(
                date_trunc(unit, s.at at time zone zone), (select date_trunc(unit, range_from at time zone zone))
            )::date as bucket,
            s.seconds,
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
        )
    from weighted as w
    group by grouping sets ((w.bucket, w.measure), (w.measure))
$$;

comment on function recovery_times is
'Times to recover of incidents and failed deployments: one row per bucket and measure; bucket is null for the whole range.';
