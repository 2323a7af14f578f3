-- How old a program may be that works with this schema. It is one release for the next one's migrations, which add and do not
-- take away. A migration that does take away what programs before it need raises `least_migration` to the one that a program
-- has to know; a collector that does not know it refuses to work, and an API says so in its health.
create table schema_requirements (
    is_only_row boolean primary key default true check (is_only_row),
    least_migration bigint not null
);

insert into schema_requirements (least_migration) values (20261120100000);

comment on table schema_requirements is 'The migration that a program must know to work with this schema.';
