-- How far each source of deployments is read at an instant ($2): those of a service ($1), or of all.
with wanted as (
    select s.service_id, coalesce(s.source, 'github-deployments') as source, s.list, o.repository_id
    from sources_of_services as s
    inner join repositories_of_services as o on s.service_id = o.service_id
    where $1::bigint is null or s.service_id = $1
),
posted as (
    select p.service_id, f.first_at, e.last_at
    from (select distinct w.service_id from wanted as w where w.source = 'events') as p
    cross join lateral (
        select min(coalesce(d.succeeded_at, d.failed_at)) as first_at
        from deployments as d
        where d.service_id = p.service_id and d.source = 'events' and d.environment_group = 'production'
    ) as f
    cross join lateral (
        select max(s.at) as last_at
        from deployments as d
        inner join deployment_states as s on d.id = s.deployment_id
        where d.service_id = p.service_id and d.source = 'events'
    ) as e
)
select
    w.source as "source!",
    count(distinct w.service_id) as "services!",
    case
        when w.source = 'events' then max(p.first_at)
        when bool_and(r.covered_since is not null) then max(r.covered_since)
    end as covered_since,
    -- What is posted counts as read until now. To the hour, so that an answer does not change every second.
    case
        when w.source = 'events' and count(r.problem) = 0 then greatest(date_trunc('hour', $2::timestamptz), max(p.first_at))
        when bool_and(r.read_at is not null) then min(r.read_at)
    end as complete_until,
    max(p.last_at) as last_event_at,
    count(distinct w.repository_id) filter (where r.problem is not null) as "failing!",
    coalesce(array_agg(distinct r.problem) filter (where r.problem is not null), '{}') as "problems!: Vec<String>"
from wanted as w
left join deployment_lists_read as r on w.repository_id = r.repository_id and w.source = r.source and w.list = r.list
left join posted as p on w.source = 'events' and w.service_id = p.service_id
group by w.source
order by w.source
