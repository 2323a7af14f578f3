-- How many people are behind each duration of a team ($1) in [$2, $3), zone $4, in the buckets (unit $5) that begin on the days
-- of $8 to $11. Repositories $6, base branch $7. Buckets are those of team_statistics.
select
    count(distinct m.author_id) filter (where m.cycle_is_known and m.bucket = any($8::date [])) as "cycle!",
    count(distinct m.author_id) filter (where m.coding_seconds is not null and m.bucket = any($9::date [])) as "coding!",
    count(distinct m.author_id) filter (where m.pickup_seconds is not null and m.bucket = any($10::date [])) as "pickup!",
    count(distinct m.author_id) filter (where m.review_seconds is not null and m.bucket = any($11::date [])) as "review!"
from (
    select
        greatest(date_trunc($5, a.merged_at at time zone $4), date_trunc($5, $2::timestamptz at time zone $4))::date as bucket,
        a.author_id,
        a.merged_at >= a.created_at as cycle_is_known,
        a.coding_seconds,
        a.pickup_seconds,
        a.review_seconds
    from pr_attributions as a
    where
        a.team_id = $1
        and a.merged_at >= $2
        and a.merged_at < $3
        and ($6::bigint [] is null or a.repository_id = any($6))
        and (
            $7::text is null
            or (select p.base_ref from pull_requests as p where p.id = a.pull_request_id) = $7
        )
) as m
