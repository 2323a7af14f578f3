-- Where the collection of each repository stands: what GitHub calls it, its two streams, who works on it.

alter table repositories
-- GitHub's number, null until GitHub has answered once. It survives renaming and transferring.
add column github_id bigint,
-- owner/name as GitHub calls it now; null until it has answered once. `name` is what the configuration calls it.
add column current_name text check (current_name = lower(current_name)),
-- The pattern of the configuration that brought it in; null for one that is named.
add column pattern text,

-- The incremental stream: the first page's ETag, and a digest of the token and the address that it belongs to.
add column etag text,
add column etag_scope text,
-- Pull requests on a page; halved when GitHub cannot answer for so many.
add column page_size smallint not null default 100 check (page_size between 1 and 100),
-- When the last complete reading of the incremental stream began.
add column listed_at timestamptz,
-- Set when somebody's pull requests since then are to be read again, because they were not kept so far.
add column reopened_since timestamptz,
-- When the last few weeks were last listed again to heal differences.
add column verified_at timestamptz,

-- The backfill stream, while one is under way: the next page by creation, how far back changes are kept, and
-- the newest change at its beginning, from where the incremental stream takes over.
add column backfill_page integer check (backfill_page >= 1),
add column backfill_since timestamptz,
add column backfill_anchor timestamptz,
add constraint repositories_backfill_is_whole check ((backfill_page is null) = (backfill_since is null)),

-- Who works on it: every write names the fence, and a higher one has taken over.
add column fence bigint not null default 0,
add column leased_until timestamptz,
-- When it was last worked on: the one served longest ago goes first.
add column served_at timestamptz,
-- Failures in a row, and when it is tried again.
add column failures integer not null default 0 check (failures >= 0),
add column retry_at timestamptz;

update repositories set reopened_since = covered_since where is_reopened;
update repositories set served_at = collected_at, listed_at = collected_at;
alter table repositories drop column is_reopened;

-- Two names of one repository would count its pull requests for whichever was read last.
create unique index repositories_github_id_key on repositories (github_id) where removed_at is null;

alter table configurations
-- owner/* and owner/prefix-*.
add column repository_patterns text [] not null default '{}',
add column includes_archived boolean not null default false;

create or replace view configuration_in_force as
select revision, applied_at, timezone, bots, repository_patterns, includes_archived
from configurations
order by revision desc
limit 1;
