-- The formulas: one home for each, used by the views and by the API.

-- The weighted percentiles of METRICS: sorted by (value, weight), with weights w_k and running sums S_k, each
-- sample stands at C_k = S_k - w_k / 2, and the answer interpolates linearly between the two samples around
-- C_1 + fraction * (C_n - C_1). With equal weights it is percentile_cont. Weights are ten-thousandths: their
-- sums, doubled here to stay whole, are exact. Null for no samples.
create function weighted_percentiles(sample_values double precision [], sample_weights integer [], fractions double precision [])
returns double precision []
language sql immutable parallel safe
as $$
    with standing as (
        select
            s.value,
            2 * sum(s.weight) over (order by s.value, s.weight rows unbounded preceding) - s.weight as centre
        from unnest(sample_values, sample_weights) as s (value, weight)
    ),

    neighbours as materialized (
        select
            value,
            centre::double precision as centre,
            lead(value) over (order by centre) as next_value,
            (lead(centre) over (order by centre))::double precision as next_centre,
            (min(centre) over ())::double precision as first_centre,
            (max(centre) over ())::double precision as last_centre
        from standing
    )

    select array_agg(p.percentile order by f.position)
    from unnest(fractions) with ordinality as f (fraction, position)
    cross join lateral (
        select
            case
                when n.next_centre is null then n.value
                else n.value + (n.next_value - n.value) * (n.target - n.centre) / (n.next_centre - n.centre)
            end as percentile
        from (
            select neighbours.*, first_centre + f.fraction * (last_centre - first_centre) as target from neighbours
        ) as n
        where n.centre <= n.target
        order by n.centre desc
        limit 1
    ) as p
$$;

comment on function weighted_percentiles is
'Weighted percentiles of values (any order) with weights in ten-thousandths. Null without samples.';

-- Velocity and cycle time of one team over [range_from, range_to), by calendar unit in a time zone: a row for each
-- bucket that the range touches, empty ones included, and one for the whole range whose bucket is null.
-- Grain: team, bucket. Unit: seconds. Left out of durations: merges before the creation (imported history).
create function team_cycle_times(
    team bigint,
    range_from timestamptz,
    range_to timestamptz,
    zone text,
    unit text,
    repository_ids bigint [] default null
)
returns table (
    bucket date,
    prs_merged bigint,
    prs_merged_weighted numeric,
    contributors bigint,
    duration_n bigint,
    duration_weight numeric,
    mean_seconds double precision,
    percentile_seconds double precision []
)
language sql stable parallel safe
as $$
    with merged as (
        select
            date_trunc(unit, a.merged_at at time zone zone)::date as bucket,
            a.author_id,
            a.weight,
            case when a.merged_at >= a.created_at then extract(epoch from a.merged_at - a.created_at)::double precision end
                as seconds
        from pr_attributions as a
        where
            a.team_id = team
            and a.merged_at >= range_from
            and a.merged_at < range_to
            and (repository_ids is null or a.repository_id = any(repository_ids))
    ),

    aggregated as (
        select
            m.bucket,
            count(*) as prs_merged,
            coalesce(sum(m.weight), 0) as prs_merged_weighted,
            count(distinct m.author_id) as contributors,
            count(m.seconds) as duration_n,
            coalesce(sum(m.weight) filter (where m.seconds is not null), 0) as duration_weight,
            sum(m.seconds * m.weight::double precision) / sum(m.weight::double precision) filter (where m.seconds is not null)
                as mean_seconds,
            weighted_percentiles(
                array_agg(m.seconds) filter (where m.seconds is not null),
                array_agg((m.weight * 10000)::integer) filter (where m.seconds is not null),
                array[0.5, 0.75, 0.9, 0.95]
            ) as percentile_seconds
        from merged as m
        group by grouping sets ((m.bucket), ())
    ),

    -- From local times, which an instant has exactly one of: no bucket is lost or doubled where clocks change.
    calendar as (
        select
            generate_series(
                date_trunc(unit, range_from at time zone zone),
                (range_to - interval '1 microsecond') at time zone zone,
                ('1 ' || unit)::interval
            )::date as bucket
        where range_from < range_to
        union all
        select null
    )

    select
        c.bucket,
        coalesce(a.prs_merged, 0),
        coalesce(a.prs_merged_weighted, 0),
        coalesce(a.contributors, 0),
        coalesce(a.duration_n, 0),
        coalesce(a.duration_weight, 0),
        a.mean_seconds,
        a.percentile_seconds
    from calendar as c
    left join aggregated as a on a.bucket is not distinct from c.bucket
    order by c.bucket nulls last
$$;

comment on function team_cycle_times is
'Velocity (velocity@1) and pull request cycle time (pr_cycle_time@1) of a team: one row a bucket, bucket null for the range.';
