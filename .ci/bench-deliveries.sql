-- After bench-api.sql: :deployments deployments of 200 services over the last :years years. Each is shared by two teams; one of
-- twenty failed, one of thirty-three caused an incident or was rolled back. What was not delivered waits.
\set ON_ERROR_STOP on
set session_replication_role = replica;
set synchronous_commit = off;
insert into services (slug, name, place, has_facts)
select 'service-' || n, 'Service ' || n, n, true from generate_series(1, 200) as n;
create temporary table drawn as
select
    n, 1 + n % 200 as service, now() - make_interval(secs => (:deployments - n) * (86400.0 * 365.25 * :years / :deployments)) as at,
    n % 20 = 0 as is_failed, case when n % 20 <> 0 and n % 33 = 0 then (array['incident', 'rolled_back'])[1 + n / 33 % 2] end as reason
from generate_series(1, :deployments) as n;
insert into deployments (
    service_id, source, external_id, listed_environment, environment, environment_group, created_at, outcome, succeeded_at, failed_at
)
select
    service, 'events', n, 'production', 'production', 'production', at, case when is_failed then 'failed' else 'succeeded' end,
    case when not is_failed then at end, case when is_failed then at end
from drawn
order by n;
insert into deployment_facts (
    deployment_id, service_id, succeeded_at, finished_at, kind, is_known, has_new_commits, is_after_unknown, pull_requests, rework
)
select n, service, case when not is_failed then at end, at, case when not is_failed then 'change' end, true, true, false, 9, '{}'
from drawn;
insert into deployment_shares (basis, team_id, deployment_id, share, service_id, succeeded_at, finished_at, kind, rework)
select
    'delivered', 1 + (service + part - 1) % 200, n, (array[0.7, 0.3])[part], service, case when not is_failed then at end, at,
    case when not is_failed then 'change' end, '{}'
from drawn
cross join generate_series(1, 2) as part;
insert into deployment_failures (deployment_id, reason, remedied_by_id, remedied_at)
select n, reason, n + 200, at + interval '2 hours' from drawn where reason is not null;
insert into incidents (service_id, source, external_id, title, started_at)
select service, 'events', n, 'Down', at from drawn where reason = 'incident' order by n;
insert into incident_facts (incident_id, service_id, started_at, resolved_at, deployment_id, rule)
select i.id, d.service, d.at, d.at + interval '2 hours', d.n, 'window'
from incidents as i inner join drawn as d on i.external_id = d.n::text;
insert into pr_deliveries (pull_request_id, service_id, missing)
select pull_request_id, team_id, 'not_deployed_yet' from pr_attributions where delivered_at is null;
vacuum (analyze);
checkpoint;
