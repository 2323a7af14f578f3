-- One row with everything that a teams file is compared with, as of one instant: a comparison needs no lock to see what
-- belongs together. JSON, with times in microseconds. And the first of these names of a time zone ($1) that this database knows.
select
    (
        select w.name
        from unnest($1::text []) with ordinality as w (name, place)
        where knows_timezone(w.name)
        order by w.place
        limit 1
    ) as timezone,
    (
        select json_build_array(
            c.timezone, c.bots, c.repository_rules, c.includes_archived, c.min_group_size, c.delivery, c.access,
            c.goals, c.investment, c.channels, c.metrics
        )
        from configuration_in_force as c
    ) as "settings: Json<SettingsRow>",
    (select min(r.covered_since) from repositories as r where r.removed_at is null) as read_since,
    (
        select coalesce(json_agg(json_build_array(r.name, r.current_name, r.pattern is not null) order by r.id), '[]')
        from repositories as r
        where r.removed_at is null
    ) as "repositories!: Json<Vec<RepositoryRow>>",
    (
        select
            coalesce(
                json_agg(
                    json_build_array(a.person_id, i.forge, a.external_id, a.configured_login, a.login, a.other_logins)
                    order by a.person_id, a.instance_id
                ),
                '[]'
            )
        from accounts as a
        inner join instances as i on a.instance_id = i.id
    ) as "accounts!: Json<Vec<AccountRow>>",
    (select json_agg(json_build_array(i.forge, i.base_url) order by i.id) from instances as i) as "instances!: Json<Vec<InstanceRow>>",
    (
        select
            coalesce(
                json_agg(
                    json_build_array(
                        m.id,
                        m.team_id,
                        m.person_id,
                        (m.weight * 10000)::integer,
                        (extract(epoch from m.joined_at) * 1000000)::bigint,
                        (extract(epoch from m.left_at) * 1000000)::bigint
                    )
                    order by m.id
                ),
                '[]'
            )
        from team_memberships as m
        where m.removed_in is null
    ) as "memberships!: Json<Vec<MembershipRow>>",
    (
        select
            coalesce(
                json_agg(
                    json_build_array(
                        t.id,
                        t.slug,
                        t.name,
                        t.archived_at is not null,
                        -- Each has an index of its own.
                        exists (select from pr_attributions as a where a.team_id = t.id and a.merged_at is not null)
                        or exists (select from pr_attributions as a where a.team_id = t.id and a.closed_at is null)
                        -- What is still to be attributed may be for it.
                        or exists (select from reattributions as a where a.team_id = t.id)
                    )
                    order by t.id
                ),
                '[]'
            )
        from teams as t
    ) as "teams!: Json<Vec<TeamRow>>"
