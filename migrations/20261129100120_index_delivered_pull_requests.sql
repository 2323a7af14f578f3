-- no-transaction
-- For what was delivered in the whole organization.
create index concurrently if not exists pull_requests_delivered_idx on pull_requests (tenant_id, delivered_at)
where delivered_at is not null;
