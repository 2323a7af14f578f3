-- no-transaction
-- The one that knows the phases has taken over.
drop index concurrently if exists pr_attributions_team_merged_idx;
