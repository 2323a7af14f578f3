-- Facts, and what is derived from them.

-- One row for each pull request of a configured person.
create table pull_requests (
    id bigint generated always as identity primary key,
    repository_id bigint not null references repositories (id),
    number bigint not null check (number > 0),
    -- The pull request's number over all of GitHub. It keeps it when its repository is renamed or transferred.
    github_id bigint not null unique,
    author_id bigint not null references people (id),
    title text not null,
    state text not null check (state in ('open', 'closed', 'merged')),
    is_draft boolean not null,
    base_ref text,
    created_at timestamptz not null,
    -- The newer row wins, in whatever order answers arrive.
    updated_at timestamptz not null,
    closed_at timestamptz,
    merged_at timestamptz,
    unique (repository_id, number),
    -- Merged means that there is a merge time, and nothing else.
    check ((state = 'merged') = (merged_at is not null)),
    check ((state = 'open') = (closed_at is null))
);

create index pull_requests_author_id_idx on pull_requests (author_id);

-- A team's share of a pull request. Derived: replaced in the transaction that changes its cause.
create table pr_attributions (
    pull_request_id bigint not null references pull_requests (id),
    team_id bigint not null references teams (id),
    membership_id bigint not null references team_memberships (id),
    weight numeric(5, 4) not null check (weight > 0 and weight <= 1),
    -- Copied from the pull request, so that one index answers a team's range without a join.
    repository_id bigint not null references repositories (id),
    author_id bigint not null references people (id),
    created_at timestamptz not null,
    closed_at timestamptz,
    merged_at timestamptz,
    primary key (pull_request_id, team_id)
);

create index pr_attributions_team_merged_idx on pr_attributions (team_id, merged_at)
include (created_at, weight, author_id, repository_id) where merged_at is not null;
