-- A row that GitHub cannot show keeps its place behind the row before it, whatever is deleted further ahead: its position in the
-- whole list does not.
alter table quarantined_pull_requests
-- The number of the row before it in the list by creation that can be read, 0 at the beginning of the list.
add column after_number bigint not null default 0,
-- It is so many rows behind that one.
add column rows_after integer check (rows_after > 0);

update quarantined_pull_requests set rows_after = position where number is null;

alter table repositories
-- The rows that the list by update could not show when they were last looked into: each changed last between the two times, as
-- the rows before and behind it tell.
add column unreadable_from timestamptz [] not null default '{}',
add column unreadable_until timestamptz [] not null default '{}',
-- When the backfill's present reading by creation began.
add column backfill_reading_at timestamptz;
