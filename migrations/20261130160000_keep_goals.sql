alter table configurations
-- The goals of the teams file, in order. Former revisions keep theirs: the past is judged by the goal of its time.
add column goals jsonb not null default '[]';

create or replace view configuration_in_force as
select
    revision, applied_at, timezone, bots, repository_patterns, includes_archived, min_group_size, repository_rules, delivery,
    access, goals
from configurations
order by revision desc
limit 1;
