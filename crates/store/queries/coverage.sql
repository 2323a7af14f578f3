-- One row: how many configured repositories are complete, failing, or were never complete, and the time that all
-- complete ones cover. A repository that fails keeps the time of its last complete collection.
with latest as (
    select
        r.collected_at,
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
    count(*) filter (where collected_at is not null and last_state is distinct from 'failed') as "collected!",
    count(*) filter (where last_state = 'failed') as "failing!",
    count(*) filter (where collected_at is null and last_state is distinct from 'failed') as "never_collected!",
    min(collected_at) as data_as_of
from latest
