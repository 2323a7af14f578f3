-- The formulas, each with one home: the views and the API ask the same function.

-- A duration and a weight (in ten-thousandths) in one number that sorts as (duration, weight): PostgreSQL sorts an array
-- of such numbers several times as fast as rows of two columns. Thousandths of seconds are kept (GitHub's times are whole
-- seconds), up to 17,000 years.
create function weighted_sample(seconds double precision, weight_units integer)
returns bigint
language sql immutable strict parallel safe
as $$
    select (seconds * 1000)::bigint * 16384 + weight_units
$$;

comment on function weighted_sample is
'A duration with its weight in ten-thousandths, as one number that sorts by duration, then weight.';

-- The weighted percentiles of METRICS over samples in ascending order: with weights w_k and running sums S_k, each sample
-- stands at C_k = S_k - w_k / 2, and the answer interpolates linearly between the two samples around
-- C_1 + fraction * (C_n - C_1). With equal weights it is percentile_cont. Weights are ten-thousandths: their sums, doubled
-- here to stay whole, are exact. Null for no samples.
create function weighted_percentiles(samples bigint [], fractions double precision [])
returns double precision []
language plpgsql immutable parallel safe
as $$
declare
    n constant integer := cardinality(samples);
    centres double precision [];
    answer double precision [] := '{}';
    fraction double precision;
    target double precision;
    k integer;
    seconds double precision;
begin
    if n is null or n = 0 then
        return null;
    end if;
    centres := (
        select array_agg(s.centre)
        from (
            select
                (
                    2 * sum((sample % 16384)::integer) over (order by position rows unbounded preceding) - sample % 16384
                )::double precision as centre
            from unnest(samples) with ordinality as u (sample, position)
        ) as s
    );
    foreach fraction in array fractions loop
        target := centres[1] + fraction * (centres[n] - centres[1]);
        -- The last sample that stands at the target or before it.
        k := greatest(width_bucket(target, centres), 1);
        seconds := (samples[k] / 16384) / 1000.0;
        if k < n then
            seconds := seconds
            + ((samples[k + 1] / 16384) / 1000.0 - seconds) * (target - centres[k]) / (centres[k + 1] - centres[k]);
        end if;
        answer := answer || seconds;
    end loop;
    return answer;
end
$$;

comment on function weighted_percentiles(bigint [], double precision []) is
'Weighted percentiles in seconds of weighted_samples in ascending order. Null without samples.';

-- Velocity (velocity@1), cycle time (pr_cycle_time@1) and phases (pr_phases@1) of a team's merged pull requests over
-- [range_from, range_to), by calendar unit (day, week, month, quarter) in a time zone: a row for each bucket that the
-- range touches, empty ones included, and one for the whole range whose bucket is null. Grain: team, bucket.
-- Unit: seconds; percentiles 0.5, 0.75, 0.9, 0.95. Left out of cycle times: merges before the creation (imported history).
-- Each phase has its own n and weight; unknown ones are left out. `counts_fully` gives each pull request the weight 1;
-- the authors behind each duration are counted only with `counts_people`, as that takes its time.
create function team_statistics(
    team bigint,
    range_from timestamptz,
    range_to timestamptz,
    zone text,
    unit text,
    repository_ids bigint [] default null,
    base_branch text default null,
    counts_fully boolean default false,
    counts_people boolean default false
)
returns table (
    bucket date,
    prs_merged bigint,
    prs_merged_weighted numeric,
    contributors bigint,
    cycle_n bigint,
    cycle_weight numeric,
    cycle_contributors bigint,
    cycle_mean double precision,
    cycle_percentiles double precision [],
    coding_n bigint,
    coding_weight numeric,
    coding_contributors bigint,
    coding_mean double precision,
    coding_percentiles double precision [],
    pickup_n bigint,
    pickup_weight numeric,
    pickup_contributors bigint,
    pickup_mean double precision,
    pickup_percentiles double precision [],
    review_n bigint,
    review_weight numeric,
    review_contributors bigint,
    review_mean double precision,
    review_percentiles double precision []
)
language sql stable parallel safe
as $$
    with merged as materialized (
        select
            -- Where clocks go back over midnight, the day before the first one comes a second time: it belongs to the first.
            greatest(date_trunc(unit, a.merged_at at time zone zone), date_trunc(unit, range_from at time zone zone))::date
                as bucket,
            a.author_id,
            case when counts_fully then 10000 else (a.weight * 10000)::integer end as units,
            a.cycle_seconds as cycle,
            a.coding_seconds as coding,
            a.pickup_seconds as pickup,
            a.review_seconds as review
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
    ),

    aggregated as (
        select
            m.bucket,
            count(*) as prs_merged,
            sum(m.units) as units,
            count(distinct m.author_id) as contributors,
            count(m.cycle) as cycle_n,
            sum(m.units) filter (where m.cycle is not null) as cycle_units,
            count(distinct m.author_id) filter (where counts_people and m.cycle is not null) as cycle_contributors,
            sum(m.cycle * m.units) as cycle_sum,
            array_agg(weighted_sample(m.cycle, m.units) order by weighted_sample(m.cycle, m.units))
                filter (where m.cycle is not null) as cycle_samples,
            count(m.coding) as coding_n,
            sum(m.units) filter (where m.coding is not null) as coding_units,
            count(distinct m.author_id) filter (where counts_people and m.coding is not null) as coding_contributors,
            sum(m.coding * m.units) as coding_sum,
            array_agg(weighted_sample(m.coding, m.units) order by weighted_sample(m.coding, m.units))
                filter (where m.coding is not null) as coding_samples,
            count(m.pickup) as pickup_n,
            sum(m.units) filter (where m.pickup is not null) as pickup_units,
            count(distinct m.author_id) filter (where counts_people and m.pickup is not null) as pickup_contributors,
            sum(m.pickup * m.units) as pickup_sum,
            array_agg(weighted_sample(m.pickup, m.units) order by weighted_sample(m.pickup, m.units))
                filter (where m.pickup is not null) as pickup_samples,
            count(m.review) as review_n,
            sum(m.units) filter (where m.review is not null) as review_units,
            count(distinct m.author_id) filter (where counts_people and m.review is not null) as review_contributors,
            sum(m.review * m.units) as review_sum,
            array_agg(weighted_sample(m.review, m.units) order by weighted_sample(m.review, m.units))
                filter (where m.review is not null) as review_samples
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
        coalesce(a.prs_merged, 0),
        coalesce(a.units, 0)::numeric / 10000,
        coalesce(a.contributors, 0),
        coalesce(a.cycle_n, 0),
        coalesce(a.cycle_units, 0)::numeric / 10000,
        coalesce(a.cycle_contributors, 0),
        a.cycle_sum / a.cycle_units,
        weighted_percentiles(a.cycle_samples, array[0.5, 0.75, 0.9, 0.95]),
        coalesce(a.coding_n, 0),
        coalesce(a.coding_units, 0)::numeric / 10000,
        coalesce(a.coding_contributors, 0),
        a.coding_sum / a.coding_units,
        weighted_percentiles(a.coding_samples, array[0.5, 0.75, 0.9, 0.95]),
        coalesce(a.pickup_n, 0),
        coalesce(a.pickup_units, 0)::numeric / 10000,
        coalesce(a.pickup_contributors, 0),
        a.pickup_sum / a.pickup_units,
        weighted_percentiles(a.pickup_samples, array[0.5, 0.75, 0.9, 0.95]),
        coalesce(a.review_n, 0),
        coalesce(a.review_units, 0)::numeric / 10000,
        coalesce(a.review_contributors, 0),
        a.review_sum / a.review_units,
        weighted_percentiles(a.review_samples, array[0.5, 0.75, 0.9, 0.95])
    from calendar as c
    left join aggregated as a on a.bucket is not distinct from c.bucket
    order by c.bucket nulls last
$$;

comment on function team_statistics is
'Velocity, cycle time and phases of a team''s merged pull requests: one row a bucket, bucket null for the whole range.';
