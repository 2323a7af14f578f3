-- One row: how many configured repositories are complete, failing, or not complete for everybody yet, with the names
-- of the latter two, and the time that all complete ones cover. A repository that fails keeps the time of its last complete collection.
with latest as (
    select
        r.collected_at,
        r.is_reopened,
        r.covered_since,
        r.name,
        (
            select c.state
            from collection_results as c
            where c.repository_id = r.id
            order by c.run_id desc
            limit 1
        ) as last_state
    from repositories as r
    where r.removed_at is null
)

select
    count(*) filter (where collected_at is not null and not is_reopened and last_state is distinct from 'failed')
        as "collected!",
    array_agg(name order by name) filter (where last_state = 'failed') as failing_names,
    array_agg(name order by name) filter (where (collected_at is null or is_reopened) and last_state is distinct from 'failed')
        as pending_names,
    min(collected_at) as data_as_of,
    max(covered_since) as covered_since
from latest
