-- The roles that write rows, and that write what is posted, choose the tenant like the one that reads: what acts as one of
-- them is the program.
create or replace function current_tenant()
returns integer
language plpgsql stable parallel safe security definer
as $$
declare
    acting constant name := coalesce(nullif(current_setting('role'), 'none'), session_user);
    named constant text := nullif(current_setting('app.tenant', true), '');
    chooses constant boolean := acting in (
        select r.name || d.oid
        from pg_database as d cross join (values ('mergeline_reader_'), ('mergeline_poster_'), ('mergeline_writer_')) as r (name)
        where d.datname = current_database()
    )
    or pg_has_role(acting, (select c.relowner from pg_class as c where c.oid = 'tenants'::regclass), 'usage');
    tenant integer;
begin
    if chooses and named is not null then
        return named;
    end if;
    tenant := (select r.tenant_id from readers as r where r.role = session_user);
    if tenant is null then
        tenant := (select min(t.id) from tenants as t having count(*) = 1);
    end if;
    if tenant is null and chooses then
        raise exception 'several organizations share this database, and none is named'
        using hint = 'SET app.tenant = N, with an id of the table tenants';
    end if;
    return tenant;
end
$$;

-- `create or replace` forgets the schema that was fixed.
do $$ begin
    execute format('alter function current_tenant() set search_path = %I, pg_temp', current_schema());
end $$;
