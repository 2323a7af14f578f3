-- Deployments of a scope ($1 team, $2 service, $3 basis) in a range ($4, $5) and an environment or group ($6), by the instant
-- at which they finished, or were created if they did not. $7 and $8 the last known one, $9 how many, $10 only this one.
select
    d.id,
    d.source,
    d.external_id,
    d.service_id,
    coalesce(s.slug, replace(r.display_name, '/', '.')) as "service!",
    d.environment,
    d.outcome,
    d.version,
    d.url,
    d.created_at,
    coalesce(d.succeeded_at, d.failed_at) as finished_at,
    coalesce(d.succeeded_at, d.failed_at, d.created_at) as "at!",
    d.deleted_at is not null as "is_deleted!",
    f.kind,
    f.repeats_id,
    f.replaces_id,
    coalesce(f.pull_requests, 0) as "pull_requests!",
    coalesce(f.is_after_unknown, false) as "is_after_unknown!",
    coalesce(f.rework, '{}') as "rework!",
    array(
        select x.reason from deployment_failures as x where x.deployment_id = d.id order by x.reason
    ) as "failures!: Vec<String>",
    coalesce(f.remedied_by_id, (
        select x.remedied_by_id from deployment_failures as x
        where x.deployment_id = d.id and x.remedied_at is not null
        order by x.remedied_at
        limit 1
    )) as remedied_by_id,
    coalesce(f.remedied_at, (select min(x.remedied_at) from deployment_failures as x where x.deployment_id = d.id)) as remedied_at,
    array(
        select o.display_name || '@' || encode(v.oid, 'hex')
        from deployment_revisions as v
        inner join repositories as o on v.repository_id = o.id
        where v.deployment_id = d.id
        order by 1
    ) as "revisions!: Vec<String>",
    (p.share * 100000000)::bigint as share
from deployments as d
inner join services as s on d.service_id = s.id
left join repositories as r on s.repository_id = r.id
left join deployment_facts as f on d.id = f.deployment_id
left join deployment_shares as p on p.basis = $3 and p.team_id = $1 and d.id = p.deployment_id
where
    ($1::bigint is null or p.deployment_id is not null)
    and ($2::bigint is null or d.service_id = $2)
    and ($10::bigint is null or d.id = $10)
    and ($10::bigint is not null or d.deleted_at is null)
    and (
        $6::text is null
        or d.environment_group = $6
        or ($6 not in ('production', 'transient') and lower(d.environment) = $6)
    )
    and coalesce(d.succeeded_at, d.failed_at, d.created_at) >= $4
    and coalesce(d.succeeded_at, d.failed_at, d.created_at) < $5
    and (
        $7::timestamptz is null
        or (coalesce(d.succeeded_at, d.failed_at, d.created_at), d.id) > ($7, $8::bigint)
    )
order by coalesce(d.succeeded_at, d.failed_at, d.created_at), d.id
limit $9
