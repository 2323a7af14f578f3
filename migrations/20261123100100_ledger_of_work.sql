-- The ledger of runs whose work is deferred, shared or interrupted, and what could not be understood.

alter table collection_runs
drop constraint collection_runs_state_check,
-- deferred: nothing failed, and some repositories go on later. interrupted: closed by a later run.
add constraint collection_runs_state_check
check (state in ('running', 'succeeded', 'deferred', 'partial', 'failed', 'interrupted')),
-- How many repositories it set out to collect; with as many results it is over.
add column planned integer not null default 0,
-- What went wrong while planning, as sentences: patterns that could not be resolved.
add column problems text [] not null default '{}';

update collection_runs as r
set planned = (select count(*) from collection_results as c where c.run_id = r.id);

alter table collection_results rename column skipped_undecodable to quarantined;

alter table collection_results
drop constraint collection_results_state_check,
drop constraint collection_results_check,
-- deferred: goes on later. busy: somebody else works on it.
add constraint collection_results_state_check check (state in ('succeeded', 'failed', 'deferred', 'busy')),
-- Everything but success has its reason.
add constraint collection_results_reason_check check ((state = 'succeeded') = (error_code is null)),
-- When deferred work can go on.
add column deferred_until timestamptz,
add column graphql_requests integer not null default 0,
add column graphql_points integer not null default 0,
-- Pull requests whose details were read by GraphQL.
add column enriched integer not null default 0,
-- GitHub said that nothing has changed (304).
add column is_unchanged boolean not null default false;

-- Pull requests that could not be understood. Only their number is kept: whose they are is not known.
create table quarantined_pull_requests (
    repository_id bigint not null references repositories (id),
    number bigint not null,
    reason text not null,
    first_seen_at timestamptz not null,
    last_tried_at timestamptz not null,
    attempts integer not null default 1,
    primary key (repository_id, number)
);
