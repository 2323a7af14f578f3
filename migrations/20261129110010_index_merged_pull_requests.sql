-- no-transaction
-- For what was merged in the whole organization. Built without blocking writers, because the table is in use.
create index concurrently if not exists pull_requests_merged_idx on pull_requests (tenant_id, merged_at)
where merged_at is not null;
