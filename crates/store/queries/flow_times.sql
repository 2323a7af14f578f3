-- How long the pull requests of a team ($1) took that were merged since $2, and those that are open: in repositories $3, into the
-- branch $4.
select
    p.id as "id!",
    -- A draft does not wait. Without a known time, what is ready has been so since the opening (pr_phases@1).
    case when p.merged_at is not null or not p.is_draft then coalesce(p.ready_at, p.created_at) end as ready_at,
    p.merged_at,
    p.coding_seconds,
    p.pickup_seconds,
    p.review_seconds,
    deploy_seconds(p) as deploy_seconds,
    p.additions::bigint + p.deletions as lines,
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
) as a
inner join pull_requests as p on a.pull_request_id = p.id
where
    ($3::bigint [] is null or p.repository_id = any($3))
    and ($4::text is null or p.base_ref = $4)
order by p.id
