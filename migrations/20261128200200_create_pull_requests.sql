-- Facts, and the data derived from them.

-- One row per pull request of a configured person.
create table pull_requests (
    tenant_id integer not null default current_tenant(),
    id bigint generated always as identity,
    repository_id bigint not null,
    number bigint not null check (number > 0),
    -- Its instance, as that of the repository, and its id there. The id stays the same when the repository is renamed or transferred.
    instance_id bigint not null,
    external_id text not null check (external_id <> ''),
    -- Its GraphQL node ID.
    node_id text,
    author_id bigint not null,
    title text not null,
    state text not null check (state in ('open', 'closed', 'merged')),
    is_draft boolean not null,
    base_ref text,
    created_at timestamptz not null,
    -- The newer row wins, in any order of arrival.
    updated_at timestamptz not null,
    closed_at timestamptz,
    merged_at timestamptz,
    -- Set when GitHub no longer lists it and reports that it does not exist. It does not count for any team.
    deleted_at timestamptz,
    -- The instant that decides which memberships apply.
    attributed_at timestamptz not null generated always as (coalesce(merged_at, closed_at, created_at)) stored,
    -- From opening to merge (pr_cycle_time@1). Null for a merge before the opening, which occurs in imported histories.
    cycle_seconds double precision generated always as (
        case when merged_at >= created_at then extract(epoch from merged_at - created_at)::double precision end
    ) stored,

    -- Details from GraphQL. The updated_at of the state whose details are stored. If it differs, they must be read.
    detailed_at timestamptz,
    detail_failures integer not null default 0,
    detail_retry_at timestamptz,
    first_commit_at timestamptz,
    -- Not all of its commits could be read, so the first one is unknown.
    has_unread_commits boolean not null default false,
    -- By a person other than the author.
    first_review_at timestamptz,
    first_approval_at timestamptz,
    -- When it was first ready for review. Null if unknown.
    ready_at timestamptz,
    draft_periods tstzmultirange,
    -- GitHub reports that it is or was a draft, but not since when.
    is_draft_history_incomplete boolean not null default false,
    additions integer,
    deletions integer,
    changed_files integer,
    merge_commit text,

    -- The phases (pr_phases@1): null if unknown, never negative. With a first review after the merge, pickup and review are null.
    coding_seconds double precision generated always as (
        case when first_commit_at <= created_at then extract(epoch from created_at - first_commit_at)::double precision end
    ) stored,
    pickup_seconds double precision generated always as (
        case
            when first_review_at >= coalesce(ready_at, created_at) and coalesce(first_review_at <= merged_at, true)
                then extract(epoch from first_review_at - coalesce(ready_at, created_at))::double precision
        end
    ) stored,
    review_seconds double precision generated always as (
        case
            when first_review_at >= created_at and first_review_at <= merged_at
                then extract(epoch from merged_at - first_review_at)::double precision
        end
    ) stored,
    primary key (tenant_id, id),
    unique (tenant_id, repository_id, number),
    unique (tenant_id, instance_id, external_id),
    foreign key (tenant_id, repository_id) references repositories (tenant_id, id),
    -- The author has an account where the pull request is.
    foreign key (tenant_id, author_id, instance_id) references accounts (tenant_id, person_id, instance_id),
    -- Merged means exactly that there is a merge time.
    check ((state = 'merged') = (merged_at is not null)),
    check ((state = 'open') = (closed_at is null))
);

create index pull_requests_author_attributed_idx on pull_requests (tenant_id, author_id, attributed_at, id);
create index pull_requests_node_id_idx on pull_requests (tenant_id, node_id);
create index pull_requests_without_details_idx on pull_requests (tenant_id, repository_id, updated_at desc)
where detailed_at is distinct from updated_at and deleted_at is null;
-- For the weekly comparison with GitHub's list.
create index pull_requests_updated_idx on pull_requests (tenant_id, repository_id, updated_at);

-- Why a duration is null although one might expect it.
create function pull_request_flags(p pull_requests)
returns text []
language sql stable parallel safe
as $$
    select array_remove(
        array[
            case when p.merged_at < p.created_at then 'merged_before_creation' end,
            case when p.detailed_at is distinct from p.updated_at then 'details_pending' end,
            case when p.has_unread_commits then 'commits_incomplete' end,
            case when p.first_commit_at > p.created_at then 'first_commit_after_creation' end,
            case when p.first_review_at < coalesce(p.ready_at, p.created_at) then 'review_before_ready' end,
            case when p.first_review_at > p.merged_at then 'reviewed_after_merge' end,
            case when p.is_draft_history_incomplete then 'draft_times_missing' end
        ],
        null
    )
$$;

comment on function pull_request_flags is 'Why a duration of a pull request is null although one might expect it.';

-- A team's share of a pull request. Derived data, replaced in the transaction that changes its source.
create table pr_attributions (
    tenant_id integer not null default current_tenant(),
    pull_request_id bigint not null,
    team_id bigint not null,
    membership_id bigint not null,
    weight numeric(5, 4) not null check (weight > 0 and weight <= 1),
    -- Copied from the pull request, so that one index covers a team's range without a join.
    repository_id bigint not null,
    author_id bigint not null,
    created_at timestamptz not null,
    closed_at timestamptz,
    merged_at timestamptz,
    cycle_seconds double precision generated always as (
        case when merged_at >= created_at then extract(epoch from merged_at - created_at)::double precision end
    ) stored,
    coding_seconds double precision,
    pickup_seconds double precision,
    review_seconds double precision,
    primary key (tenant_id, pull_request_id, team_id),
    foreign key (tenant_id, pull_request_id) references pull_requests (tenant_id, id),
    foreign key (tenant_id, team_id) references teams (tenant_id, id),
    foreign key (tenant_id, membership_id) references team_memberships (tenant_id, id),
    foreign key (tenant_id, repository_id) references repositories (tenant_id, id),
    foreign key (tenant_id, author_id) references people (tenant_id, id)
);

create index pr_attributions_open_idx on pr_attributions (tenant_id, team_id, created_at)
include (weight, author_id, repository_id, pull_request_id)
where closed_at is null;
create index pr_attributions_team_repository_idx on pr_attributions (tenant_id, team_id, repository_id);

call separate_tenants('pull_requests', 'pr_attributions');
