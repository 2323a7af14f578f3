-- no-transaction
-- Two rows may exchange their positions in one statement
drop index concurrently if exists quarantined_pull_requests_position_key;
