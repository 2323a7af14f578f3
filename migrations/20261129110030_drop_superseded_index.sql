-- no-transaction
-- pr_attributions_merged_idx has all of it.
drop index concurrently if exists pr_attributions_statistics_idx;
