insert into collection_runs (started_at, finished_at, state, configuration_revision) values ('2026-01-06 12:00Z', '2026-01-06 12:01Z', 'succeeded', 1);
insert into collection_results (
    run_id, repository_id, state, started_at, duration_seconds, requests, pages, listed, kept,
    skipped_ghost, skipped_bot, skipped_not_a_member, quarantined, changed, rate_limit_remaining
) values (1, 1, 'succeeded', '2026-01-06 12:00Z', 0.5, 1, 1, 4, 2, 1, 1, 0, 0, 2, 4999);
