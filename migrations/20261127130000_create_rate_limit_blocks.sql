-- Until when GitHub refuses requests with some credentials, so that the next run or another sandbox need not find out.

create table rate_limit_blocks (
    -- A digest of the credentials and GitHub's address, never the token itself.
    scope text not null,
    -- The hourly limit of the REST API or of GraphQL, or a secondary limit, which concerns both.
    kind text not null check (kind in ('core', 'graphql', 'secondary')),
    blocked_until timestamptz not null,
    primary key (scope, kind)
);
