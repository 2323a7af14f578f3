-- Makes the attributions of these pull requests the wanted ones, and touches no others.
-- $1 pull requests; $2 to $5 the wanted attributions: pull request, team, membership, weight in ten-thousandths.
-- Answers how many pull requests count differently afterwards: for another team, or with another weight.
with wanted as (
    select w.pull_request_id, w.team_id, w.membership_id, w.units / 10000.0 as weight
    from unnest($2::bigint [], $3::bigint [], $4::bigint [], $5::integer []) as w (pull_request_id, team_id, membership_id, units)
),

-- All parts of the statement see the rows as they were before it.
stored as (
    select pull_request_id, team_id, weight
    from pr_attributions
    where pull_request_id = any($1::bigint [])
),

removed as (
    delete from pr_attributions as a
    using stored as s
    where
        a.pull_request_id = s.pull_request_id
        and a.team_id = s.team_id
        and not exists (
            select 1 from wanted as w
            where w.pull_request_id = a.pull_request_id and w.team_id = a.team_id
        )
),

written as (
    insert into pr_attributions as a (
        tenant_id, pull_request_id, team_id, membership_id, weight, repository_id, author_id, created_at, closed_at,
        merged_at, coding_seconds, pickup_seconds, review_seconds, delivered_at, lead_seconds, deploy_seconds
    )
    select
        p.tenant_id, w.pull_request_id, w.team_id, w.membership_id, w.weight, p.repository_id, p.author_id, p.created_at,
        p.closed_at, p.merged_at, p.coding_seconds, p.pickup_seconds, p.review_seconds, p.delivered_at, lead_seconds(p),
        deploy_seconds(p)
    from wanted as w
    inner join pull_requests as p on w.pull_request_id = p.id
    on conflict (tenant_id, pull_request_id, team_id) do update
    set
        membership_id = excluded.membership_id,
        weight = excluded.weight,
        repository_id = excluded.repository_id,
        author_id = excluded.author_id,
        created_at = excluded.created_at,
        closed_at = excluded.closed_at,
        merged_at = excluded.merged_at,
        coding_seconds = excluded.coding_seconds,
        pickup_seconds = excluded.pickup_seconds,
        review_seconds = excluded.review_seconds,
        delivered_at = excluded.delivered_at,
        lead_seconds = excluded.lead_seconds,
        deploy_seconds = excluded.deploy_seconds
    where a is distinct from excluded
)

select count(distinct changed.pull_request_id) as "count!"
from (
    (select pull_request_id, team_id, weight from wanted except select pull_request_id, team_id, weight from stored)
    union all
    (select pull_request_id, team_id, weight from stored except select pull_request_id, team_id, weight from wanted)
) as changed
