-- name: statements.read
-- What every statement of this database has cost since the statistics were reset.
SELECT
    s.queryid,
    s.query AS text,
    s.calls,
    s.total_exec_time AS total_ms,
    s.mean_exec_time AS mean_ms,
    s.rows,
    s.shared_blks_hit AS shared_hit,
    s.shared_blks_read AS shared_read,
    s.temp_blks_written AS temp_written,
    s.wal_bytes
FROM pg_stat_statements AS s
JOIN pg_database AS d ON d.oid = s.dbid
WHERE d.datname = current_database() AND s.toplevel
ORDER BY s.total_exec_time DESC;

-- name: connections.count
-- Client connections to this database just now, our own left out.
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid();

-- name: settings.changed
-- Every setting that differs from PostgreSQL's own default, for the run's record.
SELECT name, setting, unit, source FROM pg_settings
WHERE source NOT IN ('default', 'override', 'client') ORDER BY name;

-- name: version.read
-- The server's version.
SELECT version();
