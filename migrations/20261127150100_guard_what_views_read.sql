-- The function of the views has its owner's rights, and anybody may call a function: it looks itself whether the login may read
-- one of the views. Whoever reads a view calls the functions in it as themselves, so a grant on the function would be one more
-- to forget.
create or replace function team_bucket(team bigint, unit text, bucket_start date)
returns table (
    prs_merged bigint,
    prs_merged_weighted numeric,
    contributors bigint,
    cycle_n bigint,
    cycle_weight numeric,
    cycle_mean double precision,
    cycle_percentiles double precision [],
    coding_n bigint,
    coding_weight numeric,
    coding_mean double precision,
    coding_percentiles double precision [],
    pickup_n bigint,
    pickup_weight numeric,
    pickup_mean double precision,
    pickup_percentiles double precision [],
    review_n bigint,
    review_weight numeric,
    review_mean double precision,
    review_percentiles double precision []
)
language plpgsql stable parallel safe security definer rows 1 cost 1000
as $$
declare
    zone text;
    group_size integer;
    may_show boolean;
    bucket_end date := bucket_start + case unit when 'month' then interval '1 month' else interval '7 days' end;
begin
    if not (
        has_table_privilege(session_user, 'view_team_velocity', 'select')
        or has_table_privilege(session_user, 'view_dora_lead_time', 'select')
        or has_table_privilege(session_user, 'view_team_phases', 'select')
    ) then
        raise insufficient_privilege using message = format('permission denied for the numbers of teams: %s may not read their views', session_user);
    end if;
    select c.timezone, c.min_group_size into zone, group_size from configuration_in_force as c;
    may_show := group_size = 0 or (unit = 'week' and bucket_end::timestamp at time zone zone <= now());
    return query
    select
        s.prs_merged, s.prs_merged_weighted, s.contributors,
        s.cycle_n, s.cycle_weight,
        case when may_show and s.cycle_contributors >= group_size then s.cycle_mean end,
        case when may_show and s.cycle_contributors >= group_size then s.cycle_percentiles end,
        s.coding_n, s.coding_weight,
        case when may_show and s.coding_contributors >= group_size then s.coding_mean end,
        case when may_show and s.coding_contributors >= group_size then s.coding_percentiles end,
        s.pickup_n, s.pickup_weight,
        case when may_show and s.pickup_contributors >= group_size then s.pickup_mean end,
        case when may_show and s.pickup_contributors >= group_size then s.pickup_percentiles end,
        s.review_n, s.review_weight,
        case when may_show and s.review_contributors >= group_size then s.review_mean end,
        case when may_show and s.review_contributors >= group_size then s.review_percentiles end
    -- A day more on both sides, of which the bucket takes what is its own by local time: where clocks change at midnight, an
    -- instant can stand for two local times.
    from team_statistics(
        team,
        (bucket_start - 1)::timestamp at time zone zone,
        (bucket_end + 1)::timestamp at time zone zone,
        zone,
        unit,
        counts_people => group_size > 0
    ) as s
    where s.bucket = bucket_start;
end
$$;

-- As before: replacing a function takes its settings away.
alter function team_bucket(bigint, text, date) set plan_cache_mode = force_generic_plan;
alter function team_bucket(bigint, text, date) set jit = off;
do $$ begin
    execute format('alter function team_bucket(bigint, text, date) set search_path = %I, pg_temp', current_schema());
end $$;

create or replace view pr_metrics as
select
    a.team_id,
    t.slug as team,
    a.pull_request_id,
    coalesce(r.current_name, r.name) as repository,
    p.number,
    p.title,
    h.login as author,
    a.membership_id,
    a.weight,
    p.state,
    p.is_draft,
    p.base_ref,
    p.created_at,
    p.updated_at,
    p.closed_at,
    -- Of the attribution, which has an index by team and merge: a filter on both reads what it leaves, and no more.
    a.merged_at,
    coalesce(p.merged_at, p.closed_at, p.created_at) as attributed_at,
    case when p.merged_at >= p.created_at then extract(epoch from p.merged_at - p.created_at)::double precision end
        as cycle_time_seconds,
    coalesce(p.merged_at < p.created_at, false) as is_merged_before_creation,
    p.first_commit_at,
    p.ready_at,
    p.first_review_at,
    p.first_approval_at,
    p.coding_seconds,
    p.pickup_seconds,
    p.review_seconds,
    null::double precision as deploy_seconds,
    p.additions,
    p.deletions,
    p.changed_files,
    p.merge_commit,
    pull_request_flags(p) as flags
from pr_attributions as a
inner join pull_requests as p on a.pull_request_id = p.id
inner join teams as t on a.team_id = t.id
inner join repositories as r on a.repository_id = r.id
inner join people as h on a.author_id = h.id;
