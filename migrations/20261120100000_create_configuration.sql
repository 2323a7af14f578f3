-- Who belongs to which team, when, how much; and which repositories are collected.

-- One row for each change of the configuration. A membership names the revisions that added and removed it,
-- so that every past state of the configuration can be read.
create table configurations (
    revision bigint generated always as identity primary key,
    applied_at timestamptz not null,
    -- The zone in which the file's dates start and in which the views count weeks and months.
    timezone text not null,
    -- Logins that count as bots although GitHub calls them users.
    bots text [] not null
);

create table teams (
    id bigint generated always as identity primary key,
    -- At least one letter keeps a slug apart from a team's number.
    slug text not null unique check (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$' and slug ~ '[a-z]'),
    name text not null,
    created_at timestamptz not null,
    -- Set when the team is taken out of the configuration. Its past stays.
    archived_at timestamptz
);

create table people (
    id bigint generated always as identity primary key,
    -- The account's number at GitHub: null until it has been configured or seen. It survives a change of login.
    github_id bigint unique,
    -- The login under which the configuration knows the person, and the one that GitHub showed last.
    configured_login text not null check (configured_login = lower(configured_login)),
    login text not null check (login = lower(login))
);

-- A login alone identifies only who has never been seen.
create unique index people_unseen_login_key on people (configured_login) where github_id is null;

create table team_memberships (
    id bigint generated always as identity primary key,
    team_id bigint not null references teams (id),
    person_id bigint not null references people (id),
    -- A share of the person's work. Exact: never a binary float.
    weight numeric(5, 4) not null check (weight > 0 and weight <= 1),
    -- Half open. Null is the beginning of time, and no end.
    joined_at timestamptz,
    left_at timestamptz,
    added_in bigint not null references configurations (revision),
    -- Corrected and removed memberships stay as history and count no more.
    removed_in bigint references configurations (revision),
    check (joined_at < left_at),
    -- Ranges of single numbers, so that the plain GiST operator class serves and no extension is needed.
    constraint team_memberships_do_not_overlap exclude using gist (
        int8range(team_id, team_id, '[]') with &&,
        int8range(person_id, person_id, '[]') with &&,
        tstzrange(joined_at, left_at, '[)') with &&
    ) where (removed_in is null)
);

create index team_memberships_person_id_idx on team_memberships (person_id) where removed_in is null;

create table repositories (
    id bigint generated always as identity primary key,
    -- owner/name, in lower case.
    name text not null check (name = lower(name) and name ~ '^[^/]+/[^/]+$'),
    added_at timestamptz not null,
    -- Set when the repository is taken out of the configuration. What was collected stays.
    removed_at timestamptz,
    -- The newest updated_at that is known to be stored with everything before it. Null: nothing yet. Never the clock.
    watermark timestamptz,
    -- Set when a person is new whose pull requests were not kept so far: the backfill window is read again.
    is_reopened boolean not null default false,
    -- When the last complete collection of this repository began.
    collected_at timestamptz,
    -- Everything that changed since then is stored: where numbers begin to be complete.
    covered_since timestamptz
);

create unique index repositories_name_key on repositories (name) where removed_at is null;
