-- Whether the server knows a time zone by this name. The view pg_timezone_names reads a thousand files to say so, which takes longer
-- than all that is compared with a teams file.
create function knows_timezone(name text) returns boolean language plpgsql stable as $$
begin
    perform timezone(name, now());
    return true;
exception when invalid_parameter_value then
    return false;
end
$$;

comment on function knows_timezone is 'Whether the server knows a time zone by this name.';
