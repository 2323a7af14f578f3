-- What says of which kind the pull requests of a team ($1) are that were merged in [$2, $3), in repositories $4, into the branch $5.
select
    p.title as "title!",
    coalesce(p.labels, '{}') as "labels!",
    p.head_ref,
    -- What restores a change that was reverted is no revert.
    p.reverts is not null and not exists (
        select from pull_requests as r
        where r.repository_id = p.repository_id and r.number = p.reverts and r.reverts is not null
    ) as "is_revert!",
    (a.weight * 10000)::integer as "weight_units!"
from pr_attributions as a
inner join pull_requests as p on a.pull_request_id = p.id
where
    a.team_id = $1 and a.merged_at >= $2 and a.merged_at < $3
    and ($4::bigint [] is null or a.repository_id = any($4))
    and ($5::text is null or p.base_ref = $5)
order by p.id
