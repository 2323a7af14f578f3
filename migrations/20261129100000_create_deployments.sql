-- Services, their deployments with the commits that those contain, incidents, and what is derived from them.

-- What is deployed and fails as one. Each repository is one, which counts while no service of the teams file has the repository.
create table services (
    tenant_id integer not null default current_tenant() references tenants (id),
    id bigint generated always as identity,
    -- The short name of a service of the teams file. It has a letter, so that it cannot be confused with an id.
    slug text check (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$' and slug ~ '[a-z]'),
    name text,
    -- The repository that is a service by itself.
    repository_id bigint,
    -- Its place in the file. Of several services that may take a deployment, the first one does.
    place integer not null default 0,
    -- Names and patterns of its production environments. Null for those of the configuration.
    environments text [],
    -- Set when a service is removed from the file. Its past stays.
    archived_at timestamptz,
    -- Whether it ever had a deployment or an incident. While not, nothing is derived for it.
    has_facts boolean not null default false,
    -- Raised with every change of the data behind responses about the service.
    data_version bigint not null default 0,
    primary key (tenant_id, id),
    unique (tenant_id, slug),
    unique (tenant_id, repository_id),
    foreign key (tenant_id, repository_id) references repositories (tenant_id, id) on delete cascade,
    check ((slug is null) = (repository_id is not null)),
    check ((slug is null) = (name is null))
);

comment on table services is 'What is deployed and fails as one: a service of the teams file, or a repository that none of them has.';

-- The repositories of a service of the file.
create table service_repositories (
    tenant_id integer not null default current_tenant(),
    service_id bigint not null,
    -- owner/name in the file, in lower case.
    repository text not null check (repository = lower(repository)),
    primary key (tenant_id, service_id, repository),
    foreign key (tenant_id, service_id) references services (tenant_id, id)
);

-- Which teams own a service, and when. Corrected ones stay as history.
create table service_owners (
    tenant_id integer not null default current_tenant(),
    id bigint generated always as identity,
    service_id bigint not null,
    team_id bigint not null,
    weight numeric(5, 4) not null check (weight > 0 and weight <= 1),
    -- Half-open. Null means the beginning of time, or no end.
    owned_from timestamptz,
    owned_to timestamptz,
    added_in bigint not null,
    removed_in bigint,
    primary key (tenant_id, id),
    foreign key (tenant_id, service_id) references services (tenant_id, id),
    foreign key (tenant_id, team_id) references teams (tenant_id, id),
    foreign key (tenant_id, added_in) references configurations (tenant_id, revision),
    foreign key (tenant_id, removed_in) references configurations (tenant_id, revision),
    check (owned_from < owned_to),
    constraint service_owners_do_not_overlap exclude using gist (
        int4range(tenant_id, tenant_id, '[]') with &&,
        int8range(service_id, service_id, '[]') with &&,
        int8range(team_id, team_id, '[]') with &&,
        tstzrange(owned_from, owned_to, '[)') with &&
    ) where (removed_in is null)
);

-- Attempts to bring commits into an environment, as their sources tell them.
create table deployments (
    tenant_id integer not null default current_tenant(),
    id bigint generated always as identity,
    -- Follows from the configuration: the first service of its repository that has its environment.
    service_id bigint not null,
    source text not null
    check (source in ('github-deployments', 'github-actions', 'github-releases', 'merges', 'events')),
    -- The instance and the repository that list it. Null if it was posted.
    instance_id bigint,
    repository_id bigint,
    -- Its id at its source.
    external_id text not null check (external_id <> ''),
    -- The id by which its states are read, if they are read apart.
    node_id text,
    -- The environment that its source listed last, and what its states made of it: the one of the last success counts.
    listed_environment text not null,
    environment text not null,
    -- Follows from the environment and the configuration: production, transient, or other:name.
    environment_group text not null check (environment_group in ('production', 'transient') or environment_group like 'other:%'),
    -- What its creator says about the environment. Often wrong.
    is_production boolean,
    is_transient boolean not null default false,
    version text,
    url text,
    is_declared_failed boolean not null default false,
    is_declared_rework boolean not null default false,
    -- The id at its source of the deployment that it remedies.
    remedies text,
    created_at timestamptz not null,
    -- When its states were last read. Null if never.
    states_read_at timestamptz,
    -- Set when its source no longer has it. It then does not count.
    deleted_at timestamptz,
    -- Follows from its states.
    outcome text not null default 'unfinished' check (outcome in ('succeeded', 'failed', 'cancelled', 'unfinished')),
    -- The first success, and the first failure without one.
    succeeded_at timestamptz,
    failed_at timestamptz,
    -- The first failure after the success.
    failed_afterwards_at timestamptz,
    primary key (tenant_id, id),
    constraint deployments_source_key unique nulls not distinct (tenant_id, source, instance_id, external_id),
    foreign key (tenant_id, service_id) references services (tenant_id, id),
    foreign key (tenant_id, instance_id) references instances (tenant_id, id),
    foreign key (tenant_id, repository_id) references repositories (tenant_id, id),
    check ((outcome = 'succeeded') = (succeeded_at is not null)),
    check ((outcome = 'failed') = (failed_at is not null))
);

create index deployments_service_idx on deployments (tenant_id, service_id, environment_group);
create index deployments_repository_idx on deployments (tenant_id, repository_id, created_at);

comment on table deployments is 'Attempts to bring commits into an environment, as their sources tell them.';

-- The commits that a deployment brings, at most one of each repository. None if its source does not say.
create table deployment_revisions (
    tenant_id integer not null default current_tenant(),
    deployment_id bigint not null,
    repository_id bigint not null,
    oid bytea not null check (length(oid) in (20, 32)),
    primary key (tenant_id, deployment_id, repository_id),
    foreign key (tenant_id, deployment_id) references deployments (tenant_id, id),
    foreign key (tenant_id, repository_id) references repositories (tenant_id, id)
);

create index deployment_revisions_repository_idx on deployment_revisions (tenant_id, repository_id, oid);

-- The states that deployments have had. Only added to.
create table deployment_states (
    tenant_id integer not null default current_tenant(),
    deployment_id bigint not null,
    at timestamptz not null,
    state text not null check (state in ('in_progress', 'success', 'failure', 'cancelled', 'inactive')),
    -- The environment, if the source names one with the state.
    environment text,
    primary key (tenant_id, deployment_id, at, state),
    foreign key (tenant_id, deployment_id) references deployments (tenant_id, id)
);

-- The commits that deployments to production contain, down to the oldest of those that were deployed. Only added to: commits
-- never change. Each parent of a commit is stored, too, or is an open commit.
create table commits (
    tenant_id integer not null default current_tenant(),
    repository_id bigint not null,
    oid bytea not null check (length(oid) in (20, 32)),
    parents bytea [] not null,
    -- By the clock of the machine that made it.
    committed_at timestamptz not null,
    primary key (tenant_id, repository_id, oid),
    foreign key (tenant_id, repository_id) references repositories (tenant_id, id)
);

-- Commits that are known only as a deployed commit or a parent. Those that are not older than the floor must be read.
create table open_commits (
    tenant_id integer not null default current_tenant(),
    repository_id bigint not null,
    oid bytea not null check (length(oid) in (20, 32)),
    -- Null for a deployed commit that was not read yet.
    committed_at timestamptz,
    -- How often the source did not have it, and when it is asked again. Null after the last time.
    failures smallint not null default 0,
    retry_at timestamptz default '-infinity',
    primary key (tenant_id, repository_id, oid),
    foreign key (tenant_id, repository_id) references repositories (tenant_id, id)
);

-- How far the deployments of a repository are read.
create table deployment_progress (
    tenant_id integer not null default current_tenant(),
    repository_id bigint not null,
    etag text,
    etag_scope text,
    -- The first reading of the list: how far back it goes, when it started, and where it continues. Null when it is done.
    reading_since timestamptz,
    reading_started_at timestamptz,
    reading_cursor text,
    -- Everything that was created since then is stored.
    covered_since timestamptz,
    -- What was created before is listed completely.
    listed_at timestamptz,
    -- When the last complete reading of list, states and commits started.
    read_at timestamptz,
    -- Why it could not be read at the last attempt: a stable code and a sentence.
    problem text,
    problem_message text,
    primary key (tenant_id, repository_id),
    foreign key (tenant_id, repository_id) references repositories (tenant_id, id),
    check ((problem is null) = (problem_message is null)),
    check ((reading_since is null) = (reading_started_at is null))
);

-- The lists of incidents of a repository, one per label.
create table incident_progress (
    tenant_id integer not null default current_tenant(),
    repository_id bigint not null,
    label text not null,
    etag text,
    etag_scope text,
    -- When it was last read completely.
    read_at timestamptz,
    problem text,
    problem_message text,
    primary key (tenant_id, repository_id, label),
    foreign key (tenant_id, repository_id) references repositories (tenant_id, id),
    check ((problem is null) = (problem_message is null))
);

-- What a finished deployment did (delivery@1), and how it is judged. Derived data, replaced in the transaction that changes
-- its source.
create table deployment_facts (
    tenant_id integer not null default current_tenant(),
    deployment_id bigint not null,
    -- Copied from the deployment, so that one index covers a range without a join.
    service_id bigint not null,
    succeeded_at timestamptz,
    finished_at timestamptz not null,
    -- Null for a failed attempt that is no rollout.
    kind text check (kind in ('first', 'change', 'rollout', 'rollback', 'redeploy', 'unknown')),
    -- What a rollout repeats, and what was in force before.
    repeats_id bigint,
    replaces_id bigint,
    is_known boolean not null,
    has_new_commits boolean not null,
    is_after_unknown boolean not null,
    -- How many pull requests it delivered, or a failed attempt contained.
    pull_requests integer not null,
    rework text [] not null default '{}'
    check (rework <@ array['declared', 'rollback', 'revert', 'hotfix', 'incident_fix']),
    -- The deployment that says that it remedies this one.
    remedied_by_id bigint,
    remedied_at timestamptz,
    primary key (tenant_id, deployment_id),
    foreign key (tenant_id, deployment_id) references deployments (tenant_id, id),
    foreign key (tenant_id, service_id) references services (tenant_id, id),
    check ((remedied_by_id is null) = (remedied_at is null))
);

create index deployment_facts_finished_idx on deployment_facts (tenant_id, finished_at)
include (service_id, deployment_id, succeeded_at, kind, rework);
create index deployment_facts_remedied_idx on deployment_facts (tenant_id, remedied_at) where remedied_at is not null;
create index deployment_facts_service_idx on deployment_facts (tenant_id, service_id, finished_at)
include (deployment_id, succeeded_at, kind, rework);

-- Why a succeeded deployment failed, one row per reason. Derived.
create table deployment_failures (
    tenant_id integer not null default current_tenant(),
    deployment_id bigint not null,
    reason text not null check (reason in ('incident', 'rolled_back', 'reverted', 'failed_afterwards', 'declared')),
    -- The deployment that remedied it, if any did.
    remedied_by_id bigint,
    remedied_at timestamptz,
    primary key (tenant_id, deployment_id, reason),
    foreign key (tenant_id, deployment_id) references deployments (tenant_id, id),
    check ((remedied_by_id is null) = (remedied_at is null))
);

create index deployment_failures_remedied_idx on deployment_failures (tenant_id, remedied_at) where remedied_at is not null;

-- Which deployment delivered a merged pull request for a service, or why none did. Derived.
create table pr_deliveries (
    tenant_id integer not null default current_tenant(),
    pull_request_id bigint not null,
    service_id bigint not null,
    deployment_id bigint,
    delivered_at timestamptz,
    -- The commit by which it was recognized.
    via text check (via in ('merge_commit', 'head_commit')),
    -- not_collected: its details are not read yet.
    missing text check (missing in ('not_deployed_yet', 'before_first_deployment', 'unknown_history', 'not_collected')),
    primary key (tenant_id, service_id, pull_request_id),
    foreign key (tenant_id, pull_request_id) references pull_requests (tenant_id, id),
    foreign key (tenant_id, service_id) references services (tenant_id, id),
    foreign key (tenant_id, deployment_id) references deployments (tenant_id, id),
    check ((deployment_id is null) = (missing is not null)),
    check ((deployment_id is null) = (delivered_at is null))
);

create index pr_deliveries_pull_request_idx on pr_deliveries (tenant_id, pull_request_id);
create index pr_deliveries_deployment_idx on pr_deliveries (tenant_id, deployment_id) where deployment_id is not null;

-- The pull requests that a failed attempt contained and nothing had delivered before it. Derived.
create table deployment_attempts (
    tenant_id integer not null default current_tenant(),
    deployment_id bigint not null,
    pull_request_id bigint not null,
    primary key (tenant_id, deployment_id, pull_request_id),
    foreign key (tenant_id, deployment_id) references deployments (tenant_id, id),
    foreign key (tenant_id, pull_request_id) references pull_requests (tenant_id, id)
);

create index deployment_attempts_pull_request_idx on deployment_attempts (tenant_id, pull_request_id);

-- A team's part of a deployment. Derived. What belongs to no team is the difference to 1.
create table deployment_shares (
    tenant_id integer not null default current_tenant(),
    basis text not null check (basis in ('delivered', 'owned')),
    team_id bigint not null,
    deployment_id bigint not null,
    share numeric(9, 8) not null check (share > 0),
    -- Copied from the deployment.
    service_id bigint not null,
    succeeded_at timestamptz,
    finished_at timestamptz not null,
    kind text,
    rework text [] not null,
    primary key (tenant_id, basis, team_id, deployment_id),
    foreign key (tenant_id, deployment_id) references deployments (tenant_id, id),
    foreign key (tenant_id, team_id) references teams (tenant_id, id)
);

create index deployment_shares_deployment_idx on deployment_shares (tenant_id, deployment_id);
create index deployment_shares_finished_idx on deployment_shares (tenant_id, basis, team_id, finished_at)
include (deployment_id, service_id, share, succeeded_at, kind, rework);

-- What disturbed users, as its source tells it.
create table incidents (
    tenant_id integer not null default current_tenant(),
    id bigint generated always as identity,
    -- Null if no service is known.
    service_id bigint,
    source text not null check (source in ('github-issues', 'events', 'pagerduty', 'incident-io', 'grafana', 'generic')),
    instance_id bigint,
    repository_id bigint,
    external_id text not null check (external_id <> ''),
    -- Its number in its repository, if it is an issue.
    number bigint,
    title text not null,
    labels text [] not null default '{}',
    -- The word of the source, and what it means.
    source_severity text,
    severity text check (severity in ('critical', 'high', 'medium', 'low')),
    started_at timestamptz not null,
    url text,
    -- The deployment that its source names, and the one that a person set.
    named_deployment_id bigint,
    set_deployment_id bigint,
    merged_into_id bigint,
    -- Set when its source no longer lists it as an incident. It then does not count.
    withdrawn_at timestamptz,
    primary key (tenant_id, id),
    constraint incidents_source_key unique nulls not distinct (tenant_id, source, instance_id, external_id),
    foreign key (tenant_id, service_id) references services (tenant_id, id),
    foreign key (tenant_id, instance_id) references instances (tenant_id, id),
    foreign key (tenant_id, repository_id) references repositories (tenant_id, id),
    foreign key (tenant_id, named_deployment_id) references deployments (tenant_id, id),
    foreign key (tenant_id, set_deployment_id) references deployments (tenant_id, id),
    foreign key (tenant_id, merged_into_id) references incidents (tenant_id, id)
);

create index incidents_service_idx on incidents (tenant_id, service_id, started_at);

-- The states that incidents have had. Only added to.
create table incident_states (
    tenant_id integer not null default current_tenant(),
    incident_id bigint not null,
    at timestamptz not null,
    state text not null check (state in ('opened', 'resolved', 'reopened', 'dismissed', 'merged')),
    primary key (tenant_id, incident_id, at, state),
    foreign key (tenant_id, incident_id) references incidents (tenant_id, id)
);

-- An incident as it counts, and the deployment that it is linked to. Derived. Dismissed and merged ones have no row.
create table incident_facts (
    tenant_id integer not null default current_tenant(),
    incident_id bigint not null,
    service_id bigint,
    -- With the earliest start of those that were merged into it.
    started_at timestamptz not null,
    resolved_at timestamptz,
    severity text,
    deployment_id bigint,
    rule text check (rule in ('named', 'set', 'window')),
    primary key (tenant_id, incident_id),
    foreign key (tenant_id, incident_id) references incidents (tenant_id, id),
    foreign key (tenant_id, service_id) references services (tenant_id, id),
    foreign key (tenant_id, deployment_id) references deployments (tenant_id, id),
    check ((deployment_id is null) = (rule is null))
);

create index incident_facts_resolved_idx on incident_facts (tenant_id, resolved_at);
create index incident_facts_started_idx on incident_facts (tenant_id, started_at);
create index incident_facts_deployment_idx on incident_facts (tenant_id, deployment_id) where deployment_id is not null;

-- What details add for deliveries, and when the first service delivered the pull request.
alter table pull_requests
add column merge_committed_at timestamptz,
add column head_commit text,
add column head_ref text,
add column labels text [],
add column reverts bigint,
add column closes bigint [],
add column delivered_at timestamptz;

-- From the first commit to the delivery, and from the merge to it. Null if unknown or negative.
alter table pr_attributions
add column delivered_at timestamptz,
add column lead_seconds double precision,
add column deploy_seconds double precision;

alter table collection_results
add column deployments integer not null default 0,
add column commits integer not null default 0;

alter table configurations
-- Services, environments, windows and hotfixes, as in the teams file.
add column delivery jsonb not null default '{}';

create or replace view configuration_in_force as
select
    revision, applied_at, timezone, bots, repository_patterns, includes_archived, min_group_size, repository_rules, delivery
from configurations
order by revision desc
limit 1;

create function lead_seconds(p pull_requests)
returns double precision
language sql stable parallel safe
as $$
    select case when p.delivered_at >= p.first_commit_at
        then extract(epoch from p.delivered_at - p.first_commit_at)::double precision end
$$;

comment on function lead_seconds is 'From the first commit to the delivery (change_lead_time@1). Null if unknown or negative.';

create function deploy_seconds(p pull_requests)
returns double precision
language sql stable parallel safe
as $$
    select case when p.delivered_at >= p.merged_at
        then extract(epoch from p.delivered_at - p.merged_at)::double precision end
$$;

comment on function deploy_seconds is 'From the merge to the delivery. Null if unknown or negative.';

-- Each repository is a service by itself.
create function add_service() returns trigger language plpgsql as $$
begin
    insert into services (tenant_id, repository_id) values (new.tenant_id, new.id);
    return null;
end
$$;

comment on function add_service is 'Adds the service that a new repository is by itself.';

create trigger service_added after insert on repositories for each row execute function add_service();

do $$
declare
    before constant text := current_setting('app.tenant', true);
    of_tenant integer;
begin
    for of_tenant in select t.id from tenants as t order by t.id loop
        perform set_config('app.tenant', of_tenant::text, true);
        insert into services (tenant_id, repository_id) select r.tenant_id, r.id from repositories as r;
        -- The details of all pull requests are read again, for what they now have in addition.
        insert into reopened_histories (tenant_id, repository_id)
        select distinct p.tenant_id, p.repository_id
        from pull_requests as p
        where p.detailed_at is not null
        on conflict do nothing;
    end loop;
    perform set_config('app.tenant', coalesce(before, ''), true);
end $$;

create view services_in_force as
select
    s.id,
    coalesce(s.slug, replace(r.display_name, '/', '.')) as slug,
    coalesce(s.name, r.display_name) as name,
    s.repository_id is not null as is_implied,
    s.place,
    s.environments,
    s.has_facts,
    s.data_version
from services as s
left join repositories as r on s.repository_id = r.id
where
    s.archived_at is null
    and (
        s.repository_id is null
        or (
            r.removed_at is null
            and not exists (
                select from service_repositories as o
                inner join services as named on o.service_id = named.id
                where named.archived_at is null and o.repository in (r.name, r.current_name)
            )
        )
    );

comment on view services_in_force is 'Services of the teams file, and repositories that none of them has. One row per service.';

-- Which repositories a service has. One that is no longer collected stays with the services that have its deployments: its past
-- stays. A service may have one repository by two names.
create view repositories_of_services as
select s.id as service_id, r.id as repository_id
from services as s
inner join service_repositories as o on s.id = o.service_id
inner join repositories as r on o.repository in (r.name, r.current_name)
where s.archived_at is null
union
select d.service_id, d.repository_id
from deployments as d
inner join repositories as r on d.repository_id = r.id
where r.removed_at is not null
union
select s.id, s.repository_id
from services as s
inner join repositories as r on s.repository_id = r.id
where
    s.archived_at is null
    and not exists (
        select from service_repositories as o
        inner join services as named on o.service_id = named.id
        where named.archived_at is null and o.repository in (r.name, r.current_name)
    );

comment on view repositories_of_services is 'The repositories of each service.';

call separate_tenants(
    'services',
    'service_repositories',
    'service_owners',
    'deployments',
    'deployment_revisions',
    'deployment_states',
    'commits',
    'open_commits',
    'deployment_progress',
    'incident_progress',
    'deployment_facts',
    'deployment_failures',
    'pr_deliveries',
    'deployment_attempts',
    'deployment_shares',
    'incidents',
    'incident_states',
    'incident_facts'
);
