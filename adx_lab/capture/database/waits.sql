-- name: waits.read
-- What this database's active clients wait for just now; those that wait for nothing are on the processor.
SELECT coalesce(wait_event_type, 'CPU') AS kind, coalesce(wait_event, 'running') AS event, count(*) AS backends
FROM pg_stat_activity
WHERE datname = current_database() AND backend_type IN ('client backend', 'parallel worker')
    AND state = 'active' AND pid <> pg_backend_pid()
GROUP BY 1, 2 ORDER BY 3 DESC;
