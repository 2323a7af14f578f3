-- no-transaction
-- Few were.
create index concurrently if not exists incidents_merged_into_idx on incidents (tenant_id, source, merged_into)
where merged_into is not null;
