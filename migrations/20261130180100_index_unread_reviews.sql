-- no-transaction
-- For the collector: what it has to read, the most recently changed first.
create index concurrently if not exists pull_requests_without_reviews_idx on pull_requests (tenant_id, repository_id, updated_at desc)
include (created_at)
where reviews_at is distinct from updated_at and deleted_at is null;
