-- no-transaction
-- Covers what statistics read of a team's deliveries. Built without blocking writers, because the table is in use.
create index concurrently if not exists pr_attributions_delivered_idx on pr_attributions (tenant_id, team_id, delivered_at)
include (weight, author_id, repository_id, lead_seconds, deploy_seconds)
where delivered_at is not null;
