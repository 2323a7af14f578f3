-- no-transaction
-- When each kind of webhook was last heard from.
create index concurrently if not exists received_events_plugin_idx on received_events (tenant_id, plugin, received_at)
where plugin is not null;
