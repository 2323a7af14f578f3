-- The plan is the same for every team and bucket, and making it takes longer than running it.
alter function team_bucket(bigint, text, date) set plan_cache_mode = force_generic_plan;
alter function team_bucket(bigint, text, date) set jit = off;
