-- Writes deployments that a repository ($1) lists and answers with those that are new or different. What follows from their
-- states stays. $2 the source; $3 to $11 the columns, each id once.
with listed as (
    select * from unnest(
        $3::bigint [], $4::text [], $5::text [], $6::text [], $7::text [], $8::boolean [], $9::boolean [],
        $10::timestamptz [], $11::bytea []
    ) as l (
        service_id, external_id, node_id, environment, environment_group, is_production, is_transient, created_at, oid
    )
),

written as (
    insert into deployments as d (
        service_id, source, instance_id, repository_id, external_id, node_id, listed_environment, environment,
        environment_group, is_production, is_transient, created_at
    )
    select
        l.service_id, $2, r.instance_id, r.id, l.external_id, l.node_id, l.environment, l.environment, l.environment_group,
        l.is_production, l.is_transient, l.created_at
    from listed as l
    inner join repositories as r on r.id = $1
    order by l.external_id
    on conflict on constraint deployments_source_key do update
    set
        repository_id = excluded.repository_id,
        node_id = excluded.node_id,
        listed_environment = excluded.listed_environment,
        is_production = excluded.is_production,
        is_transient = excluded.is_transient,
        -- They follow from all states, which are read again.
        states_read_at = case
            when (d.listed_environment, d.is_production, d.is_transient)
            is distinct from (excluded.listed_environment, excluded.is_production, excluded.is_transient) then null
            else d.states_read_at
        end,
        deleted_at = null
    where
        (
            d.repository_id, d.node_id, d.listed_environment, d.is_production, d.is_transient, d.deleted_at
        ) is distinct from (
            excluded.repository_id, excluded.node_id, excluded.listed_environment, excluded.is_production,
            excluded.is_transient, null::timestamptz
        )
    returning d.id, d.external_id
),

revised as (
    insert into deployment_revisions (deployment_id, repository_id, oid)
    select w.id, $1, l.oid
    from written as w
    inner join listed as l on w.external_id = l.external_id
    where l.oid is not null
    order by w.id
    on conflict (tenant_id, deployment_id, repository_id) do nothing
)

select id from written
