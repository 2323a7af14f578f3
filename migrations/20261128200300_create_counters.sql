-- Counters of repositories (pull_requests, without_details, quarantined, missing_from). Triggers maintain them on every write, by
-- programs or by people with SQL, so that queries do not count rows.

create function add_to_counters(of_tenant integer, repository bigint, stored bigint, lacking bigint)
returns void language plpgsql as $$
begin
    -- By its key, no matter what was planned for the rows that a statement wrote.
    update repositories
    set pull_requests = pull_requests + stored, without_details = without_details + lacking
    where tenant_id = of_tenant and id = repository and (stored <> 0 or lacking <> 0);
end
$$;

comment on function add_to_counters is 'Adds to the counters of a repository.';

create function count_pull_requests() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        perform add_to_counters(
            n.tenant_id, n.repository_id, count(*), count(*) filter (where n.detailed_at is distinct from n.updated_at)
        )
        from new_rows as n
        where n.deleted_at is null
        group by n.tenant_id, n.repository_id
        order by n.tenant_id, n.repository_id;
    elsif tg_op = 'DELETE' then
        perform add_to_counters(
            o.tenant_id, o.repository_id, - count(*), - count(*) filter (where o.detailed_at is distinct from o.updated_at)
        )
        from old_rows as o
        where o.deleted_at is null
        group by o.tenant_id, o.repository_id
        order by o.tenant_id, o.repository_id;
    else
        perform add_to_counters(
            c.tenant_id, c.repository_id, sum(c.sign), coalesce(sum(c.sign) filter (where c.is_lacking), 0)::bigint
        )
        from (
            select tenant_id, repository_id, 1 as sign, detailed_at is distinct from updated_at as is_lacking
            from new_rows
            where deleted_at is null
            union all
            select tenant_id, repository_id, -1, detailed_at is distinct from updated_at
            from old_rows
            where deleted_at is null
        ) as c
        group by c.tenant_id, c.repository_id
        order by c.tenant_id, c.repository_id;
    end if;
    return null;
end
$$;

comment on function count_pull_requests is 'Maintains pull_requests and without_details of repositories.';

create function recount_quarantine(of_tenant integer, of_repositories bigint []) returns void language plpgsql as $$
begin
    -- First locked, then counted: who counted at the same time as another one would not see what that one wrote.
    perform from repositories where tenant_id = of_tenant and id = any(of_repositories) order by id for no key update;
    update repositories as r
    set (quarantined, missing_from, has_undated_missing) = (
        select
            count(*),
            min(q.created_from) filter (where q.accepted_at is null),
            coalesce(bool_or(q.created_from is null) filter (where q.accepted_at is null), false)
        from quarantined_pull_requests as q
        where q.tenant_id = of_tenant and q.repository_id = r.id
    )
    where r.tenant_id = of_tenant and r.id = any(of_repositories);
end
$$;

comment on function recount_quarantine is 'Recomputes the quarantine counters of some repositories.';

create function count_quarantine() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        perform recount_quarantine(n.tenant_id, array_agg(distinct n.repository_id)) from new_rows as n group by n.tenant_id;
    elsif tg_op = 'DELETE' then
        perform recount_quarantine(o.tenant_id, array_agg(distinct o.repository_id)) from old_rows as o group by o.tenant_id;
    else
        perform recount_quarantine(c.tenant_id, array_agg(c.repository_id))
        from (select tenant_id, repository_id from new_rows union select tenant_id, repository_id from old_rows) as c
        group by c.tenant_id;
    end if;
    return null;
end
$$;

comment on function count_quarantine is 'Maintains the quarantine counters of repositories.';

create function recount_repositories() returns void language plpgsql as $$
declare
    before constant text := current_setting('app.tenant', true);
    of_tenant integer;
begin
    -- In the order in which pages are written.
    lock table repositories, pull_requests, quarantined_pull_requests in share row exclusive mode;
    -- One tenant after the other, because policies show the rows of one.
    for of_tenant in select t.id from tenants as t order by t.id loop
        perform set_config('app.tenant', of_tenant::text, true);
        update repositories as r
        set pull_requests = c.stored, without_details = c.lacking
        from (
            select i.id, count(p.id) as stored, count(p.id) filter (where p.detailed_at is distinct from p.updated_at) as lacking
            from repositories as i
            left join pull_requests as p on i.tenant_id = p.tenant_id and i.id = p.repository_id and p.deleted_at is null
            where i.tenant_id = of_tenant
            group by i.id
        ) as c
        where r.tenant_id = of_tenant and r.id = c.id and (r.pull_requests, r.without_details) is distinct from (c.stored, c.lacking);
        perform recount_quarantine(of_tenant, array(select id from repositories where tenant_id = of_tenant));
    end loop;
    perform set_config('app.tenant', coalesce(before, ''), true);
end
$$;

comment on function recount_repositories is
'Recomputes all counters of repositories, of all tenants, for use after triggers were disabled.';

create function count_after_truncate() returns trigger language plpgsql as $$
begin
    perform recount_repositories();
    return null;
end
$$;

comment on function count_after_truncate is 'Recomputes the counters after a truncate.';

create trigger count_inserted after insert on pull_requests
referencing new table as new_rows for each statement execute function count_pull_requests();
create trigger count_updated after update on pull_requests
referencing old table as old_rows new table as new_rows for each statement execute function count_pull_requests();
create trigger count_deleted after delete on pull_requests
referencing old table as old_rows for each statement execute function count_pull_requests();
create trigger count_truncated after truncate on pull_requests
for each statement execute function count_after_truncate();

create trigger count_inserted after insert on quarantined_pull_requests
referencing new table as new_rows for each statement execute function count_quarantine();
create trigger count_updated after update on quarantined_pull_requests
referencing old table as old_rows new table as new_rows for each statement execute function count_quarantine();
create trigger count_deleted after delete on quarantined_pull_requests
referencing old table as old_rows for each statement execute function count_quarantine();
create trigger count_truncated after truncate on quarantined_pull_requests
for each statement execute function count_after_truncate();
