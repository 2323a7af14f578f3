insert into pull_requests (
    repository_id, instance_id, number, external_id, author_id, title, state, is_draft, base_ref, created_at, updated_at, closed_at, merged_at
) values
(1, 1, 1, '3000000001', 1, 'Merged', 'merged', false, 'main', '2026-01-05 09:00Z', '2026-01-06 11:00:01Z', '2026-01-06 11:00:01Z', '2026-01-06 11:00Z'),
(1, 1, 2, '3000000002', 1, 'Open', 'open', true, null, '2026-01-05 09:00Z', '2026-01-05 09:00Z', null, null);
insert into pr_attributions (
    pull_request_id, team_id, membership_id, weight, repository_id, author_id, created_at, closed_at, merged_at
)
select id, 1, 1, 0.5, repository_id, author_id, created_at, closed_at, merged_at from pull_requests;
