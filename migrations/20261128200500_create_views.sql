-- Views for people and Grafana. They are documented, and their columns are stable. They list teams and buckets first, then compute
-- each bucket separately, so that a filter on team or time skips the rest. The cost depends on the range, not on the history.
-- Readers of a view need no rights on tables: the numbers come from a function that runs with its owner's rights and hides small
-- groups.

-- Grain: team, pull request. Unit: seconds. Source: pr_attributions and the facts behind it.
-- Excludes pull requests that do not count for any team. Durations are null for open pull requests, for those closed without a
-- merge, and for a merge before the creation.
create view pr_metrics as
select
    a.team_id,
    t.slug as team,
    a.pull_request_id,
    r.display_name as repository,
    p.number,
    p.title,
    h.login as author,
    a.membership_id,
    a.weight,
    p.state,
    p.is_draft,
    p.base_ref,
    p.created_at,
    p.updated_at,
    p.closed_at,
    -- From the attribution, which has an index by team and merge time, so that a filter on both reads only matching rows.
    a.merged_at,
    p.attributed_at,
    p.cycle_seconds as cycle_time_seconds,
    coalesce(p.merged_at < p.created_at, false) as is_merged_before_creation,
    p.first_commit_at,
    p.ready_at,
    p.first_review_at,
    p.first_approval_at,
    p.coding_seconds,
    p.pickup_seconds,
    p.review_seconds,
    null::double precision as deploy_seconds,
    p.additions,
    p.deletions,
    p.changed_files,
    p.merge_commit,
    pull_request_flags(p) as flags
from pr_attributions as a
inner join pull_requests as p on a.pull_request_id = p.id
inner join teams as t on a.team_id = t.id
inner join repositories as r on a.repository_id = r.id
inner join accounts as h on a.author_id = h.person_id and r.instance_id = h.instance_id;

comment on view pr_metrics is
'One row per team and pull request that counts for it, with the weight and the membership behind it.';

-- The buckets of a team, from its first merge to now.
create view team_buckets as
select
    t.id as team_id,
    t.slug as team,
    u.unit,
    b.bucket::date as bucket_start,
    coalesce(
        (b.bucket + ('1 ' || u.unit)::interval) at time zone c.timezone <= k.complete_until
        and b.bucket at time zone c.timezone >= k.covered_since
        and not m.is_reattributing,
        false
    ) as is_complete
from teams as t
cross join configuration_in_force as c
cross join collection_coverage as k
cross join (values ('week'), ('month')) as u (unit)
cross join lateral (
    select min(a.merged_at) as merged_at from pr_attributions as a where a.team_id = t.id and a.merged_at is not null
) as first_merge
cross join lateral (
    select exists (select from reattributions as r where r.team_id = t.id) as is_reattributing
) as m
cross join lateral generate_series(
    date_trunc(u.unit, first_merge.merged_at at time zone c.timezone),
    now() at time zone c.timezone,
    ('1 ' || u.unit)::interval
) as b (bucket);

comment on view team_buckets is
'Each week and month of each team, from its first merge to now, and whether all of its data is stored.';

-- The numbers of one bucket (week or month) of a team, in the configured time zone, in seconds. If the configuration has a
-- min_group_size, durations of fewer people are null. So are all durations of months and of the current week, because differences
-- would reveal what whole weeks hide. Any login may call a function, so this one checks whether the login may read one of the
-- views. A separate grant on it could be forgotten.
create function team_bucket(team bigint, unit text, bucket_start date)
returns table (
    measure text,
    n bigint,
    weight numeric,
    contributors bigint,
    mean double precision,
    percentiles double precision []
)
language plpgsql stable parallel safe security definer rows 5 cost 1000
-- The plan is the same for every team and bucket, and planning takes longer than execution.
set plan_cache_mode = force_generic_plan
set jit = off
as $$
declare
    zone text;
    group_size integer;
    may_show boolean;
    bucket_end date := bucket_start + case unit when 'month' then interval '1 month' else interval '7 days' end;
begin
    if not (
        has_table_privilege(session_user, 'view_team_velocity', 'select')
        or has_table_privilege(session_user, 'view_dora_lead_time', 'select')
        or has_table_privilege(session_user, 'view_team_phases', 'select')
    ) then
        raise insufficient_privilege using message = format('permission denied for the numbers of teams: %s may not read their views', session_user);
    end if;
    select c.timezone, c.min_group_size into zone, group_size from configuration_in_force as c;
    may_show := group_size = 0 or (unit = 'week' and bucket_end::timestamp at time zone zone <= now());
    return query
    select
        s.measure,
        s.n,
        s.weight,
        s.contributors,
        case when may_show and s.contributors >= group_size then s.mean end,
        case when may_show and s.contributors >= group_size then s.percentiles end
    -- A day more on both sides, of which the bucket takes what is its own by local time: where clocks change at midnight, an
    -- instant can stand for two local times.
    from team_statistics(
        team,
        (bucket_start - 1)::timestamp at time zone zone,
        (bucket_end + 1)::timestamp at time zone zone,
        zone,
        unit,
        count_people => group_size > 0
    ) as s
    where s.bucket = bucket_start;
end
$$;

-- Fixes the schema that the function uses, independent of the caller, whose temporary tables come last.
do $$ begin
    execute format('alter function team_bucket(bigint, text, date) set search_path = %I, pg_temp', current_schema());
end $$;

comment on function team_bucket is
'Measures of one week or month of a team in the configured time zone, in seconds. Durations of small groups are null.';

create view view_team_velocity as
select
    b.team_id,
    b.team,
    b.bucket_start as week_start,
    to_char(b.bucket_start, 'IYYY-"W"IW') as iso_week,
    b.is_complete,
    v.prs_merged,
    v.prs_merged_weighted,
    v.contributors,
    v.mean_cycle_time / 3600 as mean_cycle_time_hours,
    v.cycle_times[1] / 3600 as median_cycle_time_hours,
    v.cycle_times[2] / 3600 as p75_cycle_time_hours,
    v.cycle_times[3] / 3600 as p90_cycle_time_hours,
    v.cycle_times[4] / 3600 as p95_cycle_time_hours,
    'velocity@1' as definition,
    v.coding_n,
    v.median_coding / 3600 as median_coding_hours,
    v.pickup_n,
    v.median_pickup / 3600 as median_pickup_hours,
    v.review_n,
    v.median_review / 3600 as median_review_hours,
    'pr_phases@1' as phases_definition
from team_buckets as b
cross join lateral (
    select
        max(m.n) filter (where m.measure = 'merged') as prs_merged,
        max(m.weight) filter (where m.measure = 'merged') as prs_merged_weighted,
        max(m.contributors) filter (where m.measure = 'merged') as contributors,
        max(m.mean) filter (where m.measure = 'cycle_time') as mean_cycle_time,
        max(m.percentiles) filter (where m.measure = 'cycle_time') as cycle_times,
        max(m.n) filter (where m.measure = 'coding') as coding_n,
        max(m.percentiles[1]) filter (where m.measure = 'coding') as median_coding,
        max(m.n) filter (where m.measure = 'pickup') as pickup_n,
        max(m.percentiles[1]) filter (where m.measure = 'pickup') as median_pickup,
        max(m.n) filter (where m.measure = 'review') as review_n,
        max(m.percentiles[1]) filter (where m.measure = 'review') as median_review
    from team_bucket(b.team_id, b.unit, b.bucket_start) as m
) as v
where b.unit = 'week';

comment on view view_team_velocity is
'Velocity (velocity@1) of each team by ISO week in the configured time zone. Weighted counts split a person across teams.';

create view view_dora_lead_time as
select
    b.team_id,
    b.team,
    b.bucket_start as month_start,
    b.is_complete,
    v.n,
    v.weight,
    v.mean / 3600 as mean_hours,
    v.percentiles[1] / 3600 as median_hours,
    v.percentiles[2] / 3600 as p75_hours,
    v.percentiles[3] / 3600 as p90_hours,
    v.percentiles[4] / 3600 as p95_hours,
    'pr_cycle_time@1' as definition,
    v.coding_n,
    v.median_coding / 3600 as median_coding_hours,
    v.pickup_n,
    v.median_pickup / 3600 as median_pickup_hours,
    v.review_n,
    v.median_review / 3600 as median_review_hours,
    'pr_phases@1' as phases_definition
from team_buckets as b
cross join lateral (
    select
        max(m.n) filter (where m.measure = 'cycle_time') as n,
        max(m.weight) filter (where m.measure = 'cycle_time') as weight,
        max(m.mean) filter (where m.measure = 'cycle_time') as mean,
        max(m.percentiles) filter (where m.measure = 'cycle_time') as percentiles,
        max(m.n) filter (where m.measure = 'coding') as coding_n,
        max(m.percentiles[1]) filter (where m.measure = 'coding') as median_coding,
        max(m.n) filter (where m.measure = 'pickup') as pickup_n,
        max(m.percentiles[1]) filter (where m.measure = 'pickup') as median_pickup,
        max(m.n) filter (where m.measure = 'review') as review_n,
        max(m.percentiles[1]) filter (where m.measure = 'review') as median_review
    from team_bucket(b.team_id, b.unit, b.bucket_start) as m
) as v
where b.unit = 'month';

comment on view view_dora_lead_time is
'Pull request cycle time (pr_cycle_time@1) of each team by month: opening to merge, in hours. Not DORA''s change lead time.';

create view view_team_phases as
select
    b.team_id,
    b.team,
    b.unit,
    b.bucket_start,
    m.measure as phase,
    m.n,
    m.weight,
    m.mean / 3600 as mean_hours,
    m.percentiles[1] / 3600 as median_hours,
    m.percentiles[2] / 3600 as p75_hours,
    m.percentiles[3] / 3600 as p90_hours,
    m.percentiles[4] / 3600 as p95_hours,
    'pr_phases@1' as definition,
    b.is_complete
from team_buckets as b
cross join lateral team_bucket(b.team_id, b.unit, b.bucket_start) as m
where m.measure in ('coding', 'pickup', 'review') and m.n > 0;

comment on view view_team_phases is
'Coding, pickup and review (pr_phases@1) of merged pull requests by team, calendar unit and phase, each with its own n.';
