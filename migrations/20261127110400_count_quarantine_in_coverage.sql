-- What is in quarantine has no known time of merge: nothing is complete from when it may have been opened, until it is accepted.
create or replace view collection_coverage as
select
    case when bool_and(r.is_read) then max(r.covered_since) end as covered_since,
    min(r.collected_at) as data_as_of,
    case when bool_and(r.is_read) then min(least(r.collected_at, r.reopened_since, r.backfill_since, q.missing_from)) end
        as complete_until,
    count(*) filter (where r.is_read and not r.is_pending and r.failures = 0) as collected,
    count(*) filter (where r.failures > 0) as failing,
    count(*) filter (where r.is_pending or not r.is_read) as pending,
    count(*) filter (where not r.is_read) as never_collected,
    coalesce(sum(q.quarantined), 0)::bigint as quarantined
from (
    select
        id,
        covered_since,
        collected_at,
        reopened_since,
        backfill_since,
        failures,
        covered_since is not null and collected_at is not null as is_read,
        reopened_since is not null or backfill_page is not null as is_pending
    from repositories
    where removed_at is null
) as r
left join lateral (
    select
        count(*) as quarantined,
        min(coalesce(p.created_from, r.covered_since)) filter (where p.accepted_at is null) as missing_from
    from quarantined_pull_requests as p
    where p.repository_id = r.id
) as q on true;

comment on view collection_coverage is
'Everything of everybody from covered_since to complete_until is stored; both null while a repository was never read. One row.';
