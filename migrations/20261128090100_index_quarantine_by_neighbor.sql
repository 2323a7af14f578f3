-- no-transaction
create unique index concurrently if not exists quarantined_pull_requests_place_key
on quarantined_pull_requests (repository_id, after_number, rows_after) where number is null;
