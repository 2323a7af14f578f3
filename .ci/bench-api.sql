-- 200 teams of 8 people with :rows attributions over the last :years years, evenly, ending now, and the pull requests of
-- them with their reviews. As a replica, no reference is checked, for which it needs a superuser.
\set ON_ERROR_STOP on
set session_replication_role = replica;
set synchronous_commit = off;
select setseed(0.5);
insert into configurations (applied_at, timezone, bots, goals, metrics)
values (
    now(), 'Europe/Oslo', '{}',
    '[
        {"id": "merged-in-two-days", "form": "share", "measure": "cycle_time", "within_hours": 48, "share": 0.8},
        {"id": "no-old-ones", "form": "each", "measure": "age", "within_hours": 168}
    ]',
    '[
        {
            "id": "fast", "name": "Fast", "of": "pull_requests", "statistic": "share", "by": "week",
            "when": {"fields": {"ranges": {"cycle_time": {"at_most": 48}}}}, "than": {"fields": {}}
        },
        {"id": "wait", "name": "Wait", "of": "pull_requests", "statistic": "p75", "measure": "pickup", "by": "week"}
    ]'
);
insert into teams (slug, name, created_at) select 'team-' || n, 'Team ' || n, now() from generate_series(1, 200) as n;
insert into people select from generate_series(1, 1600);
insert into accounts (person_id, instance_id, configured_login, login)
select n, 1, 'person-' || n, 'person-' || n from generate_series(1, 1600) as n;
insert into repositories (name, added_at, external_id, collected_at, covered_since)
select 'acme/repo-' || n, now(), n, now(), '2010-01-01' from generate_series(1, 100) as n;
insert into team_memberships (team_id, person_id, weight, added_in)
select 1 + (n - 1) / 8, n, 1, 1 from generate_series(1, 1600) as n;

-- A year of runs; the last ones changed nothing.
insert into collection_runs (started_at, finished_at, state, configuration_revision, planned)
select now() - (1000 - n) * interval '8 hours', now() - (1000 - n) * interval '8 hours', 'succeeded', 1, 100
from generate_series(1, 1000) as n;
insert into collection_results (
    tenant_id, run_id, repository_id, state, started_at, duration_seconds, requests, pages,
    listed, kept, skipped_ghost, skipped_bot, skipped_not_a_member, quarantined, changed
)
select r.tenant_id, r.id, n, 'succeeded', r.started_at, 1, 1, 1, 0, 0, 0, 0, 0, 0, case when r.id < 990 then (r.id + n) % 3 else 0 end
from collection_runs as r
cross join generate_series(1, 100) as n;

-- Six of ten count in full, the others by a half or a quarter; a third have no reviews, a fifth no commits. Nine of ten were
-- delivered, within three days.
insert into pr_attributions (
    tenant_id, pull_request_id, team_id, membership_id, weight, repository_id, author_id,
    created_at, closed_at, merged_at, coding_seconds, pickup_seconds, review_seconds, delivered_at, lead_seconds, deploy_seconds
)
select
    1, n, team, author, case when share < 0.6 then 1 when share < 0.85 then 0.5 else 0.25 end, 1 + n % 100, author,
    merged_at - make_interval(secs => seconds), merged_at, merged_at,
    case when known < 0.8 then seconds * 0.3 end,
    case when known < 0.67 then seconds * 0.2 end,
    case when known < 0.67 then seconds * 0.5 end,
    case when delay < 0.9 then merged_at + delay * interval '80 hours' end,
    case when delay < 0.9 and known < 0.8 then seconds * 1.3 + delay * 288000 end,
    case when delay < 0.9 then delay * 288000 end
from (
    select n, team, (team - 1) * 8 + 1 + floor(random() * 8)::int as author, share, known, delay, seconds, merged_at
    from (
        select
            n,
            1 + floor(random() * 200)::int as team,
            random() as share,
            random() as known,
            random() as delay,
            -ln(1 - random()) * 90000 as seconds,
            now() - make_interval(secs => (:rows - n) * (86400.0 * 365.25 * :years / :rows)) as merged_at
        from generate_series(1, :rows) as n
    ) as drawn
) as attributed;
-- One of a thousand is still open. Each has a review by somebody of the same team, one of eight is by its author and thus none.
insert into pull_requests (
    tenant_id, id, repository_id, number, instance_id, external_id, author_id, title, state, is_draft, base_ref,
    created_at, updated_at, closed_at, merged_at, detailed_at, first_commit_at, first_review_at, additions, deletions,
    reviews_at, delivered_at
)
overriding system value
select
    1, a.pull_request_id, a.repository_id, a.pull_request_id, 1, a.pull_request_id, a.author_id, 'Change ' || a.pull_request_id,
    case when a.pull_request_id % 1000 = 0 then 'open' else 'merged' end, false, 'main', a.created_at, a.merged_at,
    case when a.pull_request_id % 1000 <> 0 then a.merged_at end, case when a.pull_request_id % 1000 <> 0 then a.merged_at end,
    a.merged_at, a.created_at - make_interval(secs => a.coding_seconds),
    a.created_at + make_interval(secs => a.pickup_seconds), (a.pull_request_id * 37 % 900)::int, (a.pull_request_id * 11 % 300)::int,
    a.merged_at, a.delivered_at
from pr_attributions as a;
update pr_attributions set merged_at = null, closed_at = null where pull_request_id % 1000 = 0;
insert into pull_request_reviews (tenant_id, pull_request_id, place, author_id, reviewer_id, submitted_at)
select 1, p.id, 1, p.author_id, r.reviewer_id, p.first_review_at
from pull_requests as p
cross join lateral (select (p.author_id - 1) / 8 * 8 + 1 + p.id % 8 as reviewer_id) as r
where p.first_review_at is not null and r.reviewer_id <> p.author_id;
-- Index-only scans need the visibility map; in production autovacuum maintains it.
vacuum (analyze);
checkpoint;
