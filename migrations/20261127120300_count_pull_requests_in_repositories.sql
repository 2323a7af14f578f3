-- How many pull requests of a repository are stored, lack details or are in quarantine, in its row: to say how the collection
-- stands, nothing is counted. Triggers keep them, so that whoever writes is counted: the release before, or a person with SQL.
alter table repositories
-- Stored, and not deleted at GitHub.
add column pull_requests bigint not null default 0,
-- Of these, the ones whose details are not known as of their last change.
add column without_details bigint not null default 0,
-- In quarantine; the earliest time from which on one may have been opened; whether there is one of which that is not known.
add column quarantined bigint not null default 0,
add column quarantined_from timestamptz,
add column has_undated_quarantined boolean not null default false,
-- The same of those in quarantine that nobody has accepted to be missing.
add column missing_from timestamptz,
add column has_undated_missing boolean not null default false;

create function add_to_counters(repository bigint, stored bigint, lacking bigint) returns void language plpgsql as $$
begin
    -- By its key, whatever was planned for the rows that a statement wrote.
    update repositories
    set pull_requests = pull_requests + stored, without_details = without_details + lacking
    where id = repository and (stored <> 0 or lacking <> 0);
end
$$;

comment on function add_to_counters is 'Adds to what is counted in the row of a repository.';

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

comment on function count_pull_requests is 'Keeps pull_requests and without_details of repositories.';

create function recount_quarantine(of_repositories bigint []) returns void language plpgsql as $$
begin
    -- First locked, then counted: who counted at the same time as another one would not see what that one wrote.
    perform from repositories where id = any(of_repositories) order by id for no key update;
    update repositories as r
    set (quarantined, quarantined_from, has_undated_quarantined, missing_from, has_undated_missing) = (
        select
            count(*),
            min(q.created_from),
            coalesce(bool_or(q.created_from is null), false),
            min(q.created_from) filter (where q.accepted_at is null),
            coalesce(bool_or(q.created_from is null) filter (where q.accepted_at is null), false)
        from quarantined_pull_requests as q
        where q.repository_id = r.id
    )
    where r.id = any(of_repositories);
end
$$;

comment on function recount_quarantine is 'Counts what is in quarantine of some repositories.';

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

comment on function count_quarantine is 'Keeps what repositories say of their quarantine.';

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

comment on function recount_repositories is 'Counts again what the rows of repositories say, for when triggers were switched off.';

create function count_after_truncate() returns trigger language plpgsql as $$
begin
    perform recount_repositories();
    return null;
end
$$;

comment on function count_after_truncate is 'Counts a table that was emptied at once.';

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

do $$ begin perform recount_repositories(); end $$;

create or replace view collection_coverage as
select
    case when bool_and(is_read) then max(covered_since) end as covered_since,
    min(collected_at) as data_as_of,
    case when bool_and(is_read) then min(least(collected_at, reopened_since, backfill_since, missing_since)) end
        as complete_until,
    count(*) filter (where is_read and not is_pending and failures = 0) as collected,
    count(*) filter (where failures > 0) as failing,
    count(*) filter (where is_pending or not is_read) as pending,
    count(*) filter (where not is_read) as never_collected,
    coalesce(sum(quarantined), 0)::bigint as quarantined
from (
    select
        covered_since,
        collected_at,
        reopened_since,
        backfill_since,
        failures,
        quarantined,
        least(missing_from, case when has_undated_missing then covered_since end) as missing_since,
        covered_since is not null and collected_at is not null as is_read,
        reopened_since is not null or backfill_page is not null as is_pending
    from repositories
    where removed_at is null
) as r;
