alter table configurations
-- The lines of `access` in the teams file, in order: whom each is about, and the role that it gives.
add column access jsonb not null default '[]';

create or replace view configuration_in_force as
select
    revision, applied_at, timezone, bots, repository_patterns, includes_archived, min_group_size, repository_rules, delivery,
    access
from configurations
order by revision desc
limit 1;
