-- Repositories and how far each is collected, the ledger of runs, and what could not be read.

create table repositories (
    id bigint generated always as identity primary key,
    -- owner/name as it is configured, in lower case.
    name text not null check (name = lower(name) and name ~ '^[^/]+/[^/]+$'),
    -- The name that GitHub answered with; null before the first answer.
    current_name text check (current_name = lower(current_name)),
    -- The name to show and to ask for.
    display_name text not null generated always as (coalesce(current_name, name)) stored,
    -- GitHub's number, which survives renames and transfers; null before the first answer.
    github_id bigint,
    -- The pattern that brought it in; null for one that is named.
    pattern text,
    added_at timestamptz not null,
    -- Set when the repository is taken out of the configuration. What was collected stays.
    removed_at timestamptz,
    -- False while pull requests are switched off in its settings: it is complete without any.
    has_pull_requests boolean not null default true,

    -- The incremental stream. The newest updated_at that is known to be stored with everything before it: never the clock.
    watermark timestamptz,
    -- When the last complete reading of the stream began.
    listed_at timestamptz,
    -- When the last complete collection of this repository began.
    collected_at timestamptz,
    -- Everything that changed since then is stored: where numbers begin to be complete.
    covered_since timestamptz,
    -- Set when somebody's pull requests since then are to be read again, because they were not kept so far.
    reopened_since timestamptz,
    -- When the last few weeks were last listed again to heal differences.
    verified_at timestamptz,
    -- What the first page was known by, and the digest of the token and the address that it belongs to.
    etag text,
    etag_scope text,
    -- Pull requests on a page; fewer where GitHub cannot answer for so many.
    page_size smallint not null default 100 check (page_size between 1 and 100),
    -- The rows that the list by update could not show when they were last looked into: each changed last between the two times, as
    -- the rows before and behind it tell.
    unreadable_from timestamptz [] not null default '{}',
    unreadable_until timestamptz [] not null default '{}',

    -- The backfill stream, while one is under way: the next page by creation, how far back changes are kept, and the newest change
    -- at its beginning, from where the incremental stream takes over.
    backfill_page integer check (backfill_page >= 1),
    backfill_since timestamptz,
    backfill_anchor timestamptz,
    -- How far a backfill is that reads by update, the newest change first: so many rows from the beginning of the list, when the
    -- last of them changed, and its number. Null while it reads by creation.
    backfill_rows integer check (backfill_rows >= 0),
    backfill_oldest timestamptz,
    backfill_last bigint,
    -- The length of the list when the backfill began, when the newest of its pull requests was opened, and how many of them it has
    -- seen: with fewer in the end, one has vanished meanwhile, others have moved up, and it is read again.
    backfill_length integer,
    backfill_newest timestamptz,
    backfill_seen integer not null default 0,
    -- How often it was begun, the first time included, and when the present reading began.
    backfill_readings smallint not null default 0,
    backfill_reading_at timestamptz,
    constraint repositories_backfill_is_whole check ((backfill_page is null) = (backfill_since is null)),

    -- Who works on it: every write names the fence, and a higher one has taken over.
    fence bigint not null default 0,
    leased_until timestamptz,
    leased_at timestamptz,
    lease_host text,
    lease_process bigint,
    lease_instance text,
    -- Which attempt took the lease, and which one wrote the last page: both may be tried again after a lost answer.
    lease_token bigint,
    page_token bigint,
    -- When it was last worked on: the one served longest ago goes first.
    served_at timestamptz,
    -- Failures in a row, and when it is tried again.
    failures integer not null default 0 check (failures >= 0),
    retry_at timestamptz,

    -- How many pull requests are stored and not deleted, how many of these lack details as of their last change, and how many are in
    -- quarantine. To say how the collection stands, nothing is counted: triggers keep these, whoever writes.
    pull_requests bigint not null default 0,
    without_details bigint not null default 0,
    quarantined bigint not null default 0,
    -- The earliest time from which on one that is in quarantine and not accepted may have been opened, and whether there is one of
    -- which that is not known.
    missing_from timestamptz,
    has_undated_missing boolean not null default false,
    -- Rises with every change of what answers about the repository are made of.
    data_version bigint not null default 0
);

create unique index repositories_name_key on repositories (name) where removed_at is null;
-- Two names of one repository would count its pull requests for the one that was read last.
create unique index repositories_github_id_key on repositories (github_id) where removed_at is null;

create view collection_coverage as
select
    case when bool_and(r.is_read) then max(r.covered_since) end as covered_since,
    min(r.collected_at) as data_as_of,
    case when bool_and(r.is_read) then min(least(r.collected_at, r.reopened_since, r.backfill_since, r.missing_since)) end
        as complete_until,
    count(*) filter (where r.is_read and not r.is_pending and r.failures = 0) as collected,
    count(*) filter (where r.failures > 0) as failing,
    count(*) filter (where r.is_pending or not r.is_read) as pending,
    count(*) filter (where not r.is_read) as never_collected,
    coalesce(sum(r.quarantined), 0)::bigint as quarantined
from (
    select
        covered_since,
        collected_at,
        reopened_since,
        backfill_since,
        failures,
        quarantined,
        least(missing_from, case when has_undated_missing then covered_since end) as missing_since,
        covered_since is not null and collected_at is not null as is_read,
        reopened_since is not null or backfill_page is not null as is_pending
    from repositories
    where removed_at is null
) as r;

comment on view collection_coverage is
'Everything of everybody from covered_since to complete_until is stored; both null while a repository was never read. One row.';

create table collection_runs (
    id bigint generated always as identity primary key,
    started_at timestamptz not null,
    finished_at timestamptz,
    -- partial: some repositories failed, the others are complete. deferred: nothing failed, and some go on later. interrupted: closed
    -- by a later run.
    state text not null default 'running'
    check (state in ('running', 'succeeded', 'deferred', 'partial', 'failed', 'interrupted')),
    -- Null for a run that failed before it knew its configuration.
    configuration_revision bigint references configurations (revision),
    -- How many repositories it set out to collect; with as many results it is over.
    planned integer not null default 0,
    -- What went wrong while planning, as sentences: patterns that could not be resolved.
    problems text [] not null default '{}',
    check ((state = 'running') = (finished_at is null))
);

create index collection_runs_started_at_idx on collection_runs (started_at);

create table collection_results (
    run_id bigint not null references collection_runs (id),
    repository_id bigint not null references repositories (id),
    -- deferred: goes on later. busy: somebody else works on it.
    state text not null check (state in ('succeeded', 'failed', 'deferred', 'busy')),
    -- A stable code and a sentence: everything but success has its reason.
    error_code text,
    error_message text,
    -- When deferred work can go on.
    deferred_until timestamptz,
    started_at timestamptz not null,
    duration_seconds double precision not null check (duration_seconds >= 0),
    requests integer not null,
    graphql_requests integer not null default 0,
    graphql_points integer not null default 0,
    pages integer not null,
    -- Pull requests that GitHub listed = kept + skipped, by reason, + quarantined.
    listed integer not null,
    kept integer not null,
    skipped_ghost integer not null,
    skipped_bot integer not null,
    skipped_not_a_member integer not null,
    quarantined integer not null,
    -- Rows that are new or differ from before.
    changed integer not null,
    -- Pull requests whose details were read by GraphQL.
    enriched integer not null default 0,
    -- GitHub said that nothing has changed (304).
    is_unchanged boolean not null default false,
    rate_limit_remaining integer,
    -- Which attempt wrote it: it may be written again after a lost answer.
    written_as bigint,
    primary key (run_id, repository_id),
    constraint collection_results_reason_check check ((state = 'succeeded') = (error_code is null)),
    check (listed = kept + skipped_ghost + skipped_bot + skipped_not_a_member + quarantined)
);

create index collection_results_repository_idx on collection_results (repository_id, run_id desc);

-- Pull requests that could not be understood or shown. Whose they are is not known.
create table quarantined_pull_requests (
    id bigint generated always as identity primary key,
    repository_id bigint not null references repositories (id),
    -- Known by its number, or else by its place: a row that GitHub cannot show keeps its place behind the row before it in the list
    -- by creation, whatever is deleted further ahead.
    number bigint,
    -- Its position in the whole list, from 1, when it was last met.
    position integer check (position > 0),
    -- The number of the row before it that can be read, 0 at the beginning of the list, and how many rows it is behind that one.
    after_number bigint not null default 0,
    rows_after integer check (rows_after > 0),
    -- The number of the next row that can be read, null where there is none, and how many rows that one is behind it: where another
    -- row follows it is another pull request, and what was accepted is accepted no more.
    before_number bigint,
    rows_before integer check (rows_before > 0),
    reason text not null,
    -- It was opened then or later: its own time, or that of the pull request before it. Null when neither is known.
    created_from timestamptz,
    -- Somebody has accepted that it is missing: buckets are called complete without it.
    accepted_at timestamptz,
    first_seen_at timestamptz not null,
    last_tried_at timestamptz not null,
    attempts integer not null default 1,
    constraint quarantined_pull_requests_are_known check (number is not null or position is not null)
);

create unique index quarantined_pull_requests_number_key on quarantined_pull_requests (repository_id, number);
create unique index quarantined_pull_requests_place_key on quarantined_pull_requests (repository_id, after_number, rows_after)
where number is null;

-- Repositories of which who reviewed is to be read again, because others count as bots: their pull requests lose the mark that
-- they were read in steps.
create table reopened_histories (
    repository_id bigint primary key references repositories (id) on delete cascade,
    -- The last number that is done.
    done_number bigint not null default 0
);

-- Until when GitHub refuses requests with some credentials, so that the next run or another sandbox need not find out.
create table rate_limit_blocks (
    -- A digest of the credentials and GitHub's address, never the token itself.
    scope text not null,
    -- The hourly limit of the REST API or of GraphQL, or a secondary limit, which concerns both.
    kind text not null check (kind in ('core', 'graphql', 'secondary')),
    blocked_until timestamptz not null,
    primary key (scope, kind)
);

-- What GitHub said was left of the hourly limit, so that the next run need not begin with one request to find out.
create table rate_limit_remaining (
    scope text primary key,
    -- Requests an hour.
    hourly_limit integer not null check (hourly_limit >= 0),
    remaining integer not null check (remaining >= 0),
    resets_at timestamptz not null
);
