-- A file may name an account by the login that it had until a date and by the present one from then on: both are one
-- person, in every run. `login` and `configured_login` know two logins, this knows the others.
alter table people
add column other_logins text [] not null default '{}';

create function remember_other_logins()
returns trigger
language plpgsql
as $$
begin
    new.other_logins := array(
        select distinct l.login
        from unnest(new.other_logins || old.other_logins || old.configured_login || old.login) as l (login)
        where l.login not in (new.configured_login, new.login)
        order by l.login
    );
    return new;
end
$$;

comment on function remember_other_logins is 'Keeps the logins that a person had before, whoever changes them.';

create trigger people_remember_other_logins
before update of configured_login, login, other_logins on people
for each row execute function remember_other_logins();
