-- Counters of repositories (pull_requests, without_details, quarantined, missing_from). Triggers maintain them on every write, by
-- programs or by people with SQL, so that queries do not count rows.

create function add_to_counters(repository bigint, stored bigint, lacking bigint) returns void language plpgsql as $$
begin
    -- By its key, whatever was planned for the rows that a statement wrote.
    update repositories
    set pull_requests = pull_requests + stored, without_details = without_details + lacking
    where id = repository and (stored <> 0 or lacking <> 0);
end
$$;

comment on function add_to_counters is 'Adds to the counters of a repository.';

create function count_pull_requests() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        perform add_to_counters(n.repository_id, count(*), count(*) filter (where n.detailed_at is distinct from n.updated_at))
        from new_rows as n
        where n.deleted_at is null
        group by n.repository_id
        order by n.repository_id;
    elsif tg_op = 'DELETE' then
        perform add_to_counters(o.repository_id, - count(*), - count(*) filter (where o.detailed_at is distinct from o.updated_at))
        from old_rows as o
        where o.deleted_at is null
        group by o.repository_id
        order by o.repository_id;
    else
        perform add_to_counters(c.repository_id, sum(c.sign), coalesce(sum(c.sign) filter (where c.is_lacking), 0)::bigint)
        from (
            select repository_id, 1 as sign, detailed_at is distinct from updated_at as is_lacking
            from new_rows
            where deleted_at is null
            union all
            select repository_id, -1, detailed_at is distinct from updated_at
            from old_rows
            where deleted_at is null
        ) as c
        group by c.repository_id
        order by c.repository_id;
    end if;
    return null;
end
$$;

comment on function count_pull_requests is 'Maintains pull_requests and without_details of repositories.';

create function recount_quarantine(of_repositories bigint []) returns void language plpgsql as $$
begin
    -- First locked, then counted: who counted at the same time as another one would not see what that one wrote.
    perform from repositories where id = any(of_repositories) order by id for no key update;
    update repositories as r
    set (quarantined, missing_from, has_undated_missing) = (
        select
            count(*),
            min(q.created_from) filter (where q.accepted_at is null),
            coalesce(bool_or(q.created_from is null) filter (where q.accepted_at is null), false)
        from quarantined_pull_requests as q
        where q.repository_id = r.id
    )
    where r.id = any(of_repositories);
end
$$;

comment on function recount_quarantine is 'Recomputes the quarantine counters of some repositories.';

create function count_quarantine() returns trigger language plpgsql as $$
declare
    touched bigint [];
begin
    if tg_op = 'INSERT' then
        touched := array(select distinct repository_id from new_rows);
    elsif tg_op = 'DELETE' then
        touched := array(select distinct repository_id from old_rows);
    else
        touched := array(select repository_id from new_rows union select repository_id from old_rows);
    end if;
    if touched <> '{}' then
        perform recount_quarantine(touched);
    end if;
    return null;
end
$$;

comment on function count_quarantine is 'Maintains the quarantine counters of repositories.';

create function recount_repositories() returns void language plpgsql as $$
begin
    -- In the order in which pages are written.
    lock table repositories, pull_requests, quarantined_pull_requests in share row exclusive mode;
    update repositories as r
    set pull_requests = c.stored, without_details = c.lacking
    from (
        select i.id, count(p.id) as stored, count(p.id) filter (where p.detailed_at is distinct from p.updated_at) as lacking
        from repositories as i
        left join pull_requests as p on i.id = p.repository_id and p.deleted_at is null
        group by i.id
    ) as c
    where r.id = c.id and (r.pull_requests, r.without_details) is distinct from (c.stored, c.lacking);
    perform recount_quarantine(array(select id from repositories));
end
$$;

comment on function recount_repositories is 'Recomputes all counters of repositories, for use after triggers were disabled.';

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
