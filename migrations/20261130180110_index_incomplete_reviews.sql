-- no-transaction
-- For answers: the pull requests of a person whose reviews are not all known.
create index concurrently if not exists pull_requests_incomplete_reviews_idx on pull_requests (tenant_id, author_id, updated_at)
where (reviews_at is distinct from updated_at or has_unread_reviews) and deleted_at is null;
