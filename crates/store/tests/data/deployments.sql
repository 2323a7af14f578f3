update pull_requests set delivered_at = '2026-01-06 12:05Z', merge_commit = repeat('0', 39) || '2' where number = 1;
update pr_attributions
set delivered_at = '2026-01-06 12:05Z', lead_seconds = 7200, deploy_seconds = 3900
where pull_request_id = 1;
update services set has_facts = true;
insert into services (slug, name) values ('old', 'Old');
insert into service_repositories (service_id, repository) select id, 'acme/gone' from services where slug = 'old';
insert into service_owners (service_id, team_id, weight, added_in) select id, 1, 0.5, 1 from services where slug = 'old';
update services set archived_at = '2026-01-02' where slug = 'old';
insert into deployments (
    service_id, source, instance_id, repository_id, external_id, node_id, listed_environment, environment, environment_group,
    created_at, states_read_at, outcome, succeeded_at, failed_at
)
select
    s.id, 'github-deployments', 1, 1, d.external_id, 'DE_' || d.external_id, 'production', 'production', 'production',
    d.at::timestamptz, '2026-01-07', d.outcome, case d.outcome when 'succeeded' then d.at::timestamptz end,
    case d.outcome when 'failed' then d.at::timestamptz end
from services as s
cross join (values
    ('5000000001', '2026-01-05 12:05Z', 'succeeded'), ('5000000002', '2026-01-06 12:05Z', 'succeeded'),
    ('5000000003', '2026-01-06 13:05Z', 'failed')
) as d (external_id, at, outcome)
where s.repository_id = 1
order by d.external_id;
insert into deployment_revisions (deployment_id, repository_id, oid)
select id, 1, decode(lpad(id::text, 40, '0'), 'hex') from deployments;
insert into deployment_states (deployment_id, at, state)
select id, coalesce(succeeded_at, failed_at), case outcome when 'failed' then 'failure' else 'success' end from deployments;
insert into commits (repository_id, oid, parents, committed_at) values
(1, decode(lpad('1', 40, '0'), 'hex'), '{}', '2026-01-05 11:00Z'),
(1, decode(lpad('2', 40, '0'), 'hex'), array[decode(lpad('1', 40, '0'), 'hex')], '2026-01-06 11:00Z');
insert into open_commits (repository_id, oid, committed_at) values (1, decode(lpad('9', 40, '0'), 'hex'), '2025-01-05 11:00Z');
insert into deployment_progress (repository_id, covered_since, read_at) values (1, '2025-07-10', '2026-01-07');
insert into incident_progress (repository_id, label, read_at) values (1, 'incident', '2026-01-07');
insert into deployment_facts (
    deployment_id, service_id, succeeded_at, finished_at, kind, is_known, has_new_commits, is_after_unknown, pull_requests
)
select
    d.id, d.service_id, d.succeeded_at, coalesce(d.succeeded_at, d.failed_at),
    case d.id when 1 then 'first' when 2 then 'change' end, true, d.id < 3, false, case d.id when 2 then 1 else 0 end
from deployments as d;
insert into deployment_failures (deployment_id, reason) values (2, 'incident');
insert into pr_deliveries (pull_request_id, service_id, deployment_id, delivered_at, via)
select 1, service_id, 2, '2026-01-06 12:05Z', 'merge_commit' from deployments where id = 2;
insert into deployment_attempts (deployment_id, pull_request_id) values (3, 1);
insert into deployment_shares (basis, team_id, deployment_id, share, service_id, succeeded_at, finished_at, kind, rework)
select 'delivered', 1, 2, 0.5, service_id, succeeded_at, succeeded_at, 'change', '{}' from deployments where id = 2;
insert into incidents (service_id, source, external_id, title, started_at)
select service_id, 'events', 'I1', 'Down', '2026-01-06 12:30Z' from deployments where id = 2;
insert into incident_states (incident_id, at, state) values (1, '2026-01-06 12:30Z', 'opened'), (1, '2026-01-06 13:30Z', 'resolved');
insert into incident_facts (incident_id, service_id, started_at, resolved_at, deployment_id, rule)
select 1, service_id, '2026-01-06 12:30Z', '2026-01-06 13:30Z', 2, 'window' from deployments where id = 2;
