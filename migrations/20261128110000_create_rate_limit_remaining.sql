-- What GitHub said was left of the hourly limit of some credentials, so that the next run need not begin with one request to find out.

create table rate_limit_remaining (
    -- A digest of the credentials and GitHub's address, never the token itself.
    scope text primary key,
    -- Requests an hour.
    hourly_limit int not null check (hourly_limit >= 0),
    remaining int not null check (remaining >= 0),
    resets_at timestamptz not null
);
