-- Webhooks: what was delivered, and which repositories their deliveries say have changed.

alter table received_events
-- The kind of webhook, and the id that its sender gave the delivery.
add column plugin text,
add column delivery_id text,
drop constraint received_events_channel_check,
add constraint received_events_channel_check check (channel in ('api', 'import', 'webhook')),
drop constraint received_events_kind_check,
add constraint received_events_kind_check check (kind in ('deployment', 'incident', 'repository', 'other')),
drop constraint received_events_outcome_check,
add constraint received_events_outcome_check
check (outcome in ('created', 'changed', 'replayed', 'refused', 'queued', 'ignored')),
add constraint received_events_delivery_check check (delivery_id is null or plugin is not null);

-- What webhooks announced of a repository, and what they did not. A repository without a row never had a delivery.
create table announcements (
    tenant_id integer not null default current_tenant(),
    repository_id bigint not null,
    -- When the last delivery about it came.
    last_at timestamptz not null,
    -- How often a collection found a change that no delivery had announced.
    missed bigint not null default 0,
    missed_at timestamptz,
    primary key (tenant_id, repository_id),
    foreign key (tenant_id, repository_id) references repositories (tenant_id, id) on delete cascade
);

comment on table announcements is 'When webhooks last announced a change of each repository, and how often they did not.';

call separate_tenants('announcements');
