-- The role that Grafana reads as. It sees the views that hide small groups, and no table, no title and no login. Set its password with
-- \password grafana in psql. Where one database is for several organizations, it sees the one it is registered for.
create role grafana login;
alter role grafana set default_transaction_read_only = on;
alter role grafana set statement_timeout = '30s';
grant select on
view_team_velocity, view_dora_lead_time, view_team_phases, view_team_dora, view_deployments, view_team_deployments, view_incidents,
collection_coverage, delivery_coverage
to grafana;
insert into readers (role, tenant_id) values ('grafana', 1);
