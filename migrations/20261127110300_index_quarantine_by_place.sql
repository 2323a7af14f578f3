-- no-transaction
create unique index concurrently if not exists quarantined_pull_requests_position_key
on quarantined_pull_requests (repository_id, position) where number is null;
