-- Deployments and incidents that are posted or imported, and which source tells those of a service.

alter table services
-- What tells its deployments. Null for what the configuration says about all.
add column source text check (source in ('github-deployments', 'events'));

alter table deployments
-- The program that posted it, as its key says, so that two programs may number theirs alike.
add column sender text,
drop constraint deployments_source_key,
add constraint deployments_source_key unique nulls not distinct (tenant_id, source, instance_id, sender, external_id);

alter table incidents
add column sender text,
drop constraint incidents_source_key,
add constraint incidents_source_key unique nulls not distinct (tenant_id, source, instance_id, sender, external_id);

create or replace view services_in_force as
select
    s.id,
    coalesce(s.slug, replace(r.display_name, '/', '.')) as slug,
    coalesce(s.name, r.display_name) as name,
    s.repository_id is not null as is_implied,
    s.place,
    s.environments,
    s.has_facts,
    s.data_version,
    s.source
from services as s
left join repositories as r on s.repository_id = r.id
where
    s.archived_at is null
    and (
        s.repository_id is null
        or (
            r.removed_at is null
            and not exists (
                select from service_repositories as o
                inner join services as named on o.service_id = named.id
                where named.archived_at is null and o.repository in (r.name, r.current_name)
            )
        )
    );

-- The only source whose deployments to production count for a service: the configured one, else the first that told one.
create view sources_of_services as
select
    f.id as service_id,
    coalesce(
        f.source,
        (select c.delivery ->> 'source' from configuration_in_force as c),
        (
            select d.source from deployments as d
            where d.service_id = f.id and d.environment_group = 'production' and d.deleted_at is null
            order by d.id
            limit 1
        )
    ) as source
from services_in_force as f;

comment on view sources_of_services is 'The source that tells the deployments of each service. Null while none does.';

-- What was posted or imported, also what was refused. Bodies are not kept.
create table received_events (
    tenant_id integer not null default current_tenant() references tenants (id),
    -- Random, so that a transaction that is repeated because its reply was lost writes one row.
    id bigint not null,
    received_at timestamptz not null,
    -- How it came.
    channel text not null check (channel in ('api', 'import')),
    -- The name of the key, if it came with one.
    key_name text,
    sha256 bytea not null check (length(sha256) = 32),
    kind text not null check (kind in ('deployment', 'incident')),
    -- The id that its sender gave, if it could be read.
    subject text,
    outcome text not null check (outcome in ('created', 'changed', 'replayed', 'refused')),
    -- Why it was refused.
    reason text,
    primary key (tenant_id, id),
    check ((outcome = 'refused') = (reason is not null))
);

create index received_events_time_idx on received_events (tenant_id, received_at);

comment on table received_events is 'What was posted or imported, also what was refused: when, by which key, and what became of it.';

call separate_tenants('received_events');
