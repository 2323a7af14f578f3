-- Writes a page of pull requests of one repository and answers with the rows that are new or different.
-- $1 repository; $2 to $13 the columns, each number once.
insert into pull_requests (
    tenant_id, repository_id, instance_id, number, external_id, author_id, title, state, is_draft, base_ref,
    created_at, updated_at, closed_at, merged_at, node_id
)
select r.tenant_id, r.id, r.instance_id, i.*
from repositories as r
cross join unnest(
    $2::bigint [], $3::text [], $4::bigint [], $5::text [], $6::text [], $7::boolean [], $8::text [],
    $9::timestamptz [], $10::timestamptz [], $11::timestamptz [], $12::timestamptz [], $13::text []
) as i (
    number, external_id, author_id, title, state, is_draft, base_ref, created_at, updated_at, closed_at, merged_at, node_id
)
where r.id = $1
order by i.number
on conflict (tenant_id, repository_id, number) do update
set
    external_id = excluded.external_id,
    author_id = excluded.author_id,
    title = excluded.title,
    state = excluded.state,
    is_draft = excluded.is_draft,
    base_ref = excluded.base_ref,
    created_at = excluded.created_at,
    updated_at = excluded.updated_at,
    closed_at = excluded.closed_at,
    merged_at = excluded.merged_at,
    node_id = coalesce(excluded.node_id, pull_requests.node_id),
    -- Listed again: it is there. And what could not be detailed before deserves a fresh attempt.
    deleted_at = null,
    detail_failures = 0,
    detail_retry_at = null
where
    -- Answers arrive in any order: the newer one stays. An equal one is written only if it says something else,
    -- so that a repeated run leaves no trace.
    excluded.updated_at >= pull_requests.updated_at
    and (
        pull_requests.external_id, pull_requests.author_id, pull_requests.title, pull_requests.state,
        pull_requests.is_draft, pull_requests.base_ref, pull_requests.created_at, pull_requests.updated_at,
        pull_requests.closed_at, pull_requests.merged_at, pull_requests.deleted_at,
        pull_requests.node_id
    ) is distinct from (
        excluded.external_id, excluded.author_id, excluded.title, excluded.state,
        excluded.is_draft, excluded.base_ref, excluded.created_at, excluded.updated_at,
        excluded.closed_at, excluded.merged_at, null::timestamptz,
        coalesce(excluded.node_id, pull_requests.node_id)
    )
returning id, number
