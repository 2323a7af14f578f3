-- no-transaction
-- For lists: the merged pull requests that wait for production, which are few of all deliveries.
create index concurrently if not exists pr_deliveries_waiting_idx on pr_deliveries (tenant_id, service_id, pull_request_id)
where missing in ('not_deployed_yet', 'not_collected');
