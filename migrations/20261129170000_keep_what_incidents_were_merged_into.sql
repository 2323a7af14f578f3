-- An incident may be delivered before the one that it was merged into, which may be of another service: what is known is the id that
-- their source gave that one.
alter table incidents
drop column merged_into_id,
add column merged_into text check (merged_into <> '');

-- Of several states at one instant, the last one in this order decides, as in the program.
create function incident_state_rank(state text)
returns integer
language sql immutable parallel safe
as $$
    select array_position(array ['opened', 'reopened', 'resolved', 'dismissed', 'merged'], state)
$$;

comment on function incident_state_rank is 'Which of several states of an incident at one instant decides: the highest one.';

-- The incidents that a source, and for posted ones a program, knows by an id.
create view merged_incidents as
select m.tenant_id, m.id, m.service_id, t.id as target_id, t.service_id as target_service_id
from incidents as m
inner join incidents as t
    on
        m.tenant_id = t.tenant_id and m.source = t.source and m.merged_into = t.external_id
        and m.instance_id is not distinct from t.instance_id and m.sender is not distinct from t.sender and m.id <> t.id
where
    m.withdrawn_at is null and t.withdrawn_at is null
    -- It may have been opened again.
    and 'merged' = (
        select s.state
        from incident_states as s
        where s.tenant_id = m.tenant_id and s.incident_id = m.id
        order by s.at desc, incident_state_rank(s.state) desc
        limit 1
    );

comment on view merged_incidents is 'What each merged incident was merged into, as far as that is known. One that was opened again is not there.';
