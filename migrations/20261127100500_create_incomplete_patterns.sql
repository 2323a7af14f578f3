-- Patterns of the configuration of which GitHub does not list everything to the token, and why, in words for people.

create table incomplete_patterns (
    pattern text not null primary key,
    reason text not null
);

comment on table incomplete_patterns is
'What these patterns mean could not be listed completely the last time. A pattern that is not configured any more does not count.';
