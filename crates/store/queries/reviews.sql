-- The reviews that a team ($1) got or gave from $2 to $3, by the memberships at their time: in repositories $4, into the branch $5.
with members as (
    select m.person_id, greatest(m.joined_at, $2) as from_at, least(m.left_at, $3) as to_at
    from team_memberships as m
    where m.team_id = $1 and m.removed_in is null
)

select
    p.author_id as "author_id!",
    v.reviewer_id,
    v.submitted_at as "submitted_at!",
    -- Without a known time, what is reviewed has been ready since the opening, as in pr_phases@1.
    case
        when v.submitted_at >= coalesce(p.ready_at, p.created_at)
            then extract(epoch from v.submitted_at - coalesce(p.ready_at, p.created_at))::double precision
    end as wait
from (
    select o.pull_request_id, o.place, o.author_id, o.reviewer_id, o.submitted_at
    from members as m
    inner join pull_request_reviews as o
        on m.person_id = o.author_id and o.submitted_at >= m.from_at and o.submitted_at < m.to_at
    -- A member may review for another.
    union
    select g.pull_request_id, g.place, g.author_id, g.reviewer_id, g.submitted_at
    from members as m
    inner join pull_request_reviews as g
        on m.person_id = g.reviewer_id and g.submitted_at >= m.from_at and g.submitted_at < m.to_at
) as v
-- Reviews of a former author are read again.
inner join pull_requests as p on v.pull_request_id = p.id and v.author_id = p.author_id
where
    p.deleted_at is null
    and ($4::bigint [] is null or p.repository_id = any($4))
    and ($5::text is null or p.base_ref = $5)
order by v.submitted_at, v.pull_request_id, v.place
