-- The views list teams and buckets first and ask for the numbers of each bucket by itself, so that a filter on team or time
-- leaves out what is not asked for: the cost follows the range, not the history. And whoever may read a view needs no right on
-- any table: the numbers come from a function that has its owner's rights, and hides small groups by itself.

-- The numbers of one bucket (week or month) of a team, in the configured time zone, in seconds. Where the configuration has a
-- min_group_size, durations of fewer people are null, and so are all of months and of a week that is not over: differences
-- would tell what whole weeks hide.
create function team_bucket(team bigint, unit text, bucket_start date)
returns table (
    prs_merged bigint,
    prs_merged_weighted numeric,
    contributors bigint,
    cycle_n bigint,
    cycle_weight numeric,
    cycle_mean double precision,
    cycle_percentiles double precision [],
    coding_n bigint,
    coding_weight numeric,
    coding_mean double precision,
    coding_percentiles double precision [],
    pickup_n bigint,
    pickup_weight numeric,
    pickup_mean double precision,
    pickup_percentiles double precision [],
    review_n bigint,
    review_weight numeric,
    review_mean double precision,
    review_percentiles double precision []
)
language plpgsql stable parallel safe security definer rows 1 cost 1000
as $$
declare
    zone text;
    group_size integer;
    may_show boolean;
    bucket_end date := bucket_start + case unit when 'month' then interval '1 month' else interval '7 days' end;
begin
    select c.timezone, c.min_group_size into zone, group_size from configuration_in_force as c;
    may_show := group_size = 0 or (unit = 'week' and bucket_end::timestamp at time zone zone <= now());
    return query
    select
        s.prs_merged, s.prs_merged_weighted, s.contributors,
        s.cycle_n, s.cycle_weight,
        case when may_show and s.cycle_contributors >= group_size then s.cycle_mean end,
        case when may_show and s.cycle_contributors >= group_size then s.cycle_percentiles end,
        s.coding_n, s.coding_weight,
        case when may_show and s.coding_contributors >= group_size then s.coding_mean end,
        case when may_show and s.coding_contributors >= group_size then s.coding_percentiles end,
        s.pickup_n, s.pickup_weight,
        case when may_show and s.pickup_contributors >= group_size then s.pickup_mean end,
        case when may_show and s.pickup_contributors >= group_size then s.pickup_percentiles end,
        s.review_n, s.review_weight,
        case when may_show and s.review_contributors >= group_size then s.review_mean end,
        case when may_show and s.review_contributors >= group_size then s.review_percentiles end
    -- A day more on both sides, of which the bucket takes what is its own by local time: where clocks change at midnight, an
    -- instant can stand for two local times.
    from team_statistics(
        team,
        (bucket_start - 1)::timestamp at time zone zone,
        (bucket_end + 1)::timestamp at time zone zone,
        zone,
        unit,
        counts_people => group_size > 0
    ) as s
    where s.bucket = bucket_start;
end
$$;

comment on function team_bucket is
'The numbers of one week or month of a team in the configured time zone, in seconds; durations of small groups are null.';

-- Whose objects the function means is decided here, and not by who asks: their temporary tables come last.
do $$ begin
    execute format('alter function team_bucket(bigint, text, date) set search_path = %I, pg_temp', current_schema());
end $$;

-- The buckets of a team, from its first merge to now.
create view team_buckets as
select
    t.id as team_id,
    t.slug as team,
    u.unit,
    b.bucket::date as bucket_start,
    coalesce(
        (b.bucket + ('1 ' || u.unit)::interval) at time zone c.timezone <= k.complete_until
        and b.bucket at time zone c.timezone >= k.covered_since,
        false
    ) as is_complete
from teams as t
cross join configuration_in_force as c
cross join collection_coverage as k
cross join (values ('week'), ('month')) as u (unit)
cross join lateral (
    select min(a.merged_at) as merged_at from pr_attributions as a where a.team_id = t.id and a.merged_at is not null
) as first_merge
cross join lateral generate_series(
    date_trunc(u.unit, first_merge.merged_at at time zone c.timezone),
    now() at time zone c.timezone,
    ('1 ' || u.unit)::interval
) as b (bucket);

comment on view team_buckets is
'Each week and month of each team, from its first merge to now, and whether everything of it is stored.';

create or replace view view_team_velocity as
select
    b.team_id,
    b.team,
    b.bucket_start as week_start,
    to_char(b.bucket_start, 'IYYY-"W"IW') as iso_week,
    b.is_complete,
    v.prs_merged,
    v.prs_merged_weighted,
    v.contributors,
    v.cycle_mean / 3600 as mean_cycle_time_hours,
    v.cycle_percentiles[1] / 3600 as median_cycle_time_hours,
    v.cycle_percentiles[2] / 3600 as p75_cycle_time_hours,
    v.cycle_percentiles[3] / 3600 as p90_cycle_time_hours,
    v.cycle_percentiles[4] / 3600 as p95_cycle_time_hours,
    'velocity@1' as definition,
    v.coding_n,
    v.coding_percentiles[1] / 3600 as median_coding_hours,
    v.pickup_n,
    v.pickup_percentiles[1] / 3600 as median_pickup_hours,
    v.review_n,
    v.review_percentiles[1] / 3600 as median_review_hours,
    'pr_phases@1' as phases_definition
from team_buckets as b
cross join lateral team_bucket(b.team_id, b.unit, b.bucket_start) as v
where b.unit = 'week';

create or replace view view_dora_lead_time as
select
    b.team_id,
    b.team,
    b.bucket_start as month_start,
    b.is_complete,
    v.cycle_n as n,
    v.cycle_weight as weight,
    v.cycle_mean / 3600 as mean_hours,
    v.cycle_percentiles[1] / 3600 as median_hours,
    v.cycle_percentiles[2] / 3600 as p75_hours,
    v.cycle_percentiles[3] / 3600 as p90_hours,
    v.cycle_percentiles[4] / 3600 as p95_hours,
    'pr_cycle_time@1' as definition,
    v.coding_n,
    v.coding_percentiles[1] / 3600 as median_coding_hours,
    v.pickup_n,
    v.pickup_percentiles[1] / 3600 as median_pickup_hours,
    v.review_n,
    v.review_percentiles[1] / 3600 as median_review_hours,
    'pr_phases@1' as phases_definition
from team_buckets as b
cross join lateral team_bucket(b.team_id, b.unit, b.bucket_start) as v
where b.unit = 'month';

create or replace view view_team_phases as
select
    b.team_id,
    b.team,
    b.unit,
    b.bucket_start,
    p.phase,
    p.n,
    p.weight,
    p.mean / 3600 as mean_hours,
    p.percentiles[1] / 3600 as median_hours,
    p.percentiles[2] / 3600 as p75_hours,
    p.percentiles[3] / 3600 as p90_hours,
    p.percentiles[4] / 3600 as p95_hours,
    'pr_phases@1' as definition,
    b.is_complete
from team_buckets as b
cross join lateral team_bucket(b.team_id, b.unit, b.bucket_start) as s
cross join lateral (
    values
    ('coding', s.coding_n, s.coding_weight, s.coding_mean, s.coding_percentiles),
    ('pickup', s.pickup_n, s.pickup_weight, s.pickup_mean, s.pickup_percentiles),
    ('review', s.review_n, s.review_weight, s.review_mean, s.review_percentiles)
) as p (phase, n, weight, mean, percentiles)
where p.n > 0;
