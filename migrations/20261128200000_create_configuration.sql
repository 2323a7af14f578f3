-- Team memberships over time with their weights, and the settings of the collection.

-- One row per change of the configuration. A membership names the revisions that added and removed it, so every past
-- configuration can be read.
create table configurations (
    revision bigint generated always as identity primary key,
    applied_at timestamptz not null,
    -- The time zone of the file's dates, and of weeks and months in the views.
    timezone text not null,
    -- Logins that count as bots although GitHub lists them as users.
    bots text [] not null,
    -- owner/* and owner/prefix-*: the patterns that add repositories.
    repository_patterns text [] not null default '{}',
    -- Patterns and exclusions in the order of the file. The last one that matches a repository decides.
    repository_rules text [] not null default '{}',
    includes_archived boolean not null default false,
    -- Durations of fewer people than this are hidden; 0 hides none.
    min_group_size integer not null default 0 check (min_group_size between 0 and 100)
);

create view configuration_in_force as
select revision, applied_at, timezone, bots, repository_patterns, includes_archived, min_group_size, repository_rules
from configurations
order by revision desc
limit 1;

comment on view configuration_in_force is 'The newest configuration. One row, or none before the first configuration.';

create table teams (
    id bigint generated always as identity primary key,
    -- At least one letter, so that a slug cannot be confused with a team's id.
    slug text not null unique check (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$' and slug ~ '[a-z]'),
    name text not null,
    created_at timestamptz not null,
    -- Set when the team is removed from the configuration. Its past stays.
    archived_at timestamptz,
    -- Raised with every change of the data behind responses about the team.
    data_version bigint not null default 0
);

-- The servers that repositories and accounts belong to, one of each forge.
create table instances (
    id bigint primary key,
    forge text not null unique check (forge in ('github', 'gitlab')),
    -- The address of its site, without a slash at the end.
    base_url text not null check (base_url not like '%/')
);

insert into instances (id, forge, base_url) values (1, 'github', 'https://github.com'), (2, 'gitlab', 'https://gitlab.com');

create table people (
    id bigint generated always as identity primary key
);

comment on table people is 'One row per person. Their accounts and memberships refer to it.';

-- A person's accounts, at most one per instance.
create table accounts (
    person_id bigint not null references people (id),
    instance_id bigint not null references instances (id),
    -- Its id there. Null until it is configured or seen. It does not change with the login.
    external_id text check (external_id <> ''),
    -- The login in the configuration, the one last seen at the instance, and all earlier ones.
    configured_login text not null check (configured_login = lower(configured_login)),
    login text not null check (login = lower(login)),
    other_logins text [] not null default '{}',
    primary key (person_id, instance_id),
    unique (instance_id, external_id)
);

-- A login alone identifies an account only until it was seen.
create unique index accounts_unseen_login_key on accounts (instance_id, configured_login) where external_id is null;

create function remember_other_logins()
returns trigger
language plpgsql
as $$
begin
    new.other_logins := array(
        select distinct l.login
        from unnest(new.other_logins || old.other_logins || old.configured_login || old.login) as l (login)
        where l.login not in (new.configured_login, new.login)
        order by l.login
    );
    return new;
end
$$;

comment on function remember_other_logins is 'Keeps the earlier logins of an account after any change.';

create trigger accounts_remember_other_logins
before update of configured_login, login, other_logins on accounts
for each row execute function remember_other_logins();

create table team_memberships (
    id bigint generated always as identity primary key,
    team_id bigint not null references teams (id),
    person_id bigint not null references people (id),
    -- A share of the person's work. Exact, never a binary float.
    weight numeric(5, 4) not null check (weight > 0 and weight <= 1),
    -- Half-open. Null means the beginning of time, or no end.
    joined_at timestamptz,
    left_at timestamptz,
    added_in bigint not null references configurations (revision),
    -- Corrected and removed memberships stay as history and no longer count.
    removed_in bigint references configurations (revision),
    check (joined_at < left_at),
    -- Single-number ranges work with the built-in GiST operator class, without an extension.
    constraint team_memberships_do_not_overlap exclude using gist (
        int8range(team_id, team_id, '[]') with &&,
        int8range(person_id, person_id, '[]') with &&,
        tstzrange(joined_at, left_at, '[)') with &&
    ) where (removed_in is null)
);

create index team_memberships_person_id_idx on team_memberships (person_id) where removed_in is null;

-- After a change of the teams file, stored pull requests are reattributed in steps. Until that is done, this lists the people
-- whose pull requests still count as before, with the affected teams.
create table reattributions (
    person_id bigint not null references people (id) on delete cascade,
    team_id bigint not null references teams (id),
    -- The person's last processed pull request, by the instant that decides about membership. The same in all rows of a person.
    done_at timestamptz not null default '-infinity',
    done_id bigint not null default 0,
    primary key (person_id, team_id),
    -- To look up whether a team is affected.
    unique (team_id, person_id)
);

-- Patterns whose repositories could not all be listed at the last attempt, and why.
create table incomplete_patterns (
    pattern text primary key,
    reason text not null
);

comment on table incomplete_patterns is
'Patterns whose repositories could not all be listed at the last attempt. Patterns that are no longer configured do not count.';

create table retention (
    is_only_row boolean primary key default true check (is_only_row),
    kept_since timestamptz not null
);

comment on table retention is 'Pull requests merged or closed before kept_since are deleted and not stored again.';

-- How old a program may be to work with this schema. The previous release always works, because new migrations only add. A
-- migration that removes something that older programs need raises `least_migration` to the migration that a program must know.
-- A collector that does not know it refuses to work, and an API reports it in its health.
create table schema_requirements (
    is_only_row boolean primary key default true check (is_only_row),
    least_migration bigint not null
);

insert into schema_requirements (least_migration) values (20261128200000);

comment on table schema_requirements is 'The migration that a program must know to work with this schema.';

create function knows_timezone(name text)
returns boolean
language plpgsql stable
as $$
begin
    perform timezone(name, now());
    return true;
exception when invalid_parameter_value then
    return false;
end
$$;

comment on function knows_timezone is 'Whether the server knows a time zone with this name.';
