-- How far deployments and incidents are read at an instant ($2): those of a service ($1) and of repositories ($3), or of all.
-- Abandoned ones are those created in [$4, $5).
with services as (
    select f.id from services_in_force as f where $1::bigint is null or f.id = $1
),
counted as (
    select
        exists (
            select from deployments as d
            where d.service_id = s.id and d.environment_group = 'production' and d.deleted_at is null
        ) as has_source
    from services as s
),
repositories_read as (
    select
        d.repository_id as id, d.display_name, d.covered_since,
        -- To the hour, so that an answer does not change every second.
        case
            when d.is_posted and d.problem is null then greatest(date_trunc('hour', $2::timestamptz), d.covered_since)
            else d.read_at
        end as read_at, d.problem
    from deployments_read as d
    where
        ($3::bigint [] is null or d.repository_id = any($3))
        and (
            $1::bigint is null
            or d.repository_id in (select o.repository_id from repositories_of_services as o where o.service_id = $1)
        )
),
labels as (
    select l.label
    from configuration_in_force as c
    cross join lateral jsonb_array_elements_text(coalesce(c.delivery -> 'incident_labels', '[]')) as l (label)
),
labels_read as (
    select r.display_name, p.read_at, p.problem
    from repositories_read as r
    cross join labels as l
    left join incident_progress as p on r.id = p.repository_id and l.label = p.label
)
select
    (select count(*) from counted as c where c.has_source) as "with_source!",
    (select count(*) from counted as c where not c.has_source) as "without_source!",
    (
        select case when bool_and(r.covered_since is not null) then max(r.covered_since) end
        from repositories_read as r
    ) as covered_since,
    (
        select case when bool_and(r.read_at is not null) then min(r.read_at) end from repositories_read as r
    ) as complete_until,
    (
        -- Also of repositories that are no longer collected: their deployments count.
        select min(k.since)
        from (
            select r.covered_since as since from repositories_read as r
            union all
            select p.covered_since
            from (
                select p.repository_id, p.covered_since from deployment_progress as p
                union all
                select p.repository_id, p.covered_since from deployment_lists as p
            ) as p
            where
                p.repository_id not in (select d.repository_id from deployments_read as d)
                and (
                    $1::bigint is null
                    or p.repository_id in (
                        select o.repository_id from repositories_of_services as o where o.service_id = $1
                    )
                )
        ) as k
    ) as known_since,
    (select max(r.read_at) from repositories_read as r) as known_until,
    (
        select case when bool_and(l.read_at is not null) then min(l.read_at) end from labels_read as l
    ) as incidents_until,
    array(
        select distinct l.display_name || ' ' || l.problem from labels_read as l
        where l.problem is not null
        order by 1
    ) as "incident_problems!: Vec<String>",
    exists (select from labels) as "wants_incidents!",
    array(
        select r.display_name || ' ' || r.problem from repositories_read as r
        where r.problem is not null
        order by 1
    ) as "problems!: Vec<String>",
    (
        select count(*) from deployments as d
        inner join services as s on d.service_id = s.id
        where
            d.environment_group = 'production' and d.deleted_at is null and d.outcome = 'unfinished'
            and d.created_at >= $4 and d.created_at < least($5, $2::timestamptz - interval '24 hours')
    ) as "abandoned!",
    exists (
        select from services as s
        inner join sources_of_services as o on s.id = o.service_id
        where o.source = 'merges'
    ) as "has_assumed!",
    (
        select coalesce(sum(r.without_files), 0)
        from repositories as r
        inner join repositories_read as d on r.id = d.id
    ) as "without_files!",
    exists (select from incidents)
    or exists (select from incident_progress as p where p.read_at is not null) as "has_incidents!"
