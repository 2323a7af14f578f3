-- Writes the details of pull requests of one repository ($1) that are stored in the state ($3) that was asked for.
-- $2 and $4 to $22 the columns. Returns the pull requests, with their places in $2.
update pull_requests as p
set
    detailed_at = p.updated_at,
    detail_failures = 0,
    detail_retry_at = null,
    first_commit_at = i.first_commit_at,
    first_review_at = i.first_review_at,
    first_approval_at = i.first_approval_at,
    ready_at = i.ready_at,
    draft_periods = i.draft_periods::tstzmultirange,
    is_draft_history_incomplete = i.is_draft_history_incomplete,
    additions = i.additions,
    deletions = i.deletions,
    changed_files = i.changed_files,
    merge_commit = i.merge_commit,
    base_ref = coalesce(p.base_ref, i.base_ref),
    has_unread_commits = i.has_unread_commits,
    merge_committed_at = i.merge_committed_at,
    head_commit = i.head_commit,
    head_ref = i.head_ref,
    -- An array of arrays cannot be ragged.
    labels = array(select jsonb_array_elements_text(i.labels)),
    reverts = i.reverts,
    closes = array(select jsonb_array_elements_text(i.closes)::bigint),
    reviews_at = p.updated_at,
    has_unread_reviews = i.has_unread_reviews
from unnest(
    $2::text [], $3::timestamptz [], $4::timestamptz [], $5::timestamptz [], $6::timestamptz [], $7::timestamptz [],
    $8::text [], $9::boolean [], $10::integer [], $11::integer [], $12::integer [], $13::text [], $14::text [],
    $15::boolean [], $16::timestamptz [], $17::text [], $18::text [], $19::jsonb [], $20::bigint [],
    $21::jsonb [], $22::boolean []
) with ordinality as i (
    node_id, updated_at, first_commit_at, first_review_at, first_approval_at, ready_at,
    draft_periods, is_draft_history_incomplete, additions, deletions, changed_files, merge_commit, base_ref, has_unread_commits,
    merge_committed_at, head_commit, head_ref, labels, reverts, closes,
    has_unread_reviews, place
)
where
    p.node_id = i.node_id and p.updated_at = i.updated_at
    -- Not by an index: while the planner knows little, it would read the whole repository for each of them.
    and p.repository_id + 0 = $1
returning p.id, i.place as "place!"
