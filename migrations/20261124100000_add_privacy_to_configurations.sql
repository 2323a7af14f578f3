-- Statistics of fewer pull requests' authors than this are not shown; 0 shows all.
alter table configurations
add column min_group_size integer not null default 0 check (min_group_size between 0 and 100);

create or replace view configuration_in_force as
select revision, applied_at, timezone, bots, repository_patterns, includes_archived, min_group_size
from configurations
order by revision desc
limit 1;
