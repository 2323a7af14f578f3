-- no-transaction
-- The one with the instant begins with the author too.
drop index concurrently if exists pull_requests_author_id_idx;
