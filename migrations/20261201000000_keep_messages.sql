-- Messages to channels, and what became of each.

create table messages (
    tenant_id integer not null default current_tenant() references tenants (id),
    id bigint generated always as identity,
    -- The short name of the channel in the teams file.
    channel text not null,
    kind text not null check (kind in ('digest', 'agreement', 'goal', 'change', 'operations')),
    -- What it is about, and when; together once for each channel and kind.
    subject text not null,
    period text not null,
    -- What it says, as long as it was not sent.
    content jsonb,
    -- A message is waiting until it is sent, dropped because it is no longer true, or failed. Of an unknown one nobody knows whether it arrived.
    state text not null default 'waiting' check (state in ('waiting', 'sending', 'sent', 'failed', 'unknown', 'dropped')),
    created_at timestamptz not null,
    -- Not before this.
    due_at timestamptz not null,
    -- Those that are sent together have one number, the lowest of theirs.
    batch bigint,
    attempts integer not null default 0,
    -- It may have arrived before.
    is_repeated boolean not null default false,
    first_tried_at timestamptz,
    tried_at timestamptz,
    finished_at timestamptz,
    -- Why it was not sent, without any address.
    problem text,
    primary key (tenant_id, id),
    unique (tenant_id, channel, kind, subject, period),
    check ((state in ('waiting', 'sending')) = (content is not null)),
    check ((state in ('waiting', 'sending')) = (finished_at is null)),
    check (state <> 'sending' or batch is not null)
);

comment on table messages is
'Messages to channels: each is written once for what it is about, sent by a worker that claims it, and kept without its text to say what became of it.';

create index messages_open_idx on messages (tenant_id, channel, due_at) where state in ('waiting', 'sending');
create index messages_tried_idx on messages (tenant_id, channel, tried_at) where batch is not null;

create table message_channels (
    tenant_id integer not null default current_tenant() references tenants (id),
    channel text not null,
    -- It refused its messages; nothing is sent to it before the next try.
    off_since timestamptz not null,
    next_try_at timestamptz not null,
    problem text not null,
    primary key (tenant_id, channel)
);

comment on table message_channels is 'Channels that refuse messages, and when one is tried again.';

create table message_plans (
    tenant_id integer not null default current_tenant() references tenants (id),
    planned_at timestamptz not null,
    primary key (tenant_id)
);

comment on table message_plans is 'When it was last judged what there is to say.';

call separate_tenants('messages');
call separate_tenants('message_channels');
call separate_tenants('message_plans');
