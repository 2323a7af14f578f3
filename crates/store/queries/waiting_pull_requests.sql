-- The merged pull requests of a team ($1) that wait for production in a service ($2), because of $3, after the one that was merged at $4
-- and has the number $5, at most $6. Null stands for all.
select
    p.id, r.display_name as "repository!", p.number, p.title,
    i.base_url || '/' || r.display_name || '/pull/' || p.number as "url!",
    p.merged_at as "merged_at!",
    w.services as "services!"
from (
    select l.pull_request_id, array_agg(f.slug order by f.slug) as services
    from services_in_force as f
    inner join pr_deliveries as l on f.id = l.service_id
    where
        -- Both are what the index is of.
        l.missing in ('not_deployed_yet', 'not_collected')
        and l.missing = $3
        and ($2::bigint is null or f.id = $2)
        -- Nobody knows what waits in a service of which no deployment is known.
        and (
            $3 = 'not_collected'
            or exists (select from deployment_facts as x where x.service_id = f.id and x.kind is not null)
        )
        and (
            $1::bigint is null
            or exists (select from pr_attributions as a where a.pull_request_id = l.pull_request_id and a.team_id = $1)
        )
    group by l.pull_request_id
) as w
inner join pull_requests as p on w.pull_request_id = p.id
inner join repositories as r on p.repository_id = r.id
inner join instances as i on p.instance_id = i.id
where $4::timestamptz is null or (p.merged_at, p.id) > ($4, $5)
order by p.merged_at, p.id
limit $6
