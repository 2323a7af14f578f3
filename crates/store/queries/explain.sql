-- The pull request of a number ($2) in the repository of a name ($1), also one that is no longer configured.
select
    p.id, p.title, h.login, p.state, p.created_at, p.merged_at, p.author_id,
    p.attributed_at as "attributed_at!",
    case p.state when 'merged' then 'merged_at' when 'closed' then 'closed_at' else 'created_at' end as "attributed_by!",
    p.deleted_at is not null as "is_deleted!"
from pull_requests as p
inner join repositories as r on p.repository_id = r.id
inner join accounts as h on p.author_id = h.person_id and p.instance_id = h.instance_id
where (r.name = $1 or r.current_name = $1) and p.number = $2
order by r.removed_at desc nulls first
limit 1
