-- name: anywhere.statements
-- The statements of this database that took most time in all.
-- params: statements_max=$limit
SELECT s.queryid, s.query AS text, s.calls, s.total_exec_time AS total_ms, s.mean_exec_time AS mean_ms,
    s.rows / s.calls AS rows_a_call, (s.shared_blks_hit + s.shared_blks_read) / s.calls AS pages_a_call
FROM pg_stat_statements AS s
JOIN pg_database AS d ON d.oid = s.dbid
WHERE d.datname = current_database() AND s.calls > 0 AND s.queryid IS NOT NULL
    AND s.query NOT ILIKE '%pg_stat_statements%'
ORDER BY s.total_exec_time DESC LIMIT $1;

-- name: anywhere.parameters
-- How many parameters the prepared statement has.
SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'adx_anywhere';
