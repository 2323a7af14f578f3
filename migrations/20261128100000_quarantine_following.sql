-- A row that GitHub cannot show is another one than it was where another row follows: then what was accepted is accepted no more.
alter table quarantined_pull_requests
-- The number of the next row in the list by creation that can be read, null where there is none.
add column before_number bigint,
-- That one is so many rows behind it.
add column rows_before integer check (rows_before > 0);
