-- What goals are about, of the pull requests of a team ($1) that were open at any time since $2.
select
    p.id as "id!",
    p.created_at as "created_at!",
    -- A draft does not wait. Without a known time, what is ready has been so since the opening (pr_phases@1).
    case when not p.is_draft then coalesce(p.ready_at, p.created_at) end as ready_at,
    p.first_review_at,
    p.closed_at,
    p.merged_at,
    p.detailed_at is not distinct from p.updated_at as "has_details!",
    (a.weight * 10000)::integer as "weight_units!",
    p.author_id as "author_id!"
from (
    -- Each has an index of its own.
    select o.pull_request_id, o.weight
    from pr_attributions as o
    where o.team_id = $1 and o.closed_at is null
    union all
    select m.pull_request_id, m.weight
    from pr_attributions as m
    where m.team_id = $1 and m.merged_at >= $2
    union all
    select c.pull_request_id, c.weight
    from pr_attributions as c
    where c.team_id = $1 and c.merged_at is null and c.closed_at >= $2
) as a
inner join pull_requests as p on a.pull_request_id = p.id
order by p.id
