-- Who works on a repository, so that others can say so, and so that one who has died on this machine is followed at once.
alter table repositories
add column lease_host text,
add column lease_process bigint,
-- Which process of that number it is; null where that cannot be told (in Lambda each sandbox has the same numbers).
add column lease_instance text,
-- Since when.
add column leased_at timestamptz,
-- A number that the taker has drawn: taking it again, when the answer to the first time was lost, is no second taking.
add column lease_token bigint,
-- The number that the last writer of a page has drawn: a page that is written again is seen once.
add column page_token bigint;

-- The number that the last writer of a result has drawn, for the same reason.
alter table collection_results
add column written_as bigint;
