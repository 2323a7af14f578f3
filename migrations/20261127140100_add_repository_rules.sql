-- Patterns and exclusions in the order of the file: of those that match a repository, the last one decides.
alter table configurations
add column repository_rules text [] not null default '{}';

-- A program of the release before writes patterns only: then they are the rules.
create or replace view configuration_in_force as
select
    revision,
    applied_at,
    timezone,
    bots,
    repository_patterns,
    includes_archived,
    min_group_size,
    case when repository_rules = '{}' then repository_patterns else repository_rules end as repository_rules
from configurations
order by revision desc
limit 1;
