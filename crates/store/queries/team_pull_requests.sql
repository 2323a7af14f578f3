-- The pull requests in [$2, $3) of everybody who is or was in a team ($1), by the instant that decides about membership:
-- those that count, with the membership that says so, and those that do not, with the reason. Repositories $4, base branch
-- $5; after ($6, $7) in the order $11; $8 at most; with $9 only what was decided while its author was a member; in the state $10,
-- of which `delivered` is no state of theirs: those of the team that first reached production in [$12, $3).
select
    p.id as "id!",
    k.at as "sort_at!",
    i.base_url || '/' || r.display_name || '/pull/' || p.number as "url!",
    r.display_name as "repository!",
    p.number as "number!",
    p.title as "title!",
    h.login as "author!",
    p.state as "state!",
    p.is_draft as "is_draft!",
    p.base_ref,
    p.created_at as "created_at!",
    p.merged_at,
    p.closed_at,
    p.first_review_at,
    p.attributed_at as "attributed_at!",
    case p.state when 'merged' then 'merged_at' when 'closed' then 'closed_at' else 'created_at' end as "attributed_by!",
    m.id as "membership_id?",
    (m.weight * 10000)::integer as "weight_units?",
    m.joined_at as "joined_at?",
    m.left_at as "left_at?",
    p.cycle_seconds,
    p.coding_seconds,
    p.pickup_seconds,
    p.review_seconds,
    (
        select d.deployment_id from pr_deliveries as d
        where d.pull_request_id = p.id and d.delivered_at = p.delivered_at
        order by d.deployment_id
        limit 1
    ) as delivered_by,
    (
        select d.via from pr_deliveries as d
        where d.pull_request_id = p.id and d.delivered_at = p.delivered_at
        order by d.deployment_id
        limit 1
    ) as via,
    p.delivered_at,
    lead_seconds(p) as lead_seconds,
    deploy_seconds(p) as deploy_seconds,
    case when p.merged_at is not null and p.delivered_at is null and p.deleted_at is null
        then (select n.reason from reason_not_delivered(p.id) as n) end as missing,
    p.additions,
    p.deletions,
    p.changed_files,
    pull_request_flags(p) as "flags!",
    case
        when p.deleted_at is not null then 'deleted'
        when a.membership_id is null then 'not_a_member'
        when p.merged_at is null then 'not_merged'
    end as excluded
from (select distinct person_id from team_memberships where team_id = $1 and removed_in is null) as s
inner join pull_requests as p
    on s.person_id = p.author_id
    and p.attributed_at >= $2
    and p.attributed_at < $3
inner join repositories as r on p.repository_id = r.id
inner join instances as i on p.instance_id = i.id
cross join lateral (
    -- Where the list continues is an instant: others than the first are made into one, so that the largest comes first.
    select
        case $11::text
            when 'oldest' then p.attributed_at
            when 'newest' then to_timestamp(-extract(epoch from p.attributed_at)::double precision)
            when 'longest' then to_timestamp(-coalesce(p.cycle_seconds, -1))
            when 'largest' then to_timestamp(-coalesce(p.additions::double precision + p.deletions, -1))
        end as at
) as k
inner join accounts as h on p.author_id = h.person_id and p.instance_id = h.instance_id
left join pr_attributions as a on p.id = a.pull_request_id and a.team_id = $1
left join team_memberships as m on a.membership_id = m.id
where
    ($4::bigint [] is null or p.repository_id = any($4))
    and ($5::text is null or p.base_ref = $5)
    -- What is gone is not open any more.
    and (
        $10::text is null
        or p.state = $10 and (p.state <> 'open' or p.deleted_at is null)
        or $10 = 'delivered' and a.delivered_at >= $12 and a.delivered_at < $3
    )
    and ($6::timestamptz is null or (k.at, p.id) > ($6, $7::bigint))
    and (
        not $9::boolean
        or exists (
            select from team_memberships as w
            where
                w.team_id = $1
                and w.person_id = p.author_id
                and w.removed_in is null
                and tstzrange(w.joined_at, w.left_at, '[)') @> p.attributed_at
        )
    )
order by k.at, p.id
limit $8
