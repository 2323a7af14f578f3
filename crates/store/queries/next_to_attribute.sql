-- The next pull requests ($2 at most) of marked people ($1) that are to be attributed again, by person and in the order of the
-- index by author.
select
    p.id,
    p.author_id,
    p.repository_id,
    p.instant as "instant!"
from (
    -- All marks of a person say the same.
    select m.person_id, max(m.done_at) as done_at, max(m.done_id) as done_id
    from reattributions as m
    where m.person_id = any($1::bigint [])
    group by m.person_id
    order by m.person_id
) as d
cross join lateral (
    select o.id, o.author_id, o.repository_id, o.attributed_at as instant
    from pull_requests as o
    where
        o.author_id = d.person_id
        and o.deleted_at is null
        and (o.attributed_at, o.id) > (d.done_at, d.done_id)
    order by o.attributed_at, o.id
    limit $2
) as p
order by d.person_id, p.instant, p.id
limit $2
