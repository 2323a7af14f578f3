-- A changed teams file attributes stored pull requests again in steps. Until that is done, these are the people whose pull
-- requests still count as before, with the teams for which that makes a difference.
create table reattributions (
    person_id bigint not null references people (id) on delete cascade,
    team_id bigint not null references teams (id),
    -- The last pull request of the person that is done, by the instant that decides about membership. All rows of a person say
    -- the same.
    done_at timestamptz not null default '-infinity',
    done_id bigint not null default 0,
    primary key (person_id, team_id),
    -- For the question whether a team is concerned.
    unique (team_id, person_id)
);

-- What is still counted as before is not complete.
create or replace view team_buckets as
select
    t.id as team_id,
    t.slug as team,
    u.unit,
    b.bucket::date as bucket_start,
    coalesce(
        (b.bucket + ('1 ' || u.unit)::interval) at time zone c.timezone <= k.complete_until
        and b.bucket at time zone c.timezone >= k.covered_since
        and not m.is_reattributing,
        false
    ) as is_complete
from teams as t
cross join configuration_in_force as c
cross join collection_coverage as k
cross join (values ('week'), ('month')) as u (unit)
cross join lateral (
    select min(a.merged_at) as merged_at from pr_attributions as a where a.team_id = t.id and a.merged_at is not null
) as first_merge
cross join lateral (
    select exists (select from reattributions as r where r.team_id = t.id) as is_reattributing
) as m
cross join lateral generate_series(
    date_trunc(u.unit, first_merge.merged_at at time zone c.timezone),
    now() at time zone c.timezone,
    ('1 ' || u.unit)::interval
) as b (bucket);
