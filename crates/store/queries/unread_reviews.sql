-- How many pull requests of a team ($1) may have reviews from $2 to $3 that were not read, and whether there are others of which that
-- is so: in repositories $4, into the branch $5. A review changes updated_at.
select
    (
        select count(*)
        from pull_requests as p
        where
            (p.reviews_at is distinct from p.updated_at or p.has_unread_reviews)
            and p.deleted_at is null
            and p.author_id in (
                select m.person_id
                from team_memberships as m
                where
                    m.team_id = $1 and m.removed_in is null
                    and coalesce(m.joined_at < $3, true) and coalesce(m.left_at > $2, true)
            )
            and p.created_at < $3
            and p.updated_at >= $2
            and ($4::bigint [] is null or p.repository_id = any($4))
            and ($5::text is null or p.base_ref = $5)
    ) as "of_team!",
    exists (
        select
        from repositories as r
        where
            ($4::bigint [] is null or r.id = any($4))
            and exists (
                select
                from pull_requests as p
                where
                    p.repository_id = r.id
                    and p.reviews_at is distinct from p.updated_at
                    and p.deleted_at is null
                    and p.created_at < $3
                    and p.updated_at >= $2
                    and ($5::text is null or p.base_ref = $5)
            )
    ) as "any!"
