-- no-transaction
-- Everything that statistics read, so that no table is. Built beside writers, as the index of a table in use has to be.
create index concurrently if not exists pr_attributions_statistics_idx on pr_attributions (team_id, merged_at)
include (pull_request_id, weight, author_id, repository_id, cycle_seconds, coding_seconds, pickup_seconds, review_seconds)
where merged_at is not null;
