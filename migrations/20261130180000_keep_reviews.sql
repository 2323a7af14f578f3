-- Who reviews for whom: each review of a pull request, replaced together with its details.

alter table pull_requests
-- The updated_at of the state whose reviews are stored. If it differs, they must be read. The details may be known without them:
-- they may have been read by a program that did not keep reviews.
add column reviews_at timestamptz,
-- Not all of its reviews could be read.
add column has_unread_reviews boolean not null default false;

-- The submitted reviews by people who are neither the author nor a bot.
create table pull_request_reviews (
    tenant_id integer not null default current_tenant(),
    pull_request_id bigint not null,
    -- In the order of their submission, from 1.
    place integer not null check (place > 0),
    -- Copied from the pull request, so that one index covers the reviews that a person got.
    author_id bigint not null,
    -- Null for somebody outside the teams file, of whom nothing is kept.
    reviewer_id bigint,
    submitted_at timestamptz not null,
    primary key (tenant_id, pull_request_id, place),
    foreign key (tenant_id, pull_request_id) references pull_requests (tenant_id, id) on delete cascade,
    foreign key (tenant_id, reviewer_id) references people (tenant_id, id)
);

comment on table pull_request_reviews is
'The submitted reviews of pull requests by people who are neither the author nor a bot. Without reviewer_id, by somebody outside the teams file.';

create index pull_request_reviews_author_idx on pull_request_reviews (tenant_id, author_id, submitted_at);
create index pull_request_reviews_reviewer_idx on pull_request_reviews (tenant_id, reviewer_id, submitted_at)
where reviewer_id is not null;

call separate_tenants('pull_request_reviews');

alter table reopened_histories
-- Only reviews by people outside are read again, because the teams file has more people now.
add column only_outside boolean not null default false;
