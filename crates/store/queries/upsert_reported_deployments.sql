-- Writes deployments that a repository ($1) lists with their ends, and answers with those that are new or different. A commit and
-- an end stay as they were first known: a tag may move later. $2 the source, $3 the environment; $4 to $13 the columns, each id
-- once.
with listed as (
    select * from unnest(
        $4::bigint [], $5::text [], $6::text [], $7::jsonb [], $8::text [], $9::text [], $10::timestamptz [], $11::bytea [],
        $12::text [], $13::timestamptz []
    ) as l (
        service_id, environment_group, external_id, origin, version, url, created_at, oid, state, ended_at
    )
),

written as (
    insert into deployments as d (
        service_id, source, instance_id, repository_id, external_id, listed_environment, environment, environment_group, origin,
        version, url, created_at
    )
    select
        l.service_id, $2, r.instance_id, r.id, l.external_id, $3, $3, l.environment_group, l.origin, l.version, l.url,
        l.created_at
    from listed as l
    inner join repositories as r on r.id = $1
    order by l.external_id
    on conflict on constraint deployments_source_key do update
    set
        service_id = excluded.service_id,
        repository_id = excluded.repository_id,
        environment_group = excluded.environment_group,
        origin = excluded.origin,
        version = excluded.version,
        url = excluded.url,
        deleted_at = null
    where
        (
            d.service_id, d.repository_id, d.environment_group, d.origin, d.version, d.url, d.deleted_at
        ) is distinct from (
            excluded.service_id, excluded.repository_id, excluded.environment_group, excluded.origin, excluded.version,
            excluded.url, null::timestamptz
        )
    returning d.id, d.external_id
),

-- The rows of this statement are not in the table yet, as it sees it.
known as (
    select w.id, w.external_id from written as w
    union
    select d.id, d.external_id
    from deployments as d
    inner join repositories as r on r.id = $1
    inner join listed as l on d.external_id = l.external_id
    where d.source = $2 and d.instance_id = r.instance_id and d.sender is null
),

revised as (
    insert into deployment_revisions (deployment_id, repository_id, oid)
    select k.id, $1, l.oid
    from known as k
    inner join listed as l on k.external_id = l.external_id
    where l.oid is not null
    order by k.id
    on conflict (tenant_id, deployment_id, repository_id) do nothing
    returning deployment_id
),

ended as (
    insert into deployment_states (deployment_id, at, state)
    select k.id, l.ended_at, l.state
    from known as k
    inner join listed as l on k.external_id = l.external_id
    where
        l.state is not null
        and not exists (
            select from deployment_states as s where s.deployment_id = k.id and s.state in ('success', 'failure', 'cancelled')
        )
    order by k.id
    on conflict (tenant_id, deployment_id, at, state) do nothing
    returning deployment_id
)

select id as "id!" from written
union
select deployment_id from revised
union
select deployment_id from ended
