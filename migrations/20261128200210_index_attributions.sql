-- no-transaction
-- Covers everything that statistics read, so that they read no table. Built without blocking writers, because the table is in use.
create index concurrently if not exists pr_attributions_statistics_idx on pr_attributions (tenant_id, team_id, merged_at)
include (pull_request_id, weight, author_id, repository_id, cycle_seconds, coding_seconds, pickup_seconds, review_seconds)
where merged_at is not null;
