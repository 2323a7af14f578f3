-- no-transaction
-- For the runs that are too old to be kept, which are few or none after each run.
create index concurrently if not exists collection_runs_started_at_idx on collection_runs (started_at);
