alter table configurations
-- The metrics that the teams file defines. Those in force are of all of the past.
add column if not exists metrics jsonb not null default '[]';

create or replace view configuration_in_force as
select
    revision, applied_at, timezone, bots, repository_patterns, includes_archived, min_group_size, repository_rules, delivery,
    access, goals, investment, channels, metrics
from configurations
order by revision desc
limit 1;
