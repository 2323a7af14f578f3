-- The durations of a team's ($1) pull requests merged in [$2, $3) without those of hidden weeks: a row for each kind that there
-- is. Hidden are the weeks in zone $4 that begin on the days of $5 (cycle times), $6 (coding), $7 (pickup) and $8 (review). With
-- $9 each pull request has the weight 1. Weeks and formulas are those of team_statistics.
select
    d.kind as "kind!",
    count(*) as "n!",
    sum(m.units) as "units!",
    count(distinct m.author_id) as "contributors!",
    sum(d.seconds * m.units) / sum(m.units) as mean,
    weighted_percentiles(
        array_agg(weighted_sample(d.seconds, m.units) order by weighted_sample(d.seconds, m.units)),
        array[0.5, 0.75, 0.9, 0.95]
    ) as percentiles
from (
    select
        greatest(date_trunc('week', a.merged_at at time zone $4), date_trunc('week', $2::timestamptz at time zone $4))::date as week,
        a.author_id,
        case when $9::boolean then 10000 else (a.weight * 10000)::integer end as units,
        a.cycle_seconds as cycle,
        a.coding_seconds,
        a.pickup_seconds,
        a.review_seconds
    from pr_attributions as a
    where a.team_id = $1 and a.merged_at >= $2 and a.merged_at < $3
) as m
cross join lateral (
    values
    ('cycle', m.cycle, $5::date []),
    ('coding', m.coding_seconds, $6::date []),
    ('pickup', m.pickup_seconds, $7::date []),
    ('review', m.review_seconds, $8::date [])
) as d (kind, seconds, hidden_weeks)
where d.seconds is not null and m.week <> all(d.hidden_weeks)
group by d.kind
