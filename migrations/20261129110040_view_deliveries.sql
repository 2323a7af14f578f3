-- Views of deployments, incidents and DORA's metrics, and deliveries in the views of pull requests. New columns come last.

-- Why a duration is null although one might expect it.
create or replace function pull_request_flags(p pull_requests)
returns text []
language sql stable parallel safe
as $$
    select array_remove(
        array[
            case when p.merged_at < p.created_at then 'merged_before_creation' end,
            case when p.detailed_at is distinct from p.updated_at then 'details_pending' end,
            case when p.has_unread_commits then 'commits_incomplete' end,
            case when p.first_commit_at > p.created_at then 'first_commit_after_creation' end,
            case when p.first_review_at < coalesce(p.ready_at, p.created_at) then 'review_before_ready' end,
            case when p.first_review_at > p.merged_at then 'reviewed_after_merge' end,
            case when p.is_draft_history_incomplete then 'draft_times_missing' end,
            case when p.delivered_at < p.merged_at then 'deployed_before_merge' end
        ],
        null
    )
$$;


-- How far deployments and incidents are read.
create view delivery_coverage as
select
    d.covered_since,
    d.complete_until,
    i.wants_incidents,
    i.incidents_until
from (
    select
        case when bool_and(p.covered_since is not null) then max(p.covered_since) end as covered_since,
        case when bool_and(p.read_at is not null) then min(p.read_at) end as complete_until
    from repositories as r
    left join deployment_progress as p on r.id = p.repository_id
    where r.removed_at is null
) as d
cross join (
    select
        count(*) > 0 as wants_incidents,
        case when bool_and(p.read_at is not null) then min(p.read_at) end as incidents_until
    from configuration_in_force as c
    cross join lateral jsonb_array_elements_text(coalesce(c.delivery -> 'incident_labels', '[]')) as l (label)
    inner join repositories as r on r.removed_at is null
    left join incident_progress as p on r.id = p.repository_id and l.label = p.label
) as i;

comment on view delivery_coverage is
'All deployments from covered_since to complete_until are stored, and incidents to incidents_until if any label means incidents. Null while something was never read. One row.';

create or replace view pr_metrics as
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
    a.deploy_seconds,
    p.additions,
    p.deletions,
    p.changed_files,
    p.merge_commit,
    pull_request_flags(p) as flags,
    a.delivered_at,
    a.lead_seconds as change_lead_time_seconds
from pr_attributions as a
inner join pull_requests as p on a.pull_request_id = p.id
inner join teams as t on a.team_id = t.id
inner join repositories as r on a.repository_id = r.id
inner join accounts as h on a.author_id = h.person_id and r.instance_id = h.instance_id;

-- As before, with the deploy phase.
create or replace function team_bucket(team bigint, unit text, bucket_start date)
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
    from merge_statistics(
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

do $$ begin
    execute format('alter function team_bucket(bigint, text, date) set search_path = %I, pg_temp', current_schema());
end $$;

-- Lead times of one bucket (week or month) of a team, as for `team_bucket`.
create function team_deliveries(team bigint, unit text, bucket_start date)
returns table (
    measure text,
    n bigint,
    weight numeric,
    mean double precision,
    percentiles double precision []
)
language plpgsql stable parallel safe security definer rows 5 cost 1000
set plan_cache_mode = force_generic_plan
set jit = off
as $$
declare
    zone text;
    group_size integer;
    may_show boolean;
    bucket_end date := bucket_start + case unit when 'month' then interval '1 month' else interval '7 days' end;
    -- A day more on both sides, of which the bucket takes what is its own by local time.
    range_from timestamptz;
    range_to timestamptz;
begin
    if not (
        has_table_privilege(session_user, 'view_dora_lead_time', 'select')
        or has_table_privilege(session_user, 'view_team_dora', 'select')
    ) then
        raise insufficient_privilege using message = format('permission denied for the numbers of teams: %s may not read their views', session_user);
    end if;
    select c.timezone, c.min_group_size into zone, group_size from configuration_in_force as c;
    may_show := group_size = 0 or (unit = 'week' and bucket_end::timestamp at time zone zone <= now());
    range_from := (bucket_start - 1)::timestamp at time zone zone;
    range_to := (bucket_end + 1)::timestamp at time zone zone;
    return query
    select
        d.measure,
        d.n,
        d.weight,
        case when may_show and d.contributors >= group_size then d.mean end,
        case when may_show and d.contributors >= group_size then d.percentiles end
    from delivery_times(team, null, range_from, range_to, zone, unit) as d
    where d.bucket = bucket_start;
end
$$;

do $$ begin
    execute format('alter function team_deliveries(bigint, text, date) set search_path = %I, pg_temp', current_schema());
end $$;

comment on function team_deliveries is
'Deliveries of pull requests in one week or month of a team in the configured time zone, in seconds. Durations of small groups are null.';

-- DORA's measures of one bucket (week or month) of a team, as for `team_bucket`.
create function team_dora(team bigint, unit text, bucket_start date)
returns table (
    measure text,
    n bigint,
    weight numeric,
    mean double precision,
    percentiles double precision []
)
language plpgsql stable parallel safe security definer rows 5 cost 1000
set plan_cache_mode = force_generic_plan
set jit = off
as $$
declare
    zone text;
    group_size integer;
    may_show boolean;
    bucket_end date := bucket_start + case unit when 'month' then interval '1 month' else interval '7 days' end;
    -- A day more on both sides, of which the bucket takes what is its own by local time.
    range_from timestamptz;
    range_to timestamptz;
begin
    if not (
        has_table_privilege(session_user, 'view_team_dora', 'select')
    ) then
        raise insufficient_privilege using message = format('permission denied for the numbers of teams: %s may not read their views', session_user);
    end if;
    select c.timezone, c.min_group_size into zone, group_size from configuration_in_force as c;
    may_show := group_size = 0 or (unit = 'week' and bucket_end::timestamp at time zone zone <= now());
    range_from := (bucket_start - 1)::timestamp at time zone zone;
    range_to := (bucket_end + 1)::timestamp at time zone zone;
    return query
    select c.measure, c.n, c.share, null::double precision, null::double precision []
    from count_deployments(
        team, null, 'delivered', range_from, range_to, zone, unit,
        array['incident', 'rolled_back', 'reverted', 'failed_afterwards', 'declared']
    ) as c
    where c.bucket = bucket_start
    union all
    select r.measure, r.n, r.weight, r.mean, r.percentiles
    from recovery_times(
        team, null, 'delivered', range_from, range_to, zone, unit,
        array['incident', 'rolled_back', 'reverted', 'failed_afterwards', 'declared'], null
    ) as r
    where r.bucket = bucket_start
    union all
    select
        d.measure,
        d.n,
        d.weight,
        case when may_show and d.contributors >= group_size then d.mean end,
        case when may_show and d.contributors >= group_size then d.percentiles end
    from delivery_times(team, null, range_from, range_to, zone, unit) as d
    where d.bucket = bucket_start;
end
$$;

do $$ begin
    execute format('alter function team_dora(bigint, text, date) set search_path = %I, pg_temp', current_schema());
end $$;

comment on function team_dora is
'Deployments and recovery in one week or month of a team in the configured time zone, by delivered@1, in seconds.';

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
    'pr_phases@1' as phases_definition,
    v.deploy_n,
    v.median_deploy / 3600 as median_deploy_hours
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
        max(m.percentiles[1]) filter (where m.measure = 'review') as median_review,
        max(m.n) filter (where m.measure = 'deploy') as deploy_n,
        max(m.percentiles[1]) filter (where m.measure = 'deploy') as median_deploy
    from team_bucket(b.team_id, b.unit, b.bucket_start) as m
) as v
where b.unit = 'week';

create or replace view view_dora_lead_time as
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
    'pr_phases@1' as phases_definition,
    v.deploy_n,
    v.median_deploy / 3600 as median_deploy_hours,
    d.delivered,
    d.delivered_weighted,
    d.n as change_lead_time_n,
    d.weight as change_lead_time_weight,
    d.mean / 3600 as mean_change_lead_time_hours,
    d.percentiles[1] / 3600 as median_change_lead_time_hours,
    d.percentiles[2] / 3600 as p75_change_lead_time_hours,
    d.percentiles[3] / 3600 as p90_change_lead_time_hours,
    d.percentiles[4] / 3600 as p95_change_lead_time_hours,
    'change_lead_time@1' as change_lead_time_definition
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
        max(m.percentiles[1]) filter (where m.measure = 'review') as median_review,
        max(m.n) filter (where m.measure = 'deploy') as deploy_n,
        max(m.percentiles[1]) filter (where m.measure = 'deploy') as median_deploy
    from team_bucket(b.team_id, b.unit, b.bucket_start) as m
) as v
cross join lateral (
    select
        coalesce(max(m.n) filter (where m.measure = 'delivered'), 0) as delivered,
        coalesce(max(m.weight) filter (where m.measure = 'delivered'), 0) as delivered_weighted,
        coalesce(max(m.n) filter (where m.measure = 'change_lead_time'), 0) as n,
        coalesce(max(m.weight) filter (where m.measure = 'change_lead_time'), 0) as weight,
        max(m.mean) filter (where m.measure = 'change_lead_time') as mean,
        max(m.percentiles) filter (where m.measure = 'change_lead_time') as percentiles
    from team_deliveries(b.team_id, b.unit, b.bucket_start) as m
) as d
where b.unit = 'month';

comment on view view_dora_lead_time is
'Each team by month, in hours: pull request cycle time (pr_cycle_time@1, opening to merge, by merge), and beside it DORA''s change lead time (change_lead_time@1, first commit to production, by delivery).';

create or replace view view_team_phases as
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
where m.measure in ('coding', 'pickup', 'review', 'deploy') and m.n > 0;

comment on view view_team_phases is
'Coding, pickup, review and deploy (pr_phases@1) of merged pull requests by team, calendar unit and phase, each with its own n.';

-- Grain: deployment. Excludes those that their source no longer has, and environments other than production.
create view view_deployments as
select
    d.id as deployment_id,
    coalesce(s.slug, replace(r.display_name, '/', '.')) as service,
    d.source,
    d.external_id,
    d.environment,
    d.outcome,
    d.version,
    d.url,
    d.created_at,
    f.succeeded_at,
    f.finished_at,
    f.kind,
    coalesce(f.kind <> 'rollout', false) as is_counted,
    f.pull_requests,
    coalesce(f.rework, '{}') as rework,
    w.failures,
    coalesce(f.remedied_by_id, w.remedied_by_id) as remedied_by_id,
    coalesce(f.remedied_at, w.remedied_at) as remedied_at,
    'delivery@1' as definition
from deployments as d
inner join services as s on d.service_id = s.id
left join repositories as r on s.repository_id = r.id
left join deployment_facts as f on d.id = f.deployment_id
cross join lateral (
    select
        coalesce(array_agg(x.reason order by x.reason), '{}') as failures,
        (array_agg(x.remedied_by_id order by x.remedied_at))[1] as remedied_by_id,
        min(x.remedied_at) as remedied_at
    from deployment_failures as x
    where x.deployment_id = d.id
) as w
where d.environment_group = 'production' and d.deleted_at is null;

comment on view view_deployments is
'One row per production deployment: what it was, why it failed or is rework, and what remedied it.';

-- Grain: team, basis, deployment. What the shares of a deployment lack to 1 belongs to no team.
create view view_team_deployments as
select
    s.team_id,
    t.slug as team,
    s.basis || '@1' as basis,
    s.deployment_id,
    s.share,
    s.succeeded_at,
    s.finished_at,
    s.kind,
    s.rework
from deployment_shares as s
inner join teams as t on s.team_id = t.id;

comment on view view_team_deployments is
'One row per team and production deployment that it has a share of, by delivered@1 and owned@1.';

-- Grain: incident. Excludes dismissed and merged ones.
create view view_incidents as
select
    f.incident_id,
    coalesce(s.slug, replace(r.display_name, '/', '.')) as service,
    i.source,
    i.external_id,
    i.url,
    f.severity,
    f.started_at,
    f.resolved_at,
    case when f.resolved_at >= f.started_at
        then extract(epoch from f.resolved_at - f.started_at)::double precision / 3600 end as duration_hours,
    f.deployment_id,
    f.rule,
    'mttr@1' as definition
from incident_facts as f
inner join incidents as i on f.incident_id = i.id
left join services as s on f.service_id = s.id
left join repositories as r on s.repository_id = r.id;

comment on view view_incidents is
'One row per incident that counts, with the deployment that it belongs to. Without its title, which may name people.';

-- Grain: team, unit, bucket. Counts are of deployments with a share of the team; weights are the shares (delivered@1).
create view view_team_dora as
select
    b.team_id,
    b.team,
    b.unit,
    b.bucket_start,
    coalesce(
        b.is_complete
        and (b.bucket_start + ('1 ' || b.unit)::interval) at time zone c.timezone <= k.complete_until
        and b.bucket_start::timestamp at time zone c.timezone >= k.covered_since
        and (
            not k.wants_incidents
            or (b.bucket_start + ('1 ' || b.unit)::interval) at time zone c.timezone <= k.incidents_until
        ),
        false
    ) as is_complete,
    v.succeeded,
    v.succeeded_weighted,
    v.failed,
    v.failed_weighted,
    v.failed_weighted / nullif(v.succeeded_weighted, 0) as change_fail_rate,
    v.rework,
    v.rework_weighted,
    v.rework_weighted / nullif(v.succeeded_weighted, 0) as rework_rate,
    v.finished,
    v.finished_weighted,
    v.succeeded_weighted / nullif(v.finished_weighted, 0) as deployment_success_rate,
    v.delivered,
    v.delivered_weighted,
    v.lead_time_n,
    v.lead_times[1] / 3600 as median_change_lead_time_hours,
    v.lead_times[3] / 3600 as p90_change_lead_time_hours,
    v.recovery_n,
    v.recovery_times[1] / 3600 as median_recovery_time_hours,
    v.mttr_n,
    v.mttr / 3600 as mttr_hours,
    v.deployment_recovery_n,
    v.deployment_recovery_times[1] / 3600 as median_deployment_recovery_time_hours,
    'deployment_frequency@1 change_lead_time@1 change_fail_rate@1 rework_rate@1 recovery_time@1' as definitions
from team_buckets as b
cross join configuration_in_force as c
cross join delivery_coverage as k
cross join lateral (
    select
        coalesce(max(m.n) filter (where m.measure = 'succeeded'), 0) as succeeded,
        coalesce(max(m.weight) filter (where m.measure = 'succeeded'), 0) as succeeded_weighted,
        coalesce(max(m.n) filter (where m.measure = 'failed'), 0) as failed,
        coalesce(max(m.weight) filter (where m.measure = 'failed'), 0) as failed_weighted,
        coalesce(max(m.n) filter (where m.measure = 'rework'), 0) as rework,
        coalesce(max(m.weight) filter (where m.measure = 'rework'), 0) as rework_weighted,
        coalesce(max(m.n) filter (where m.measure = 'finished'), 0) as finished,
        coalesce(max(m.weight) filter (where m.measure = 'finished'), 0) as finished_weighted,
        coalesce(max(m.n) filter (where m.measure = 'delivered'), 0) as delivered,
        coalesce(max(m.weight) filter (where m.measure = 'delivered'), 0) as delivered_weighted,
        coalesce(max(m.n) filter (where m.measure = 'change_lead_time'), 0) as lead_time_n,
        max(m.percentiles) filter (where m.measure = 'change_lead_time') as lead_times,
        coalesce(max(m.n) filter (where m.measure = 'recovery_time'), 0) as recovery_n,
        max(m.percentiles) filter (where m.measure = 'recovery_time') as recovery_times,
        coalesce(max(m.n) filter (where m.measure = 'mttr'), 0) as mttr_n,
        max(m.mean) filter (where m.measure = 'mttr') as mttr,
        coalesce(max(m.n) filter (where m.measure = 'deployment_recovery_time'), 0) as deployment_recovery_n,
        max(m.percentiles) filter (where m.measure = 'deployment_recovery_time') as deployment_recovery_times
    from team_dora(b.team_id, b.unit, b.bucket_start) as m
) as v;

comment on view view_team_dora is
'DORA''s metrics of each team by week and month in the configured time zone. Rates are of shares; null without deployments.';
