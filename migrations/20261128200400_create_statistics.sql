-- The formulas, each defined once. The views and the API call the same functions.

-- A duration and a weight (in ten-thousandths) in one number that sorts as (duration, weight). PostgreSQL sorts an array of
-- these numbers several times as fast as rows of two columns. Precision is a millisecond (GitHub's times are whole seconds),
-- the range is up to 17,000 years.
create function weighted_sample(seconds double precision, weight_units integer)
returns bigint
language sql immutable strict parallel safe
as $$
    select (seconds * 1000)::bigint * 16384 + weight_units
$$;

comment on function weighted_sample is
'A duration with its weight in ten-thousandths, as one number that sorts by duration, then weight.';

-- The weighted percentiles of METRICS. In ascending order, with weights w_k and running sums S_k, each sample is at
-- C_k = S_k - w_k / 2. The result interpolates linearly between the two samples around C_1 + fraction * (C_n - C_1). With equal
-- weights it equals percentile_cont. Weights are ten-thousandths. Their sums, doubled here to stay whole, are exact. The samples
-- come in descending order with the sum of their weights, because the requested fractions are in the upper half. Samples below the
-- lowest fraction are not read.
create function weighted_percentiles(samples bigint [], weight_units bigint, fractions double precision [])
returns double precision []
language plpgsql immutable strict parallel safe
as $$
declare
    answer double precision [] := array_fill(null::double precision, array[cardinality(fractions)]);
    -- Fractions from here on are answered.
    f integer := cardinality(fractions);
    -- The weight up to the sample, doubled.
    below bigint := 2 * weight_units;
    first_centre constant bigint := samples[cardinality(samples)] & 16383;
    span constant bigint := below - (samples[1] & 16383) - first_centre;
    target double precision := first_centre + fractions[f] * span;
    sample bigint;
    centre bigint;
    seconds double precision;
    later_centre bigint;
    later_sample bigint;
begin
    foreach sample in array samples loop
        -- Most samples are only counted, so they take as few statements as possible.
        if below - (sample & 16383) <= target then
            centre := below - (sample & 16383);
            later_centre := below + (later_sample & 16383);
            while centre <= target loop
                seconds := (sample >> 14) / 1000.0::double precision;
                if later_sample is not null then
                    seconds := seconds
                    + ((later_sample >> 14) / 1000.0::double precision - seconds)
                    * (target - centre) / (later_centre - centre);
                end if;
                answer[f] := seconds;
                f := f - 1;
                if f = 0 then
                    return answer;
                end if;
                target := first_centre + fractions[f] * span;
            end loop;
        end if;
        below := below - 2 * (sample & 16383);
        later_sample := sample;
    end loop;
    return answer;
end
$$;

comment on function weighted_percentiles is
'Weighted percentiles in seconds. Takes weighted_samples in descending order, the sum of their weights in ten-thousandths, and fractions in ascending order. Null for null.';

-- Measures of a team's merged pull requests over [range_from, range_to), by calendar unit (day, week, month, quarter) in a time
-- zone. One row per measure, for each bucket that the range touches, including empty ones, and for the whole range, whose bucket is
-- null. Unit: seconds; percentiles 0.5, 0.75, 0.9, 0.95.
--   merged      all of them (velocity@1); no durations
--   cycle_time  from opening to merge (pr_cycle_time@1); without merges before the opening, which occur in imported histories
--   coding, pickup, review  the phases (pr_phases@1), each over the pull requests for which it is known
-- `ignore_weights` gives each pull request the weight 1. The authors behind each duration are counted only with `count_people`,
-- because that takes extra time; otherwise the count is 0. A new measure needs a column in `merged`, a block in `aggregated` and a
-- row in `measures`.
create function team_statistics(
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
        ('review', a.review_n, a.review_units, a.review_contributors, a.review_sum, a.review_samples)
    ) as m (measure, n, units, contributors, sum, samples)
    order by c.bucket nulls last
$$;

comment on function team_statistics is
'Measures of a team''s merged pull requests: one row per bucket and measure; bucket is null for the whole range.';
