-- Raised when pull requests of somebody who is or was in the team go: a key that is limited to teams knows its answers by the
-- repositories in which something counts for them, and these would not tell that the last one has gone.
alter table teams
add column data_version bigint not null default 0;
