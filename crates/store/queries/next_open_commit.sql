-- The next commit of a repository ($1) to read now ($2), and how far down.
with deployed as (
    select v.oid, min(coalesce(d.succeeded_at, d.failed_at)) as first_at, max(coalesce(d.succeeded_at, d.failed_at)) as last_at
    from deployment_revisions as v
    inner join deployments as d on v.deployment_id = d.id
    where
        v.repository_id = $1
        and d.environment_group = 'production'
        and d.deleted_at is null
        and (d.succeeded_at is not null or d.failed_at is not null)
    group by v.oid
),

floor as (
    select min(c.committed_at) as at
    from deployed as d
    inner join commits as c on c.repository_id = $1 and d.oid = c.oid
),

unread as (
    select d.oid, d.first_at, d.last_at
    from deployed as d
    where
        not exists (select from commits as c where c.repository_id = $1 and c.oid = d.oid)
        and not exists (
            select from open_commits as o
            where o.repository_id = $1 and o.oid = d.oid and (o.retry_at is null or o.retry_at > $2)
        )
),

candidates as (
    -- The commit of the oldest deployment tells the floor. If that one cannot be read, the next one does.
    (
        select u.oid, 0 as rank, - extract(epoch from u.first_at) as priority
        from unread as u
        where
            u.first_at < coalesce(
                (
                    select min(d.first_at)
                    from deployed as d
                    inner join commits as c on c.repository_id = $1 and d.oid = c.oid
                ),
                'infinity'
            )
        order by u.first_at
        limit 1
    )
    union all
    (select o.oid, 1, extract(epoch from o.committed_at)
    from open_commits as o
    where o.repository_id = $1 and o.committed_at >= (select f.at from floor as f) and o.retry_at <= $2
    order by o.committed_at desc
    limit 1)
    union all
    (select u.oid, 2, extract(epoch from u.last_at) from unread as u order by u.last_at desc limit 1)
)

select c.oid as "oid!", (select f.at from floor as f) as floor
from candidates as c
order by c.rank, c.priority desc
limit 1
