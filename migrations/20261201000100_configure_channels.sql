alter table configurations
-- The channels of the teams file, without their addresses, which are secrets.
add column if not exists channels jsonb not null default '[]';

create or replace view configuration_in_force as
select
    revision, applied_at, timezone, bots, repository_patterns, includes_archived, min_group_size, repository_rules, delivery,
    access, goals, investment, channels
from configurations
order by revision desc
limit 1;
