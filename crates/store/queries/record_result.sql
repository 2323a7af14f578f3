-- What a run ($1) did to a repository ($2). Work that was deferred in this run and went on adds to what it had done;
-- otherwise what is said later counts, as for a message that was delivered twice. What the same writer ($25) says again, when
-- the answer to the first time was lost, changes nothing.
insert into collection_results as r (
    run_id, repository_id, state, error_code, error_message, deferred_until, started_at, duration_seconds,
    requests, pages, listed, kept, skipped_ghost, skipped_bot, skipped_not_a_member, quarantined,
    changed, rate_limit_remaining, graphql_requests, graphql_points, enriched, is_unchanged, deployments, commits,
    written_as
) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25)
on conflict (tenant_id, run_id, repository_id) do update
set
    written_as = excluded.written_as,
    state = excluded.state,
    error_code = excluded.error_code,
    error_message = excluded.error_message,
    deferred_until = excluded.deferred_until,
    started_at = case when r.state = 'deferred' then r.started_at else excluded.started_at end,
    rate_limit_remaining = excluded.rate_limit_remaining,
    is_unchanged = excluded.is_unchanged,
    duration_seconds = case when r.state = 'deferred' then r.duration_seconds else 0 end + excluded.duration_seconds,
    requests = case when r.state = 'deferred' then r.requests else 0 end + excluded.requests,
    pages = case when r.state = 'deferred' then r.pages else 0 end + excluded.pages,
    listed = case when r.state = 'deferred' then r.listed else 0 end + excluded.listed,
    kept = case when r.state = 'deferred' then r.kept else 0 end + excluded.kept,
    skipped_ghost = case when r.state = 'deferred' then r.skipped_ghost else 0 end + excluded.skipped_ghost,
    skipped_bot = case when r.state = 'deferred' then r.skipped_bot else 0 end + excluded.skipped_bot,
    skipped_not_a_member = case when r.state = 'deferred' then r.skipped_not_a_member else 0 end + excluded.skipped_not_a_member,
    quarantined = case when r.state = 'deferred' then r.quarantined else 0 end + excluded.quarantined,
    changed = case when r.state = 'deferred' then r.changed else 0 end + excluded.changed,
    graphql_requests = case when r.state = 'deferred' then r.graphql_requests else 0 end + excluded.graphql_requests,
    graphql_points = case when r.state = 'deferred' then r.graphql_points else 0 end + excluded.graphql_points,
    deployments = case when r.state = 'deferred' then r.deployments else 0 end + excluded.deployments,
    commits = case when r.state = 'deferred' then r.commits else 0 end + excluded.commits,
    enriched = case when r.state = 'deferred' then r.enriched else 0 end + excluded.enriched
where r.written_as is distinct from excluded.written_as
