insert into configurations (applied_at, timezone, bots) values ('2026-01-01', 'Europe/Oslo', '{ci-user}');
insert into teams (slug, name, created_at) values ('pay', 'Payments', '2026-01-01');
insert into people select from generate_series(1, 2);
insert into accounts (person_id, instance_id, external_id, configured_login, login)
values (1, 1, '3000000001', 'ana', 'ana'), (2, 1, null, 'bob', 'bob');
insert into team_memberships (team_id, person_id, weight, added_in) values (1, 1, 0.5, 1);
insert into repositories (name, added_at, watermark, collected_at, covered_since)
values ('acme/api', '2026-01-01', '2026-01-06 11:00:01Z', '2026-01-06 12:00Z', '2025-07-10');
