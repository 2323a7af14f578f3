-- Deletes the oldest runs that began before $1, $2 at most, with their results. What somebody else deletes or changes right now
-- is left to them.
with gone as (
    select n.id
    from collection_runs as n
    where
        n.started_at < $1
        and n.state <> 'running'
        and n.id < (select max(l.id) from collection_runs as l)
        and not exists (
            select from collection_results as c
            inner join repositories as r on c.repository_id = r.id and r.removed_at is null
            where
                c.run_id = n.id
                and not exists (
                    select from collection_results as l where l.repository_id = c.repository_id and l.run_id > c.run_id
                )
        )
    order by n.started_at
    limit $2
    for update of n skip locked
),

results as (
    delete from collection_results where run_id in (select g.id from gone as g)
)

delete from collection_runs where id in (select g.id from gone as g)
