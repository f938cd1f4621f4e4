-- name: endpoint_counts.statements
-- What every statement of this database has cost; what the lab asks about them is left out.
SELECT s.queryid, min(s.query) AS text, sum(s.calls)::bigint AS calls, sum(s.total_exec_time) AS exec_ms,
    sum(s.rows)::bigint AS rows, sum(s.shared_blks_hit + s.shared_blks_read)::bigint AS pages
FROM pg_stat_statements AS s
JOIN pg_database AS d ON d.oid = s.dbid
WHERE d.datname = current_database() AND s.toplevel AND s.query NOT LIKE '%pg_stat_%'
GROUP BY s.queryid;

-- name: endpoint_counts.backends
-- The server's processes that work for this database, without the one that asks.
SELECT pid
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid();
