-- Repositories of which who reviewed is to be read again, because others count as bots: their pull requests lose the mark that
-- they were read in steps.
create table reopened_histories (
    repository_id bigint primary key references repositories (id) on delete cascade,
    -- The last number that is done.
    done_number bigint not null default 0
);
