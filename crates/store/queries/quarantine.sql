-- Puts pull requests of a repository ($1) into quarantine, or notes that they are still there: numbers ($2), or positions ($3) and
-- the rows before ($4) with how many rows they are behind ($5); reasons ($6), since when they may have been opened ($7), now ($8).
-- Where that is not known, the stored one before it says it. The rows that follow ($9) are so many rows behind ($10). What was
-- accepted stays accepted where the same row follows as before. A clock may be behind the one by which the list's present reading
-- began: what that meets was not tried before it.
with tried as (
    select greatest($8::timestamptz, r.backfill_reading_at) as at from repositories as r where r.id = $1
),

items as (
    select
        i.number,
        i.position,
        i.after_number,
        i.rows_after,
        i.before_number,
        i.rows_before,
        i.reason,
        coalesce(
            i.created_from,
            (
                select p.created_at from pull_requests as p
                where p.repository_id = $1 and p.number < coalesce(i.number, i.after_number + 1)
                order by p.number desc
                limit 1
            )
        ) as created_from
    from
        unnest(
            $2::bigint [], $3::integer [], $4::bigint [], $5::integer [], $6::text [], $7::timestamptz [], $9::bigint [], $10::integer []
        ) as i (number, position, after_number, rows_after, reason, created_from, before_number, rows_before)
),
by_place as (
    insert into quarantined_pull_requests as q (
        repository_id, position, after_number, rows_after, before_number, rows_before, reason, created_from,
        first_seen_at, last_tried_at
    )
    select
        $1, i.position, i.after_number, i.rows_after, i.before_number, i.rows_before, i.reason, i.created_from,
        $8, t.at
    from items as i cross join tried as t
    where i.number is null
    on conflict (tenant_id, repository_id, after_number, rows_after) where number is null do update
    set
        position = excluded.position,
        before_number = excluded.before_number,
        rows_before = excluded.rows_before,
        accepted_at = case
            when
                (q.before_number, q.rows_before) is not distinct from (excluded.before_number, excluded.rows_before)
                then q.accepted_at
        end,
        reason = excluded.reason,
        created_from = coalesce(excluded.created_from, q.created_from),
        last_tried_at = excluded.last_tried_at,
        attempts = q.attempts + 1
    where q.last_tried_at < excluded.last_tried_at
)
insert into quarantined_pull_requests as q (repository_id, number, reason, created_from, first_seen_at, last_tried_at)
select $1, i.number, i.reason, i.created_from, $8, $8 from items as i where i.number is not null
on conflict (tenant_id, repository_id, number) do update
set
    reason = excluded.reason,
    created_from = coalesce(excluded.created_from, q.created_from),
    last_tried_at = excluded.last_tried_at,
    attempts = q.attempts + 1
where q.last_tried_at < excluded.last_tried_at
