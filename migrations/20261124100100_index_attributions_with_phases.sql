-- no-transaction
-- Everything that a team's statistics are made of, in the order of their range. Built beside writers, not in their way.
create index concurrently if not exists pr_attributions_statistics_idx
on pr_attributions (team_id, merged_at)
include (pull_request_id, created_at, weight, author_id, repository_id, coding_seconds, pickup_seconds, review_seconds)
where merged_at is not null;
