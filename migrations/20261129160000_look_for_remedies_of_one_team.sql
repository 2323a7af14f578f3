-- The same times as before, without looking for the remedies of other teams' deployments.
create or replace function recovery_times(
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
        select 'recovery_time' as measure, i.at, i.seconds, i.share from incidents as i where i.has_deployment
        union all
        select 'mttr', i.at, i.seconds, i.share from incidents as i
        union all
        select
            'deployment_recovery_time', r.at, extract(epoch from r.at - r.succeeded_at)::double precision, r.share
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
