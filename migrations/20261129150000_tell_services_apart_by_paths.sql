-- Services that share a repository: a pull request belongs to those whose paths it changes.

alter table services
-- The files of its repositories that belong to it. Null for all.
add column paths text [];

-- For which paths the files of merged pull requests were read. Only where a service of the repository has paths.
create table pull_request_files (
    tenant_id integer not null default current_tenant(),
    pull_request_id bigint not null,
    -- Of the paths that the files were compared with. Null if they were never read.
    paths_digest text,
    -- Whether there are more files than the source lists: then it belongs to all services of its repository.
    is_incomplete boolean not null default false,
    failures smallint not null default 0,
    retry_at timestamptz,
    primary key (tenant_id, pull_request_id),
    foreign key (tenant_id, pull_request_id) references pull_requests (tenant_id, id) on delete cascade
);

comment on table pull_request_files is 'For which paths the files of merged pull requests were read.';

create table pull_request_services (
    tenant_id integer not null default current_tenant(),
    service_id bigint not null,
    pull_request_id bigint not null,
    primary key (tenant_id, service_id, pull_request_id),
    foreign key (tenant_id, service_id) references services (tenant_id, id),
    foreign key (tenant_id, pull_request_id) references pull_requests (tenant_id, id) on delete cascade
);

create index pull_request_services_pull_request_idx on pull_request_services (tenant_id, pull_request_id);

comment on table pull_request_services is 'The services whose paths a merged pull request changes.';

call separate_tenants('pull_request_files');
call separate_tenants('pull_request_services');

create function paths_digest(repository bigint)
returns text
language sql stable parallel safe
as $$
    select md5(jsonb_agg(distinct jsonb_build_array(s.id, s.paths))::text)
    from repositories as r
    inner join service_repositories as o on o.repository in (r.name, r.current_name)
    inner join services as s on o.service_id = s.id
    where r.id = paths_digest.repository and s.paths is not null and s.archived_at is null
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
            case when (select f.is_incomplete from pull_request_files as f where f.pull_request_id = p.id) then 'files_incomplete' end
        ],
        null
    )
$$;

-- Why a merged pull request was not delivered so far by a service, or (null) by any: the first of its reasons in this order: it
-- waits, its deployments are covered only since later, the history cannot be read, it came before or with the first deployment, its
-- files are not read, they belong to no service, no source reports deployments of its service.
create or replace function reason_not_delivered(of_pull_request bigint, by_service bigint)
returns table (reason text)
language sql stable parallel safe
as $$
    select coalesce(
        (
            select d.missing from pr_deliveries as d
            where d.pull_request_id = of_pull_request and (by_service is null or d.service_id = by_service)
            order by
                array_position(
                    array['not_deployed_yet', 'not_collected', 'unknown_history', 'before_first_deployment'], d.missing
                ) nulls first
            limit 1
        ),
        (
            select case when f.paths_digest is distinct from g.digest then 'not_collected' else 'no_service' end
            from pull_requests as p
            cross join paths_digest(p.repository_id) as g (digest)
            left join pull_request_files as f on p.id = f.pull_request_id
            where
                p.id = of_pull_request and g.digest is not null
                and not exists (
                    select from repositories_of_services as o
                    inner join services as s on o.service_id = s.id
                    where
                        o.repository_id = p.repository_id and (by_service is null or o.service_id = by_service)
                        and (
                            s.paths is null
                            or exists (
                                select from pull_request_services as t
                                where t.service_id = s.id and t.pull_request_id = p.id
                            )
                        )
                )
        ),
        'no_source'
    )
$$;

create or replace function undelivered(team bigint, service bigint, range_from timestamptz, range_to timestamptz)
returns table (reason text, n bigint, weight numeric)
language sql stable parallel safe
as $$
    with merged as (
        select p.id, 1::numeric as weight
        from pull_requests as p
        where
            team is null and p.deleted_at is null and p.merged_at >= range_from and p.merged_at < range_to
            and (service is not null or p.delivered_at is null)
        union all
        select a.pull_request_id, a.weight
        from pr_attributions as a
        where
            a.team_id = team and a.merged_at >= range_from and a.merged_at < range_to
            and (service is not null or a.delivered_at is null)
    ),

    explained as (
        select m.weight, r.reason
        from merged as m
        cross join lateral reason_not_delivered(m.id, service) as r
        where
            service is null
            or exists (
                select from repositories_of_services as o
                inner join pull_requests as p on o.repository_id = p.repository_id
                inner join services as s on o.service_id = s.id
                where
                    o.service_id = service and p.id = m.id
                    and (
                        s.paths is null
                        -- What was not read may belong to it.
                        or r.reason = 'not_collected'
                        or exists (
                            select from pull_request_services as t
                            where t.service_id = s.id and t.pull_request_id = p.id
                        )
                    )
            ) and not exists (
                select from pr_deliveries as d
                where d.pull_request_id = m.id and d.service_id = service and d.delivered_at is not null
            )
    )

    select e.reason, count(*), sum(e.weight)
    from explained as e
    group by e.reason
$$;
