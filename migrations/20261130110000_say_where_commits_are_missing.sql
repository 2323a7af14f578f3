-- Nobody lists what is posted, but its commits are read: where that fails, lead times are missing, and answers say so.
alter table deployment_lists drop constraint deployment_lists_source_check;
alter table deployment_lists add constraint deployment_lists_source_check
check (source in ('github-actions', 'github-releases', 'merges', 'events'));

comment on table deployment_lists is
'How far the runs, releases or merges of a repository are read. Of posted deployments, how far their commits are.';

create or replace view deployment_lists_read as
select w.repository_id, w.source, w.list, p.covered_since, p.read_at, p.problem
from lists_of_repositories as w
left join (
    select g.repository_id, 'github-deployments' as source, '' as list, g.covered_since, g.read_at, g.problem
    from deployment_progress as g
    union all
    select l.repository_id, l.source, l.list, l.covered_since, l.read_at, l.problem
    from deployment_lists as l
) as p on w.repository_id = p.repository_id and w.source = p.source and w.list = p.list
where w.source <> 'events' or p.problem is not null;

comment on view deployment_lists_read is
'How far each list of deployments of each repository is read. Posted ones have no list, and are here while their commits cannot be read.';

create or replace view deployments_read as
select
    r.id as repository_id,
    r.display_name,
    e.repository_id is not null as is_posted,
    case when e.repository_id is null then l.covered_since when e.is_known then e.first_at end as covered_since,
    case when e.repository_id is null or l.problem is not null then l.read_at end as read_at,
    l.problem
from repositories as r
left join (
    select
        p.repository_id,
        case
            when bool_and(p.covered_since is not null or p.source = 'events') then max(p.covered_since)
        end as covered_since,
        case when bool_and(p.read_at is not null) then min(p.read_at) end as read_at,
        min(p.problem) as problem
    from deployment_lists_read as p
    group by p.repository_id
) as l on r.id = l.repository_id
left join (
    select o.repository_id, max(d.first_at) as first_at, bool_and(d.first_at is not null) as is_known
    from repositories_of_services as o
    inner join sources_of_services as s on o.service_id = s.service_id
    cross join lateral (
        select min(coalesce(d.succeeded_at, d.failed_at)) as first_at from deployments as d
        where s.source = 'events' and d.service_id = s.service_id and d.source = 'events' and d.environment_group = 'production'
    ) as d
    group by o.repository_id
    having bool_and(s.source is not distinct from 'events')
) as e on r.id = e.repository_id
where r.removed_at is null;

comment on view deployments_read is
'How far the deployments of each repository are read. Posted ones (is_posted) are read to now, since the first of them, unless their commits cannot be read.';

create or replace view delivery_coverage as
select
    d.covered_since,
    d.complete_until,
    i.wants_incidents,
    i.incidents_until
from (
    select
        case when bool_and(d.covered_since is not null) then max(d.covered_since) end as covered_since,
        case
            when bool_and(d.is_posted and d.problem is null or d.read_at is not null)
                then min(case when d.is_posted and d.problem is null then now() else d.read_at end)
        end as complete_until
    from deployments_read as d
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
    'change_lead_time@1' as change_lead_time_definition,
    coalesce(
        b.is_complete
        and (b.bucket_start + interval '1 month') at time zone c.timezone <= k.complete_until
        and b.bucket_start::timestamp at time zone c.timezone >= k.covered_since,
        false
    ) as is_change_lead_time_complete
from team_buckets as b
cross join configuration_in_force as c
cross join delivery_coverage as k
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

comment on column view_dora_lead_time.is_change_lead_time_complete is
'Whether deployments were read for the whole month, too.';
