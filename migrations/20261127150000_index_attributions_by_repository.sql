-- no-transaction
-- Which repositories a team has pull requests in: of these a key that is limited to teams may know. Built beside writers.
create index concurrently if not exists pr_attributions_team_repository_idx on pr_attributions (team_id, repository_id);
