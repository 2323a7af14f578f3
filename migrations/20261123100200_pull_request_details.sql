-- What GraphQL tells about a pull request, and the phases that follow from it.

alter table pull_requests
-- GraphQL's name of it.
add column node_id text,
-- The state (updated_at) of which the details are stored; another one means that they are to be read.
add column detailed_at timestamptz,
add column detail_failures integer not null default 0,
add column detail_retry_at timestamptz,
add column first_commit_at timestamptz,
-- By a person who is not the author.
add column first_review_at timestamptz,
add column first_approval_at timestamptz,
-- When it was first ready for review, null when unknown.
add column ready_at timestamptz,
add column draft_periods tstzmultirange,
-- GitHub calls it a draft, or has called it one, without saying since when.
add column is_draft_history_incomplete boolean not null default false,
add column additions integer,
add column deletions integer,
add column changed_files integer,
add column merge_commit text,
-- GitHub lists it no more, and says that it is not there. It counts for nobody.
add column deleted_at timestamptz,

-- The phases (pr_phases@1): null where unknown, never negative.
add column coding_seconds double precision generated always as (
    case when first_commit_at <= created_at then extract(epoch from created_at - first_commit_at)::double precision end
) stored,
add column pickup_seconds double precision generated always as (
    case
        when first_review_at >= coalesce(ready_at, created_at)
            then extract(epoch from first_review_at - coalesce(ready_at, created_at))::double precision
    end
) stored,
add column review_seconds double precision generated always as (
    case when first_review_at <= merged_at then extract(epoch from merged_at - first_review_at)::double precision end
) stored;

create index pull_requests_node_id_idx on pull_requests (node_id);
create index pull_requests_without_details_idx on pull_requests (repository_id, updated_at desc)
where detailed_at is distinct from updated_at and deleted_at is null;
-- For the weekly comparison with GitHub's list.
create index pull_requests_updated_idx on pull_requests (repository_id, updated_at);

alter table pr_attributions
add column coding_seconds double precision,
add column pickup_seconds double precision,
add column review_seconds double precision;
