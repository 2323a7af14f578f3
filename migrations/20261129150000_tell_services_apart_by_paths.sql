-- Services that share a repository: a pull request belongs to those whose paths it changes.

alter table services
-- The files of its repositories that belong to it. Null for all.
add column paths text [],
-- Raised with each change of them.
add column paths_revision integer not null default 0;

-- Which files of merged pull requests were read. Only where a service of the repository has paths.
create table pull_request_files (
    tenant_id integer not null default current_tenant(),
    pull_request_id bigint not null,
    -- Of all paths of the repository that the files were compared with. Null if they were never read.
    paths_digest text,
    -- Whether there are more files than the source lists: then it belongs to all services of its repository.
    is_incomplete boolean not null default false,
    failures smallint not null default 0,
    retry_at timestamptz,
    primary key (tenant_id, pull_request_id),
    foreign key (tenant_id, pull_request_id) references pull_requests (tenant_id, id) on delete cascade
);

comment on table pull_request_files is 'Which files of merged pull requests were read.';

-- What a comparison said stays until the next one.
create table pull_request_services (
    tenant_id integer not null default current_tenant(),
    service_id bigint not null,
    pull_request_id bigint not null,
    -- Whether it changes a file of the service.
    is_touched boolean not null,
    -- Of the paths that it was compared with. Null if it has belonged to the service since before that had paths.
    paths_revision integer,
    primary key (tenant_id, service_id, pull_request_id),
    foreign key (tenant_id, service_id) references services (tenant_id, id),
    foreign key (tenant_id, pull_request_id) references pull_requests (tenant_id, id) on delete cascade
);

create index pull_request_services_pull_request_idx on pull_request_services (tenant_id, pull_request_id);

comment on table pull_request_services is 'Which services with paths each merged pull request belongs to.';

call separate_tenants('pull_request_files');
call separate_tenants('pull_request_services');

alter table repositories
-- Merged pull requests that were not compared with the paths in force when the files were last read, or the paths changed.
add column without_files integer not null default 0;

create view services_with_paths as
select distinct r.id as repository_id, s.id as service_id, s.paths, s.paths_revision, r.removed_at is null as is_collected
from services as s
inner join service_repositories as o on s.id = o.service_id
inner join repositories as r on o.repository in (r.name, r.current_name)
where s.paths is not null and s.archived_at is null;

comment on view services_with_paths is 'The services that share each repository by paths.';

create function paths_digest(repository bigint)
returns text
language sql stable parallel safe
as $$
    select string_agg(w.service_id || '@' || w.paths_revision, ' ' order by w.service_id)
    from services_with_paths as w
    where w.repository_id = paths_digest.repository and w.is_collected
$$;

comment on function paths_digest is 'Changes with the paths of the services of a repository. Null if none has any.';

create or replace function pull_request_flags(p pull_requests)
returns text []
language sql stable parallel safe
as $$
    select array_remove(
        array[
            case when p.merged_at < p.created_at then 'merged_before_creation' end,
            case when p.detailed_at is distinct from p.updated_at then 'details_pending' end,
            case when p.has_unread_commits then 'commits_incomplete' end,
            case when p.first_commit_at > p.created_at then 'first_commit_after_creation' end,
            case when p.first_review_at < coalesce(p.ready_at, p.created_at) then 'review_before_ready' end,
            case when p.first_review_at > p.merged_at then 'reviewed_after_merge' end,
            case when p.is_draft_history_incomplete then 'draft_times_missing' end,
            case when p.delivered_at < p.merged_at then 'deployed_before_merge' end,
            case when exists (
                select from pull_request_files as f
                inner join pull_request_services as t on f.pull_request_id = t.pull_request_id
                inner join services as s on t.service_id = s.id
                where f.pull_request_id = p.id and f.is_incomplete and t.is_touched and s.paths is not null
            ) then 'files_incomplete' end
        ],
        null
    )
$$;

-- The reason of pull requests that no service delivered and that none says something about, where all services of the repository
-- have paths: it was not compared with those of some, or belongs to none.
create function reason_of_paths(of_pull_request bigint, of_repository bigint)
returns table (reason text)
language sql stable parallel safe
as $$
    select case
        when bool_or(t.is_touched) then null
        -- A repository that is no longer collected is not compared again.
        when bool_or(t.service_id is null or w.is_collected and t.paths_revision is distinct from w.paths_revision)
            then 'not_collected'
        else 'no_service'
    end
    from services_with_paths as w
    left join pull_request_services as t on w.service_id = t.service_id and t.pull_request_id = of_pull_request
    where
        w.repository_id = of_repository
        and not exists (
            select from repositories as r
            inner join service_repositories as o on o.repository in (r.name, r.current_name)
            inner join services as s on o.service_id = s.id
            where r.id = of_repository and s.paths is null and s.archived_at is null
        )
    having count(*) > 0
$$;

comment on function reason_of_paths is 'Why a pull request belongs to no service of its repository, if it does not.';

-- Why a merged pull request was not delivered so far by any service: the first of its reasons in this order: it waits, its
-- deployments are covered only since later, the history cannot be read, it came before or with the first deployment, its files are
-- not read, they belong to no service, no source reports deployments of its service.
drop function reason_not_delivered;

create function reason_not_delivered(of_pull_request bigint)
returns table (reason text)
language sql stable parallel safe
as $$
    select coalesce(
        (
            select d.missing from pr_deliveries as d
            where d.pull_request_id = of_pull_request
            order by
                array_position(
                    array['not_deployed_yet', 'not_collected', 'unknown_history', 'before_first_deployment'], d.missing
                ) nulls first
            limit 1
        ),
        (
            select r.reason
            from pull_requests as p
            cross join reason_of_paths(p.id, p.repository_id) as r
            where p.id = of_pull_request
        ),
        'no_source'
    )
$$;

comment on function reason_not_delivered is 'Why a merged pull request was not delivered so far.';

-- The same of all that were merged in [range_from, range_to), or why a service did not deliver what belongs, or may belong, to it.
create or replace function undelivered(team bigint, service bigint, range_from timestamptz, range_to timestamptz)
returns table (reason text, n bigint, weight numeric)
language sql stable parallel safe
as $$
    with merged as (
        select p.id, p.repository_id, 1::numeric as weight
        from pull_requests as p
        where
            team is null and p.deleted_at is null and p.merged_at >= range_from and p.merged_at < range_to
            and (service is not null or p.delivered_at is null)
        union all
        select a.pull_request_id, a.repository_id, a.weight
        from pr_attributions as a
        where
            a.team_id = team and a.merged_at >= range_from and a.merged_at < range_to
            and (service is not null or a.delivered_at is null)
    ),

    of_paths as materialized (select distinct w.repository_id from services_with_paths as w where service is null),

    explained as (
        select
            m.weight,
            coalesce(
                (
                    select d.missing from pr_deliveries as d
                    where d.pull_request_id = m.id
                    order by
                        array_position(
                            array['not_deployed_yet', 'not_collected', 'unknown_history', 'before_first_deployment'], d.missing
                        ) nulls first
                    limit 1
                ),
                case when m.repository_id in (select o.repository_id from of_paths as o)
                    then (select r.reason from reason_of_paths(m.id, m.repository_id) as r) end,
                'no_source'
            ) as reason
        from merged as m
        where service is null
        union all
        select
            m.weight,
            case
                when d.missing is not null then d.missing
                when s.paths is not null and r.removed_at is null and t.paths_revision is distinct from s.paths_revision
                    then 'not_collected'
                else 'no_source'
            end
        from merged as m
        inner join services as s on s.id = service
        inner join repositories as r on m.repository_id = r.id
        left join pr_deliveries as d on d.service_id = service and m.id = d.pull_request_id
        left join pull_request_services as t on t.service_id = service and m.id = t.pull_request_id
        where
            service is not null and d.delivered_at is null
            and m.repository_id in (select o.repository_id from repositories_of_services as o where o.service_id = service)
            -- What was not compared may belong to it.
            and (
                s.paths is null or t.is_touched
                or r.removed_at is null and t.paths_revision is distinct from s.paths_revision
            )
    )

    select e.reason, count(*), sum(e.weight)
    from explained as e
    group by e.reason
$$;
