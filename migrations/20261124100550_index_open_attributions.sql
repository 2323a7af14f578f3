-- no-transaction
-- The open pull requests of a team, the oldest first.
create index concurrently if not exists pr_attributions_open_idx
on pr_attributions (team_id, created_at)
include (weight, author_id, repository_id, pull_request_id)
where closed_at is null;
