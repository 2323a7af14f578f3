-- no-transaction
-- The last run that changed any number: what answers are known by.
create index concurrently if not exists collection_results_changed_idx
on collection_results (run_id)
where changed > 0 or enriched > 0;
