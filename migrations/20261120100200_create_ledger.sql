-- What each run did, and to which repository.

create table collection_runs (
    id bigint generated always as identity primary key,
    started_at timestamptz not null,
    finished_at timestamptz,
    -- partial: some repositories failed, the others are complete.
    state text not null default 'running' check (state in ('running', 'succeeded', 'partial', 'failed')),
    -- Null for a run that failed before it knew its configuration.
    configuration_revision bigint references configurations (revision),
    check ((state = 'running') = (finished_at is null))
);

create table collection_results (
    run_id bigint not null references collection_runs (id),
    repository_id bigint not null references repositories (id),
    state text not null check (state in ('succeeded', 'failed')),
    -- A stable code and a sentence, for a repository that failed.
    error_code text,
    error_message text,
    started_at timestamptz not null,
    duration_seconds double precision not null check (duration_seconds >= 0),
    requests integer not null,
    pages integer not null,
    -- Pull requests that GitHub listed = kept + skipped, by reason.
    listed integer not null,
    kept integer not null,
    skipped_ghost integer not null,
    skipped_bot integer not null,
    skipped_not_a_member integer not null,
    skipped_undecodable integer not null,
    -- Rows that are new or differ from before.
    changed integer not null,
    rate_limit_remaining integer,
    primary key (run_id, repository_id),
    check ((state = 'failed') = (error_code is not null)),
    check (listed = kept + skipped_ghost + skipped_bot + skipped_not_a_member + skipped_undecodable)
);

create index collection_results_repository_idx on collection_results (repository_id, run_id desc);
