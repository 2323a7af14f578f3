-- For people and Grafana. Weeks and months are those of the configured time zone.

create view configuration_in_force as
select revision, applied_at, timezone, bots
from configurations
order by revision desc
limit 1;

comment on view configuration_in_force is 'The newest configuration: one row, none before the first.';

-- Where numbers begin to be complete: the youngest of the starts of all collected repositories.
create view collection_coverage as
select max(covered_since) as covered_since
from repositories
where removed_at is null;

comment on view collection_coverage is 'Everything that changed since covered_since is stored. One row.';

-- Grain: team, pull request. Unit: seconds. Source: pr_attributions and the facts behind it.
-- Left out: pull requests that count for no team. Durations are null while open, for a close without a merge,
-- and for a merge before the creation.
create view pr_metrics as
select
    a.team_id,
    t.slug as team,
    a.pull_request_id,
    r.name as repository,
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
    coalesce(p.merged_at < p.created_at, false) as is_merged_before_creation
from pr_attributions as a
inner join pull_requests as p on a.pull_request_id = p.id
inner join teams as t on a.team_id = t.id
inner join repositories as r on a.repository_id = r.id
inner join people as h on a.author_id = h.id;

comment on view pr_metrics is
'One row for each team and pull request that counts for it, with the weight and the membership that says so.';

-- Grain: team, ISO week (Monday start). From the team's first merge to the running week; weeks without merges
-- count 0 and have no durations. A week that is not over, or began before the collection covers it, is not complete.
create view view_team_velocity as
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
    'velocity@1' as definition
from teams as t
cross join configuration_in_force as c
cross join collection_coverage as k
cross join lateral (
    select min(a.merged_at) as merged_at from pr_attributions as a where a.team_id = t.id and a.merged_at is not null
) as first_merge
cross join lateral team_cycle_times(t.id, first_merge.merged_at, now(), c.timezone, 'week') as v
where v.bucket is not null;

comment on view view_team_velocity is
'Velocity (velocity@1) of each team by ISO week of the configured time zone. Weighted counts split a person over teams.';

-- Grain: team, month. What is served as lead time while no deployments are known: pr_cycle_time@1, from opening
-- to merge. It is not DORA's change lead time, and its definition column says so.
create view view_dora_lead_time as
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
    'pr_cycle_time@1' as definition
from teams as t
cross join configuration_in_force as c
cross join collection_coverage as k
cross join lateral (
    select min(a.merged_at) as merged_at from pr_attributions as a where a.team_id = t.id and a.merged_at is not null
) as first_merge
cross join lateral team_cycle_times(t.id, first_merge.merged_at, now(), c.timezone, 'month') as v
where v.bucket is not null;

comment on view view_dora_lead_time is
'Pull request cycle time (pr_cycle_time@1) of each team by month: opening to merge, in hours. Not DORA''s change lead time.';
