-- no-transaction
-- Few are, and each answer counts those that will never end.
create index concurrently if not exists deployments_unfinished_idx on deployments (tenant_id, service_id, created_at)
where outcome = 'unfinished';
