-- name: plans.uncounted
-- Keep the rest of the transaction out of pg_stat_statements, where the account may say so.
SELECT set_config('pg_stat_statements.track', 'none', true) WHERE current_setting('is_superuser') = 'on';

-- name: plans.prepared
-- A prepared statement of this connection, by its name.
-- params: name=$text
SELECT name FROM pg_prepared_statements WHERE name = $1;
