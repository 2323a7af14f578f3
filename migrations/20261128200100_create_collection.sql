-- Repositories with their collection progress, the ledger of runs, and the quarantine.

create table repositories (
    tenant_id integer not null default current_tenant(),
    id bigint generated always as identity,
    -- The first instance is GitHub, whose repositories the configuration names.
    instance_id bigint not null default 1,
    -- owner/name in the configuration, in lower case. The owner may have several path elements.
    name text not null check (name = lower(name) and name ~ '^[^/]+(/[^/]+)+$'),
    -- The current name at the instance. Null before the first response.
    current_name text check (current_name = lower(current_name)),
    -- The name to show and to request.
    display_name text not null generated always as (coalesce(current_name, name)) stored,
    -- Its id at the instance, which does not change with renames and transfers. Null before the first response.
    external_id text check (external_id <> ''),
    -- The pattern that added it. Null if it is configured by name.
    pattern text,
    added_at timestamptz not null,
    -- Set when the repository is removed from the configuration. Collected data stays.
    removed_at timestamptz,
    -- False while pull requests are disabled in its settings. It is then complete without any.
    has_pull_requests boolean not null default true,

    -- The incremental stream. The newest updated_at up to which everything is stored. It never comes from the clock.
    watermark timestamptz,
    -- When the last complete reading of the stream started.
    listed_at timestamptz,
    -- When the last complete collection of this repository started.
    collected_at timestamptz,
    -- Everything that changed since then is stored. Numbers are complete from here on.
    covered_since timestamptz,
    -- Set when a person's pull requests since then must be read again, because they were not kept so far.
    reopened_since timestamptz,
    -- When the last few weeks were last listed again to fix differences.
    verified_at timestamptz,
    -- The ETag of the first page, and a digest of its token and address.
    etag text,
    etag_scope text,
    -- Pull requests per page. Fewer if GitHub cannot return that many.
    page_size smallint not null default 100 check (page_size between 1 and 100),
    -- The unreadable rows of the list by update, as of the last check. Each last changed between the two times, inferred from the
    -- rows before and behind it.
    unreadable_from timestamptz [] not null default '{}',
    unreadable_until timestamptz [] not null default '{}',

    -- The running backfill: in which order it reads, how far back changes are kept, and the newest change when it started, from
    -- where the incremental stream takes over.
    backfill_order text check (backfill_order in ('creation', 'update')),
    backfill_since timestamptz,
    backfill_anchor timestamptz,
    -- How many rows of the list are stored, and where it continues: a cursor of the source. Null at the start of the list.
    backfill_rows integer not null default 0 check (backfill_rows >= 0),
    backfill_cursor text,
    -- The length of the list when the backfill started, when the newest of its pull requests was opened, and how many of them were
    -- seen. If fewer were seen at the end, one disappeared in between and others moved up, so the list is read again.
    backfill_length integer,
    backfill_newest timestamptz,
    backfill_seen integer not null default 0,
    -- How often it was started, including the first time, and when the current reading started.
    backfill_readings smallint not null default 0,
    backfill_reading_at timestamptz,
    constraint repositories_backfill_is_whole check ((backfill_order is null) = (backfill_since is null)),

    -- The lease. Every write names the fence. A higher fence means that another worker has taken over.
    fence bigint not null default 0,
    leased_until timestamptz,
    leased_at timestamptz,
    lease_host text,
    lease_process bigint,
    lease_instance text,
    -- Which attempt took the lease. It may be retried after a lost reply.
    lease_token bigint,
    -- When it was last worked on. The least recently served one goes first.
    served_at timestamptz,
    -- Consecutive failures, and when it is retried.
    failures integer not null default 0 check (failures >= 0),
    retry_at timestamptz,

    -- Pull requests that are stored and not deleted, those of them without details as of their last change, and those in
    -- quarantine. Triggers maintain these counters on every write, so that the collection status does not count rows.
    pull_requests bigint not null default 0,
    without_details bigint not null default 0,
    quarantined bigint not null default 0,
    -- The earliest time at which a quarantined, not accepted pull request may have been opened, and whether that time is unknown
    -- for any of them.
    missing_from timestamptz,
    has_undated_missing boolean not null default false,
    -- Raised with every change of the data behind responses about the repository.
    data_version bigint not null default 0,
    primary key (tenant_id, id),
    foreign key (tenant_id, instance_id) references instances (tenant_id, id)
);

create unique index repositories_name_key on repositories (tenant_id, instance_id, name) where removed_at is null;
-- With two names for one repository, its pull requests would count for the one that was read last.
create unique index repositories_external_id_key on repositories (tenant_id, instance_id, external_id) where removed_at is null;

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
        reopened_since is not null or backfill_order is not null as is_pending
    from repositories
    where removed_at is null
) as r;

comment on view collection_coverage is
'All data from covered_since to complete_until is stored. Both are null while any repository was never read. One row.';

create table collection_runs (
    tenant_id integer not null default current_tenant() references tenants (id),
    id bigint generated always as identity,
    started_at timestamptz not null,
    finished_at timestamptz,
    -- partial: some repositories failed, the others are complete. deferred: nothing failed, and some continue later. interrupted:
    -- closed by a later run.
    state text not null default 'running'
    check (state in ('running', 'succeeded', 'deferred', 'partial', 'failed', 'interrupted')),
    -- Null for a run that failed before it knew its configuration.
    configuration_revision bigint,
    -- How many repositories it planned to collect. The run is over when there are as many results.
    planned integer not null default 0,
    -- Problems during planning, as sentences: patterns that could not be resolved.
    problems text [] not null default '{}',
    primary key (tenant_id, id),
    foreign key (tenant_id, configuration_revision) references configurations (tenant_id, revision),
    check ((state = 'running') = (finished_at is null))
);

create index collection_runs_started_at_idx on collection_runs (tenant_id, started_at);

create table collection_results (
    tenant_id integer not null default current_tenant(),
    run_id bigint not null,
    repository_id bigint not null,
    -- deferred: continues later. busy: another process is working on it.
    state text not null check (state in ('succeeded', 'failed', 'deferred', 'busy')),
    -- A stable code and a sentence. Every state except success has a reason.
    error_code text,
    error_message text,
    -- When deferred work can continue.
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
    -- Which attempt wrote it. It may be retried after a lost reply.
    written_as bigint,
    primary key (tenant_id, run_id, repository_id),
    foreign key (tenant_id, run_id) references collection_runs (tenant_id, id),
    foreign key (tenant_id, repository_id) references repositories (tenant_id, id),
    constraint collection_results_reason_check check ((state = 'succeeded') = (error_code is null)),
    check (listed = kept + skipped_ghost + skipped_bot + skipped_not_a_member + quarantined)
);

create index collection_results_repository_idx on collection_results (tenant_id, repository_id, run_id desc);

-- Pull requests that could not be read or understood. Their authors are unknown.
create table quarantined_pull_requests (
    tenant_id integer not null default current_tenant(),
    id bigint generated always as identity,
    repository_id bigint not null,
    -- Identified by its number, or else by its place. An unreadable row keeps its place behind the row before it in the list by
    -- creation, even if earlier rows are deleted.
    number bigint,
    -- Its position in the whole list, from 1, when it was last seen.
    position integer check (position > 0),
    -- The number of the last readable row before it, 0 at the start of the list, and how many rows it is behind that one.
    after_number bigint not null default 0,
    rows_after integer check (rows_after > 0),
    -- The number of the next readable row, null if there is none, and how many rows that one is behind it. If another row follows,
    -- it is another pull request, and an earlier acceptance no longer applies.
    before_number bigint,
    rows_before integer check (rows_before > 0),
    reason text not null,
    -- The earliest time at which it may have been opened: its own, or that of the pull request before it. Null if both are unknown.
    created_from timestamptz,
    -- Set when a person accepted that it is missing. Buckets are then complete without it.
    accepted_at timestamptz,
    first_seen_at timestamptz not null,
    last_tried_at timestamptz not null,
    attempts integer not null default 1,
    primary key (tenant_id, id),
    foreign key (tenant_id, repository_id) references repositories (tenant_id, id),
    constraint quarantined_pull_requests_are_known check (number is not null or position is not null)
);

create unique index quarantined_pull_requests_number_key on quarantined_pull_requests (tenant_id, repository_id, number);
create unique index quarantined_pull_requests_place_key
on quarantined_pull_requests (tenant_id, repository_id, after_number, rows_after)
where number is null;

-- Repositories whose reviewers must be read again, because the list of bots changed. In steps, their pull requests are marked as
-- not read.
create table reopened_histories (
    tenant_id integer not null default current_tenant(),
    repository_id bigint not null,
    -- The last processed number.
    done_number bigint not null default 0,
    primary key (tenant_id, repository_id),
    foreign key (tenant_id, repository_id) references repositories (tenant_id, id) on delete cascade
);

-- Until when an instance refuses requests with some credentials, so that the next run or another sandbox does not have to find out.
create table rate_limit_blocks (
    tenant_id integer not null default current_tenant(),
    instance_id bigint not null,
    -- A digest of the credentials and the address, never the token itself.
    scope text not null,
    -- Which requests, as the source names them. At GitHub: core (the hourly limit of the REST API), graphql, or secondary (all).
    kind text not null check (kind <> ''),
    blocked_until timestamptz not null,
    primary key (tenant_id, instance_id, scope, kind),
    foreign key (tenant_id, instance_id) references instances (tenant_id, id)
);

-- What was left of the hourly limit, as an instance reported it, so that the next run does not have to send a request to find out.
create table rate_limit_remaining (
    tenant_id integer not null default current_tenant(),
    instance_id bigint not null,
    scope text not null,
    -- Requests per hour.
    hourly_limit integer not null check (hourly_limit >= 0),
    remaining integer not null check (remaining >= 0),
    resets_at timestamptz not null,
    primary key (tenant_id, instance_id, scope),
    foreign key (tenant_id, instance_id) references instances (tenant_id, id)
);

-- What happened, each written in the transaction that made it happen, so that an event is never lost or made up. Deleted with the
-- runs of their time.
create table events (
    tenant_id integer not null default current_tenant() references tenants (id),
    id bigint generated always as identity,
    at timestamptz not null,
    kind text not null check (
        kind in (
            'configuration_applied', 'repository_failing', 'repository_recovered', 'backfill_finished', 'week_completed'
        )
    ),
    -- Who made it happen: the collector on its schedule, or a person with the name of their login.
    actor_kind text not null check (actor_kind in ('collector', 'person')),
    actor_name text,
    -- What it is about: a revision, a repository as owner/name, or a week such as 2026-W24.
    subject text not null,
    payload jsonb not null default '{}',
    primary key (tenant_id, id),
    check ((actor_kind = 'person') = (actor_name is not null))
);

-- A week becomes complete once.
create unique index events_completed_week_key on events (tenant_id, subject) where kind = 'week_completed';

call separate_tenants(
    'repositories',
    'collection_runs',
    'collection_results',
    'quarantined_pull_requests',
    'reopened_histories',
    'rate_limit_blocks',
    'rate_limit_remaining',
    'events'
);
