-- Deployments without a list of states: runs of workflows, releases and tags, and merges.

alter table services
-- What of its source is a deployment, such as the file of a workflow.
add column source_options jsonb not null default '{}',
drop constraint services_source_check,
add constraint services_source_check
check (source in ('github-deployments', 'github-actions', 'github-releases', 'merges', 'events'));

alter table deployments
-- What it is at its source, if that names no environments: a run with its workflow and branch, a release, a tag or a merge.
add column origin jsonb;

-- How far the runs, releases or merges of a repository are read. As deployment_progress, which is about GitHub's deployments.
create table deployment_lists (
    tenant_id integer not null default current_tenant(),
    repository_id bigint not null,
    source text not null check (source in ('github-actions', 'github-releases', 'merges')),
    -- Which runs, releases or merges.
    list text not null,
    etag text,
    etag_scope text,
    reading_since timestamptz,
    reading_started_at timestamptz,
    reading_cursor text,
    covered_since timestamptz,
    listed_at timestamptz,
    read_at timestamptz,
    problem text,
    problem_message text,
    primary key (tenant_id, repository_id, source, list),
    foreign key (tenant_id, repository_id) references repositories (tenant_id, id),
    check ((problem is null) = (problem_message is null)),
    check ((reading_since is null) = (reading_started_at is null))
);

comment on table deployment_lists is 'How far the runs, releases or merges of a repository are read.';

alter table pull_requests
-- Whether it is only assumed that the merge was the delivery.
add column is_delivery_assumed boolean not null default false;

-- When the first service delivered a pull request, and whether that is only assumed: a deployment that is known comes before an
-- assumed one of the same instant. No row if none did.
create function first_delivery(pull_request bigint, out delivered_at timestamptz, out is_assumed boolean)
returns setof record
language sql stable parallel safe
as $$
    select p.delivered_at, d.source = 'merges'
    from pr_deliveries as p
    inner join deployments as d on p.deployment_id = d.id
    where p.pull_request_id = pull_request
    order by p.delivered_at, d.source = 'merges'
    limit 1
$$;

comment on function first_delivery is 'When the first service delivered a pull request, and whether that is only assumed.';

create or replace function deploy_seconds(p pull_requests)
returns double precision
language sql stable parallel safe
as $$
    select case when p.delivered_at >= p.merged_at and not p.is_delivery_assumed
        then extract(epoch from p.delivered_at - p.merged_at)::double precision end
$$;

comment on function deploy_seconds is 'From the merge to the delivery. Null if unknown, negative or only assumed.';

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
    s.first_source,
    s.source_options
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

-- With what of the source is a deployment, and the list of the source that has it.
create or replace view sources_of_services as
select
    s.service_id,
    s.source,
    s.options,
    coalesce(
        case s.source
            when 'github-actions' then concat_ws('@', s.options ->> 'workflow', s.options ->> 'branch')
            when 'github-releases' then case when (s.options ->> 'tags')::boolean then 'tags' else 'releases' end
            when 'merges' then s.options ->> 'branch'
        end,
        ''
    ) as list
from (
    select
        f.id as service_id,
        coalesce(f.source, c.source, f.first_source) as source,
        case when f.source is not null then f.source_options when c.source is not null then c.options else '{}' end as options
    from services_in_force as f
    left join (
        select c.delivery ->> 'source' as source, coalesce(c.delivery -> 'source_options', '{}') as options
        from configuration_in_force as c
    ) as c on true
) as s;

-- The lists of deployments that are read for each repository. Until a source reports the first deployment of a service, that is
-- GitHub's.
create view lists_of_repositories as
select distinct on (o.repository_id, coalesce(s.source, 'github-deployments'), s.list)
    o.repository_id,
    coalesce(s.source, 'github-deployments') as source,
    s.list,
    s.options
from repositories_of_services as o
inner join sources_of_services as s on o.service_id = s.service_id
order by o.repository_id, coalesce(s.source, 'github-deployments'), s.list;

comment on view lists_of_repositories is 'The lists of deployments that are read for each repository.';

create or replace view deployments_read as
select
    r.id as repository_id,
    r.display_name,
    e.repository_id is not null as is_posted,
    case when e.repository_id is null then l.covered_since when e.is_known then e.first_at end as covered_since,
    case when e.repository_id is null then l.read_at end as read_at,
    case when e.repository_id is null then l.problem end as problem
from repositories as r
left join (
    select
        w.repository_id,
        case when bool_and(p.covered_since is not null) then max(p.covered_since) end as covered_since,
        case when bool_and(p.read_at is not null) then min(p.read_at) end as read_at,
        min(p.problem) as problem
    from lists_of_repositories as w
    left join (
        select p.repository_id, 'github-deployments' as source, '' as list, p.covered_since, p.read_at, p.problem
        from deployment_progress as p
        union all
        select p.repository_id, p.source, p.list, p.covered_since, p.read_at, p.problem from deployment_lists as p
    ) as p on w.repository_id = p.repository_id and w.source = p.source and w.list = p.list
    where w.source <> 'events'
    group by w.repository_id
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

call separate_tenants('deployment_lists');
