-- What could not be read is known by its number or by its place, and may be accepted; a backfill counts what it has seen.

alter table quarantined_pull_requests
-- The place in the list by creation, from 1, of a row that GitHub cannot show: its number is not known.
add column position integer check (position > 0),
-- It was opened then or later: its own time, or that of the pull request before it. Null when neither is known.
add column created_from timestamptz,
-- Somebody has accepted that it is missing: buckets are called complete without it.
add column accepted_at timestamptz;

update quarantined_pull_requests as q
set created_from = (
    select p.created_at from pull_requests as p
    where p.repository_id = q.repository_id and p.number < q.number
    order by p.number desc
    limit 1
);

alter table repositories
-- The length of the list when the backfill began, when the newest of its pull requests was opened, and how many of them it has
-- seen: with fewer in the end, one has vanished meanwhile, others have moved up, and it is read again.
add column backfill_length integer,
add column backfill_newest timestamptz,
add column backfill_seen integer not null default 0,
-- How often it was begun, the first time included.
add column backfill_readings smallint not null default 0,
-- False while pull requests are switched off in its settings: it is complete without any.
add column has_pull_requests boolean not null default true;
