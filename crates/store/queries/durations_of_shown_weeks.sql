-- The durations of a team's ($1; null for the organization) pull requests merged in [$2, $3) without those of hidden weeks: a row
-- for each kind that there is. The kinds $5 are hidden in the weeks in zone $4 that begin on the days $6. With $7 each pull request
-- has the weight 1. Weeks, kinds and formulas are those of merge_statistics.
select
    d.kind as "kind!",
    count(*) as "n!",
    sum(m.units) as "units!",
    count(distinct m.author_id) as "contributors!",
    sum(d.seconds * m.units) / sum(m.units) as mean,
    weighted_percentiles(
        array_agg(weighted_sample(d.seconds, m.units) order by weighted_sample(d.seconds, m.units) desc),
        sum(m.units),
        array[0.5, 0.75, 0.9, 0.95]
    ) as percentiles,
    median_interval(array_agg(weighted_sample(d.seconds, m.units) order by weighted_sample(d.seconds, m.units) desc)) as median_interval
from (
    select
        greatest(date_trunc('week', a.merged_at at time zone $4), date_trunc('week', $2::timestamptz at time zone $4))::date as week,
        a.author_id,
        case when $7::boolean then 10000 else (a.weight * 10000)::integer end as units,
        a.cycle_seconds,
        a.coding_seconds,
        a.pickup_seconds,
        a.review_seconds,
        a.deploy_seconds
    from pr_attributions as a
    where a.team_id = $1 and a.merged_at >= $2 and a.merged_at < $3
    union all
    select
        greatest(date_trunc('week', p.merged_at at time zone $4), date_trunc('week', $2::timestamptz at time zone $4))::date,
        p.author_id,
        10000,
        p.cycle_seconds,
        p.coding_seconds,
        p.pickup_seconds,
        p.review_seconds,
        deploy_seconds(p)
    from pull_requests as p
    where $1::bigint is null and p.deleted_at is null and p.merged_at >= $2 and p.merged_at < $3
) as m
cross join lateral (
    values
    ('cycle_time', m.cycle_seconds),
    ('coding', m.coding_seconds),
    ('pickup', m.pickup_seconds),
    ('review', m.review_seconds),
    ('deploy', m.deploy_seconds)
) as d (kind, seconds)
where
    d.seconds is not null
    and (d.kind, m.week) not in (select h.kind, h.week from unnest($5::text [], $6::date []) as h (kind, week))
group by d.kind
