-- Pickup and review lie between creation and merge: a first review that comes after the merge gives neither (pr_phases@1). And
-- the first commit is the earliest of all, not of the first hundred.

-- The columns are made again, since PostgreSQL 15 cannot change what a column is generated from. The view lets go of them
-- meanwhile: if it were dropped, the rights on it would be lost.
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
    p.merged_at,
    coalesce(p.merged_at, p.closed_at, p.created_at) as attributed_at,
    case when p.merged_at >= p.created_at then extract(epoch from p.merged_at - p.created_at)::double precision end
        as cycle_time_seconds,
    coalesce(p.merged_at < p.created_at, false) as is_merged_before_creation,
    p.first_commit_at,
    p.ready_at,
    p.first_review_at,
    p.first_approval_at,
    p.coding_seconds,
    null::double precision as pickup_seconds,
    null::double precision as review_seconds,
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

alter table pull_requests
-- GitHub has told of some of its commits only; then the first is not known.
add column has_unread_commits boolean not null default false,
drop column pickup_seconds,
drop column review_seconds,
add column pickup_seconds double precision generated always as (
    case
        when first_review_at >= coalesce(ready_at, created_at) and coalesce(first_review_at <= merged_at, true)
            then extract(epoch from first_review_at - coalesce(ready_at, created_at))::double precision
    end
) stored,
add column review_seconds double precision generated always as (
    case
        when first_review_at between created_at and merged_at
            then extract(epoch from merged_at - first_review_at)::double precision
    end
) stored;

-- Why a duration is null although one might expect it.
create or replace function pull_request_flags(p pull_requests)
returns text []
language sql stable parallel safe
as $$
    select array_remove(
        array[
            case when p.merged_at < p.created_at then 'merged_before_creation' end,
            case when p.detailed_at is distinct from p.updated_at then 'details_pending' end,
            case when p.has_unread_commits then 'commits_incomplete' end,
            case when p.first_commit_at > p.created_at then 'first_commit_after_creation' end,
            case when p.first_review_at < coalesce(p.ready_at, p.created_at) then 'review_before_ready' end,
            case when p.first_review_at > p.merged_at then 'reviewed_after_merge' end,
            case when p.is_draft_history_incomplete then 'draft_times_missing' end
        ],
        null
    )
$$;

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
    p.merged_at,
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

update pr_attributions as a
set pickup_seconds = p.pickup_seconds, review_seconds = p.review_seconds
from pull_requests as p
where
    p.id = a.pull_request_id
    and (a.pickup_seconds, a.review_seconds) is distinct from (p.pickup_seconds, p.review_seconds);

-- Details of before know the first hundred commits only, and not whether there are more: they are read again. What is known
-- stays until then.
update pull_requests set detailed_at = null, detail_retry_at = null where detailed_at is not null and deleted_at is null;
update repositories set data_version = data_version + 1;
