alter table configurations
-- The rules of the teams file for kinds of work, in order. Those in force judge all of the past.
add column if not exists investment jsonb not null default '[]';

create or replace view configuration_in_force as
select
    revision, applied_at, timezone, bots, repository_patterns, includes_archived, min_group_size, repository_rules, delivery,
    access, goals, investment
from configurations
order by revision desc
limit 1;
