-- Only the configuration names a source that needs options: without them, what it lists is not known.

update services set first_source = null where first_source not in ('github-deployments', 'events');

create or replace view sources_of_services as
select
    s.service_id,
    s.source,
    s.options,
    coalesce(
        case s.source
            when 'github-actions' then concat_ws('@', s.options ->> 'workflow', s.options ->> 'branch')
            when 'github-releases' then case when (s.options ->> 'tags')::boolean then 'tags' else 'releases' end
            when 'merges' then s.options ->> 'branch'
        end,
        ''
    ) as list
from (
    select
        f.id as service_id,
        coalesce(f.source, c.source, f.first_source) as source,
        case when f.source is not null then f.source_options when c.source is not null then c.options else '{}' end as options
    from services_in_force as f
    left join (
        select c.delivery ->> 'source' as source, coalesce(c.delivery -> 'source_options', '{}') as options
        from configuration_in_force as c
    ) as c on true
) as s;
