-- The phases of merged pull requests (pr_phases@1), bucketed by merge: a row for each bucket with merges and one for
-- the whole range whose bucket is null. Grain: team, bucket. Unit: seconds; percentiles 0.5, 0.75, 0.9, 0.95.
-- Each phase has its own n and weight; deploy is not known before deployments are.
create function team_phases(
    team bigint,
    range_from timestamptz,
    range_to timestamptz,
    zone text,
    unit text,
    repository_ids bigint [] default null
)
returns table (
    bucket date,
    phase text,
    n bigint,
    weight numeric,
    mean_seconds double precision,
    percentile_seconds double precision []
)
language sql stable parallel safe
as $$
    select
        date_trunc(unit, a.merged_at at time zone zone)::date as bucket,
        p.phase,
        count(*) as n,
        sum(a.weight) as weight,
        sum(p.seconds * a.weight::double precision) / sum(a.weight::double precision) as mean_seconds,
        weighted_percentiles(
            array_agg(p.seconds), array_agg((a.weight * 10000)::integer), array[0.5, 0.75, 0.9, 0.95]
        ) as percentile_seconds
    from pr_attributions as a
    cross join lateral (
        values ('coding', a.coding_seconds), ('pickup', a.pickup_seconds), ('review', a.review_seconds)
    ) as p (phase, seconds)
    where
        a.team_id = team
        and a.merged_at >= range_from
        and a.merged_at < range_to
        and (repository_ids is null or a.repository_id = any(repository_ids))
        and p.seconds is not null
    group by grouping sets ((1, p.phase), (p.phase))
$$;

comment on function team_phases is
'Phases (pr_phases@1) of a team''s merged pull requests: a row for each bucket and phase, bucket null for the range.';

-- The same with a column for each phase, in hours: what the views show beside their own numbers.
create function team_phase_medians(
    team bigint, range_from timestamptz, range_to timestamptz, zone text, unit text
)
returns table (
    bucket date,
    coding_n bigint,
    median_coding_hours double precision,
    pickup_n bigint,
    median_pickup_hours double precision,
    review_n bigint,
    median_review_hours double precision
)
language sql stable parallel safe
as $$
    select
        s.bucket,
        coalesce(max(s.n) filter (where s.phase = 'coding'), 0),
        max(s.percentile_seconds[1]) filter (where s.phase = 'coding') / 3600,
        coalesce(max(s.n) filter (where s.phase = 'pickup'), 0),
        max(s.percentile_seconds[1]) filter (where s.phase = 'pickup') / 3600,
        coalesce(max(s.n) filter (where s.phase = 'review'), 0),
        max(s.percentile_seconds[1]) filter (where s.phase = 'review') / 3600
    from team_phases(team, range_from, range_to, zone, unit) as s
    group by s.bucket
$$;

comment on function team_phase_medians is 'Counts and medians of team_phases (pr_phases@1), a column for each phase, in hours.';

create or replace view pr_metrics as
select
    a.team_id,
    t.slug as team,
    a.pull_request_id,
    coalesce(r.current_name, r.name) as repository,
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
    p.merged_at,
    coalesce(p.merged_at, p.closed_at, p.created_at) as attributed_at,
    case when p.merged_at >= p.created_at then extract(epoch from p.merged_at - p.created_at)::double precision end
        as cycle_time_seconds,
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
    -- Why a duration is null although one might expect it.
    array_remove(
        array[
            case when p.merged_at < p.created_at then 'merged_before_creation' end,
            case when p.detailed_at is distinct from p.updated_at then 'details_pending' end,
            case when p.first_commit_at > p.created_at then 'first_commit_after_creation' end,
            case when p.first_review_at < coalesce(p.ready_at, p.created_at) then 'review_before_ready' end,
            case when p.first_review_at > p.merged_at then 'review_after_merge' end,
            case when p.is_draft_history_incomplete then 'draft_times_missing' end
        ],
        null
    ) as flags
from pr_attributions as a
inner join pull_requests as p on a.pull_request_id = p.id
inner join teams as t on a.team_id = t.id
inner join repositories as r on a.repository_id = r.id
inner join people as h on a.author_id = h.id;

create or replace view view_team_velocity as
select
    t.id as team_id,
    t.slug as team,
    v.bucket as week_start,
    to_char(v.bucket, 'IYYY-"W"IW') as iso_week,
    (v.bucket + 7)::timestamp at time zone c.timezone <= now()
    and coalesce(v.bucket::timestamp at time zone c.timezone >= k.covered_since, false) as is_complete,
    v.prs_merged,
    v.prs_merged_weighted,
    v.contributors,
    v.mean_seconds / 3600 as mean_cycle_time_hours,
    v.percentile_seconds[1] / 3600 as median_cycle_time_hours,
    v.percentile_seconds[2] / 3600 as p75_cycle_time_hours,
    v.percentile_seconds[3] / 3600 as p90_cycle_time_hours,
    v.percentile_seconds[4] / 3600 as p95_cycle_time_hours,
    'velocity@1' as definition,
    p.coding_n,
    p.median_coding_hours,
    p.pickup_n,
    p.median_pickup_hours,
    p.review_n,
    p.median_review_hours,
    'pr_phases@1' as phases_definition
from teams as t
cross join configuration_in_force as c
cross join collection_coverage as k
cross join lateral (
    select min(a.merged_at) as merged_at from pr_attributions as a where a.team_id = t.id and a.merged_at is not null
) as first_merge
cross join lateral team_cycle_times(t.id, first_merge.merged_at, now(), c.timezone, 'week') as v
left join lateral team_phase_medians(t.id, first_merge.merged_at, now(), c.timezone, 'week') as p on v.bucket = p.bucket
where v.bucket is not null;

create or replace view view_dora_lead_time as
select
    t.id as team_id,
    t.slug as team,
    v.bucket as month_start,
    (v.bucket + interval '1 month') at time zone c.timezone <= now()
    and coalesce(v.bucket::timestamp at time zone c.timezone >= k.covered_since, false) as is_complete,
    v.duration_n as n,
    v.duration_weight as weight,
    v.mean_seconds / 3600 as mean_hours,
    v.percentile_seconds[1] / 3600 as median_hours,
    v.percentile_seconds[2] / 3600 as p75_hours,
    v.percentile_seconds[3] / 3600 as p90_hours,
    v.percentile_seconds[4] / 3600 as p95_hours,
    'pr_cycle_time@1' as definition,
    p.coding_n,
    p.median_coding_hours,
    p.pickup_n,
    p.median_pickup_hours,
    p.review_n,
    p.median_review_hours,
    'pr_phases@1' as phases_definition
from teams as t
cross join configuration_in_force as c
cross join collection_coverage as k
cross join lateral (
    select min(a.merged_at) as merged_at from pr_attributions as a where a.team_id = t.id and a.merged_at is not null
) as first_merge
cross join lateral team_cycle_times(t.id, first_merge.merged_at, now(), c.timezone, 'month') as v
left join lateral team_phase_medians(t.id, first_merge.merged_at, now(), c.timezone, 'month') as p on v.bucket = p.bucket
where v.bucket is not null;

-- Grain: team, unit ('week' or 'month' of the configured time zone), bucket, phase. Unit: hours. Merged pull requests.
create view view_team_phases as
select
    t.id as team_id,
    t.slug as team,
    u.unit,
    s.bucket as bucket_start,
    s.phase,
    s.n,
    s.weight,
    s.mean_seconds / 3600 as mean_hours,
    s.percentile_seconds[1] / 3600 as median_hours,
    s.percentile_seconds[2] / 3600 as p75_hours,
    s.percentile_seconds[3] / 3600 as p90_hours,
    s.percentile_seconds[4] / 3600 as p95_hours,
    'pr_phases@1' as definition
from teams as t
cross join configuration_in_force as c
cross join (values ('week'), ('month')) as u (unit)
cross join lateral team_phases(t.id, '-infinity', now(), c.timezone, u.unit) as s
where s.bucket is not null;

comment on view view_team_phases is
'Coding, pickup and review (pr_phases@1) of merged pull requests by team, calendar unit and phase, each with its own n.';
