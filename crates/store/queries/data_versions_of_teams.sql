-- What the numbers of these teams ($1, by slug) are known by: the version of each repository that something counts for one of
-- them in, and that of each team, which says that something has gone. A sum would miss that one repository fell by what another
-- one rose.
select concat_ws(
    ';',
    (
        select string_agg(r.id || ':' || r.data_version, ',' order by r.id)
        from repositories as r
        where exists (
            select from pr_attributions as a
            inner join teams as t on a.team_id = t.id
            where t.slug = any($1::text []) and a.repository_id = r.id
        )
    ),
    (select string_agg(t.id || ':' || t.data_version, ',' order by t.id) from teams as t where t.slug = any($1::text [])),
    (
        select string_agg(s.id || ':' || s.data_version, ',' order by s.id)
        from services as s
        where
            s.has_facts
            and (
                exists (
                    select from deployment_shares as d
                    inner join teams as t on d.team_id = t.id
                    where t.slug = any($1::text []) and d.service_id = s.id
                )
                or exists (
                    select from service_owners as o
                    inner join teams as t on o.team_id = t.id
                    where t.slug = any($1::text []) and o.service_id = s.id
                )
            )
    )
) as "versions!"
