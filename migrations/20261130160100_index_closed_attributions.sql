-- no-transaction
-- For goals: what was closed without a merge, of a team.
create index concurrently if not exists pr_attributions_closed_idx on pr_attributions (tenant_id, team_id, closed_at)
include (pull_request_id, weight)
where closed_at is not null and merged_at is null;
