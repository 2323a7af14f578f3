-- Incidents of a scope ($1 team, $2 service, $3 basis) and some severities ($6; null for all) that were open at any time in a
-- range ($4, $5), by their start. $7 and $8 the last known one, $9 how many.
select
    i.id,
    i.source,
    i.external_id,
    r.display_name as "repository?",
    i.number,
    coalesce(s.slug, replace(o.display_name, '/', '.')) as service,
    i.title,
    i.severity,
    i.source_severity,
    i.url,
    coalesce(f.started_at, i.started_at) as "started_at!",
    f.resolved_at as "resolved_at?",
    case
        when f.resolved_at is not null then 'resolved'
        when f.incident_id is not null then 'open'
        when l.state = 'merged' then 'merged'
        else 'dismissed'
    end as "outcome!",
    m.target_id as "merged_into?",
    f.deployment_id as "deployment_id?",
    f.rule as "rule?",
    (p.share * 100000000)::bigint as share,
    array(
        select x.at from incident_states as x where x.incident_id = i.id order by x.at, incident_state_rank(x.state)
    ) as "state_times!",
    array(
        select x.state from incident_states as x where x.incident_id = i.id order by x.at, incident_state_rank(x.state)
    ) as "states!: Vec<String>"
from incidents as i
left join incident_facts as f on i.id = f.incident_id
left join services as s on i.service_id = s.id
left join merged_incidents as m on i.id = m.id
left join repositories as o on s.repository_id = o.id
left join repositories as r on i.repository_id = r.id
left join scoped_incidents($1, $2, $3, null) as p on $1 is not null and i.id = p.incident_id
left join lateral (
    select x.at, x.state from incident_states as x
    where x.incident_id = i.id
    order by x.at desc, incident_state_rank(x.state) desc
    limit 1
) as l on true
where
    ($1::bigint is null or p.incident_id is not null)
    and ($2::bigint is null or i.service_id = $2)
    and ($6::text [] is null or i.severity = any($6))
    and coalesce(f.started_at, i.started_at) < $5
    and (
        f.incident_id is not null and f.resolved_at is null
        or coalesce(f.resolved_at, i.withdrawn_at, l.at, i.started_at) >= $4
    )
    and ($7::timestamptz is null or (coalesce(f.started_at, i.started_at), i.id) > ($7, $8::bigint))
order by coalesce(f.started_at, i.started_at), i.id
limit $9
