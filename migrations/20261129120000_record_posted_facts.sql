-- Deployments and incidents that are posted or imported, and which source reports those of a service.

alter table services
-- Which source reports its deployments. Null for what the configuration says about all.
add column source text check (source in ('github-deployments', 'events')),
-- The source that reported its first deployment to production. Null while none did.
add column first_source text;

do $$
declare
    before constant text := current_setting('app.tenant', true);
    of_tenant integer;
begin
    for of_tenant in select t.id from tenants as t order by t.id loop
        perform set_config('app.tenant', of_tenant::text, true);
        update services as s
        set first_source = 'github-deployments'
        where exists (select from deployments as d where d.service_id = s.id and d.environment_group = 'production');
    end loop;
    perform set_config('app.tenant', coalesce(before, ''), true);
end $$;

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
    s.source,
    s.first_source
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

-- The only source whose deployments to production count for a service: the configured one, else the first that reported one.
create view sources_of_services as
select
    f.id as service_id,
    coalesce(f.source, (select c.delivery ->> 'source' from configuration_in_force as c), f.first_source) as source
from services_in_force as f;

comment on view sources_of_services is 'The source that reports the deployments of each service. Null while none does.';

-- How far the deployments of each repository are read. What is posted is known as soon as it happens, since the first of it: a
-- repository is read to now if all its services are posted.
create view deployments_read as
select
    r.id as repository_id,
    r.display_name,
    e.repository_id is not null as is_posted,
    case when e.repository_id is null then p.covered_since when e.is_known then e.first_at end as covered_since,
    case when e.repository_id is null then p.read_at end as read_at,
    case when e.repository_id is null then p.problem end as problem
from repositories as r
left join deployment_progress as p on r.id = p.repository_id
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
'How far the deployments of each repository are read. Posted ones (is_posted) are read to now, since the first of them.';

create or replace view delivery_coverage as
select
    d.covered_since,
    d.complete_until,
    i.wants_incidents,
    i.incidents_until
from (
    select
        case when bool_and(d.covered_since is not null) then max(d.covered_since) end as covered_since,
        case when bool_and(d.is_posted or d.read_at is not null) then min(case when d.is_posted then now() else d.read_at end) end
            as complete_until
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
