-- One row: the configuration in force, what the numbers are known by, how far the collection has come, and the team ($1 by
-- number, $2 by slug). A repository that fails keeps the time of its last complete collection.
select
    c.revision as "revision?",
    c.timezone as "timezone?",
    c.min_group_size as "min_group_size?",
    t.id as "team_id?",
    t.slug as "team_slug?",
    t.name as "team_name?",
    (select coalesce(sum(r.data_version), 0)::bigint from repositories as r) as "data_version!",
    k.collected as "collected!",
    k.failing_names,
    k.pending_names,
    v.data_as_of,
    v.covered_since
from (
    select
        count(*) filter (where collected_at is not null and reopened_since is null and backfill_page is null and failures = 0)
            as collected,
        array_agg(coalesce(current_name, name) order by name) filter (where failures > 0) as failing_names,
        array_agg(coalesce(current_name, name) order by name)
            filter (where (collected_at is null or reopened_since is not null or backfill_page is not null) and failures = 0)
            as pending_names
    from repositories
    where removed_at is null
) as k
cross join collection_coverage as v
left join configuration_in_force as c on true
left join teams as t on t.id = $1 or t.slug = $2
