-- no-transaction
-- A delivery that comes again is answered like the first time.
create unique index concurrently if not exists received_events_delivery_key on received_events (tenant_id, plugin, delivery_id)
where delivery_id is not null;
