-- What was never read is not complete: neither where a repository was never collected, failing or not, nor where one is to be
-- read again for somebody new. A repository is read from covered_since to its last complete collection, and not beyond where
-- a reading is to begin anew or is under way.
create or replace view collection_coverage as
select
    case when bool_and(is_read) then max(covered_since) end as covered_since,
    min(collected_at) as data_as_of,
    case when bool_and(is_read) then min(least(collected_at, reopened_since, backfill_since)) end as complete_until,
    count(*) filter (where is_read and not is_pending and failures = 0) as collected,
    count(*) filter (where failures > 0) as failing,
    count(*) filter (where is_pending or not is_read) as pending,
    count(*) filter (where not is_read) as never_collected
from (
    select
        covered_since,
        collected_at,
        reopened_since,
        backfill_since,
        failures,
        covered_since is not null and collected_at is not null as is_read,
        reopened_since is not null or backfill_page is not null as is_pending
    from repositories
    where removed_at is null
) as r;

comment on view collection_coverage is
'Everything of everybody from covered_since to complete_until is stored; both null while a repository was never read. One row.';

create or replace view view_team_velocity as
select
    t.id as team_id,
    t.slug as team,
    v.bucket as week_start,
    to_char(v.bucket, 'IYYY-"W"IW') as iso_week,
    coalesce(
        (v.bucket + 7)::timestamp at time zone c.timezone <= k.complete_until
        and v.bucket::timestamp at time zone c.timezone >= k.covered_since,
        false
    ) as is_complete,
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
from teams as t
cross join configuration_in_force as c
cross join collection_coverage as k
cross join lateral (
    select min(a.merged_at) as merged_at from pr_attributions as a where a.team_id = t.id and a.merged_at is not null
) as first_merge
cross join lateral team_statistics(t.id, first_merge.merged_at, now(), c.timezone, 'week') as v
where v.bucket is not null;

create or replace view view_dora_lead_time as
select
    t.id as team_id,
    t.slug as team,
    v.bucket as month_start,
    coalesce(
        (v.bucket + interval '1 month') at time zone c.timezone <= k.complete_until
        and v.bucket::timestamp at time zone c.timezone >= k.covered_since,
        false
    ) as is_complete,
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
from teams as t
cross join configuration_in_force as c
cross join collection_coverage as k
cross join lateral (
    select min(a.merged_at) as merged_at from pr_attributions as a where a.team_id = t.id and a.merged_at is not null
) as first_merge
cross join lateral team_statistics(t.id, first_merge.merged_at, now(), c.timezone, 'month') as v
where v.bucket is not null;

create or replace view view_team_phases as
select
    t.id as team_id,
    t.slug as team,
    u.unit,
    s.bucket as bucket_start,
    p.phase,
    p.n,
    p.weight,
    p.mean / 3600 as mean_hours,
    p.percentiles[1] / 3600 as median_hours,
    p.percentiles[2] / 3600 as p75_hours,
    p.percentiles[3] / 3600 as p90_hours,
    p.percentiles[4] / 3600 as p95_hours,
    'pr_phases@1' as definition,
    coalesce(
        (s.bucket + ('1 ' || u.unit)::interval) at time zone c.timezone <= k.complete_until
        and s.bucket::timestamp at time zone c.timezone >= k.covered_since,
        false
    ) as is_complete
from teams as t
cross join configuration_in_force as c
cross join collection_coverage as k
cross join (values ('week'), ('month')) as u (unit)
cross join lateral (
    select min(a.merged_at) as merged_at from pr_attributions as a where a.team_id = t.id and a.merged_at is not null
) as first_merge
cross join lateral team_statistics(t.id, first_merge.merged_at, now(), c.timezone, u.unit) as s
cross join lateral (
    values
    ('coding', s.coding_n, s.coding_weight, s.coding_mean, s.coding_percentiles),
    ('pickup', s.pickup_n, s.pickup_weight, s.pickup_mean, s.pickup_percentiles),
    ('review', s.review_n, s.review_weight, s.review_mean, s.review_percentiles)
) as p (phase, n, weight, mean, percentiles)
where s.bucket is not null and p.n > 0;
