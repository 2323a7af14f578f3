-- One row: how many configured repositories are complete, failing, or not complete for everybody yet, with the names
-- of the latter two, and the time that all complete ones cover. A repository that fails keeps the time of its last complete collection.
select
    count(*) filter (where collected_at is not null and reopened_since is null and backfill_page is null and failures = 0)
        as "collected!",
    array_agg(coalesce(current_name, name) order by name) filter (where failures > 0) as failing_names,
    array_agg(coalesce(current_name, name) order by name)
        filter (where (collected_at is null or reopened_since is not null or backfill_page is not null) and failures = 0)
        as pending_names,
    min(collected_at) as data_as_of,
    max(covered_since) as covered_since
from repositories
where removed_at is null
