-- no-transaction
-- Covers everything that statistics read, the deploy phase too, so that they read no table. Built without blocking writers.
create index concurrently if not exists pr_attributions_merged_idx on pr_attributions (tenant_id, team_id, merged_at)
include (
    pull_request_id, weight, author_id, repository_id, cycle_seconds, coding_seconds, pickup_seconds, review_seconds, deploy_seconds
)
where merged_at is not null;
