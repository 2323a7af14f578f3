-- A row that GitHub cannot show has a place in the list and no number that is known.
alter table quarantined_pull_requests
drop constraint quarantined_pull_requests_pkey,
alter column number drop not null,
add column id bigint generated always as identity primary key,
add constraint quarantined_pull_requests_are_known check (number is not null or position is not null);
