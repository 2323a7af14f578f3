-- no-transaction
-- The pull requests of a team's people in a range, whether they count or not.
create index concurrently if not exists pull_requests_author_attributed_idx
on pull_requests (author_id, (coalesce(merged_at, closed_at, created_at)), id);
