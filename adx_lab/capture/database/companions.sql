-- name: companions.statements
-- What every statement of this database has cost, planning included.
SELECT s.queryid, s.query AS text, s.calls, s.plans, s.total_exec_time AS exec_ms, s.total_plan_time AS plan_ms,
    s.rows, s.shared_blks_hit + s.shared_blks_read AS buffers
FROM pg_stat_statements AS s
JOIN pg_database AS d ON d.oid = s.dbid
WHERE d.datname = current_database() AND s.toplevel;

-- name: companions.unanalysed
-- Tables that hold rows of which the planner knows nothing, or next to nothing.
SELECT c.relname AS name
FROM pg_class AS c
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND pg_relation_size(c.oid) > 0
    AND (
        NOT EXISTS (SELECT FROM pg_statistic AS s WHERE s.starelid = c.oid)
        OR c.reltuples < c.relpages
    )
ORDER BY c.relname;
