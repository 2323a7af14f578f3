-- Since when pull requests are kept. What was merged or closed before was deleted on purpose, and is not stored again, however far
-- back a collection reads. Without a row all are kept.
create table retention (
    is_only_row boolean primary key default true check (is_only_row),
    kept_since timestamptz not null
);

comment on table retention is 'Pull requests that were merged or closed before kept_since are deleted and not stored again.';
