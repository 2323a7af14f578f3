-- One row: the configuration in force, what the numbers are known by, how far the collection has come, and the team ($1 by
-- number, $2 by slug), of which stored pull requests may still count as before. How far: over the repositories of these names ($3), all configured ones without. Of a name that several
-- had, one after the other, the last one counts. The view collection_coverage says the same over all.
select
    c.revision as "revision?",
    c.timezone as "timezone?",
    c.min_group_size as "min_group_size?",
    t.id as "team_id?",
    t.slug as "team_slug?",
    t.name as "team_name?",
    (
        (select coalesce(sum(r.data_version), 0) from repositories as r)
        + (select coalesce(sum(s.data_version), 0) from services as s)
    )::bigint as "data_version!",
    k.collected as "collected!",
    k.failing_names,
    k.pending_names,
    k.never_collected_names,
    k.covered_since,
    k.complete_until,
    k.data_as_of,
    k.quarantined as "quarantined!",
    exists (select from reattributions as m where m.team_id = t.id or t.id is null) as "is_reattributing!",
    (
        select array_agg(p.pattern order by p.pattern)
        from incomplete_patterns as p
        where p.pattern = any(c.repository_patterns) and $3::text [] is null
    ) as incomplete_patterns
from (
    select
        count(*) filter (where s.is_read and not s.is_pending and s.failures = 0) as collected,
        array_agg(s.name order by s.name) filter (where s.failures > 0) as failing_names,
        array_agg(s.name order by s.name) filter (where s.is_pending or not s.is_read) as pending_names,
        array_agg(s.name order by s.name) filter (where not s.is_read) as never_collected_names,
        max(s.covered_since) as covered_since,
        case when bool_and(s.is_read) then min(least(s.collected_at, s.reopened_since, s.backfill_since, s.missing_since)) end
            as complete_until,
        min(s.collected_at) as data_as_of,
        coalesce(sum(s.quarantined), 0)::bigint as quarantined
    from (
        select
            r.display_name as name,
            r.failures,
            r.covered_since,
            r.collected_at,
            r.reopened_since,
            r.backfill_since,
            r.quarantined,
            least(r.missing_from, case when r.has_undated_missing then r.covered_since end) as missing_since,
            r.covered_since is not null and r.collected_at is not null as is_read,
            r.reopened_since is not null or r.backfill_order is not null as is_pending
        from repositories as r
        where
            ($3::text [] is null and r.removed_at is null)
            or r.id in (
                select a.id
                from (
                    select o.id, rank() over (partition by w.name order by o.removed_at desc nulls first) as place
                    from unnest($3) as w (name)
                    inner join repositories as o on w.name = o.name or w.name = o.current_name
                ) as a
                where a.place = 1
            )
    ) as s
) as k
left join configuration_in_force as c on true
left join teams as t on t.id = $1 or t.slug = $2
