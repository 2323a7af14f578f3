-- How far a backfill is that reads by update, the newest change first: so many rows from the beginning of the list, when the last
-- of them changed, and its number. Null while it reads by creation. Its backfill_page stays 1 and its backfill_readings 0: a program
-- that does not know of this begins by creation.

alter table repositories
add column backfill_rows integer check (backfill_rows >= 0),
add column backfill_oldest timestamptz,
add column backfill_last bigint;
