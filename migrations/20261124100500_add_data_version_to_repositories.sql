-- Raised in each transaction that changes what is stored of a repository: what answers are known by.
alter table repositories
add column data_version bigint not null default 0;
