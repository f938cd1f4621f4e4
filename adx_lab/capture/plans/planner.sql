-- name: plans.settings
-- Every setting that can change a plan or what its execution does.
SELECT name, current_setting(name) AS value FROM pg_settings
WHERE category LIKE 'Query Tuning%'
    OR name IN ('work_mem', 'hash_mem_multiplier', 'temp_buffers', 'shared_buffers', 'max_parallel_workers',
                'max_parallel_workers_per_gather', 'default_statistics_target', 'server_version')
ORDER BY name;

-- name: plans.role_settings
-- What is set for this database, for a role, or for a role in this database.
SELECT concat_ws(' in ', 'role ' || r.rolname, 'database ' || d.datname) AS whose, s.setconfig AS settings
FROM pg_db_role_setting AS s
LEFT JOIN pg_database AS d ON d.oid = s.setdatabase
LEFT JOIN pg_roles AS r ON r.oid = s.setrole
WHERE s.setdatabase = 0 OR d.datname = current_database()
ORDER BY whose;

-- name: plans.tables
-- What the planner believes of each table, how much changed since it was told, and what is dead in it.
SELECT CASE n.nspname WHEN 'public' THEN c.relname ELSE n.nspname || '.' || c.relname END AS name,
    c.reltuples AS rows, c.relpages AS pages, c.relallvisible AS visible_pages,
    coalesce(s.n_mod_since_analyze, 0) AS modified, coalesce(s.n_live_tup, 0) AS live_rows,
    coalesce(s.n_dead_tup, 0) AS dead_rows,
    CASE WHEN c.relispartition THEN pg_partition_root(c.oid)::regclass::text END AS partition_of
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_stat_user_tables AS s ON s.relid = c.oid
WHERE c.relkind IN ('r', 'm', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
ORDER BY c.relname;

-- name: plans.columns
-- The columns of each table, their types, how finely each is analysed where that was set, and those in whose
-- order the rows lie.
SELECT CASE n.nspname WHEN 'public' THEN c.relname ELSE n.nspname || '.' || c.relname END AS name,
    array_agg(a.attname::text ORDER BY a.attnum) AS columns,
    array_agg(format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum) AS types,
    array_agg(CASE WHEN a.attstattarget >= 0 THEN a.attname || ' ' || a.attstattarget END ORDER BY a.attnum)
        AS targets,
    array_agg(CASE WHEN s.correlation >= 0.98 THEN a.attname::text END ORDER BY a.attnum) AS in_order
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_stats AS s
    ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname
    AND s.inherited = (c.relkind = 'p')
WHERE c.relkind IN ('r', 'm', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
GROUP BY n.nspname, c.relname
ORDER BY c.relname;

-- name: plans.indexes
-- Every index with the statement that makes it, whether it can be used, and what it takes.
SELECT CASE n.nspname WHEN 'public' THEN i.relname ELSE n.nspname || '.' || i.relname END AS name,
    CASE n.nspname WHEN 'public' THEN c.relname ELSE n.nspname || '.' || c.relname END AS "table",
    pg_get_indexdef(i.oid) AS definition, x.indisvalid AS valid, x.indisunique AS "unique", i.relpages AS pages
FROM pg_index AS x
JOIN pg_class AS i ON i.oid = x.indexrelid
JOIN pg_class AS c ON c.oid = x.indrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
ORDER BY i.relname;

-- name: plans.foreign_keys
-- Every foreign key: which table's columns refer to which other table.
SELECT k.conname AS name, CASE n.nspname WHEN 'public' THEN c.relname ELSE n.nspname || '.' || c.relname END AS "table",
    ARRAY(
        SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS p(number, place)
        JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = p.number ORDER BY p.place
    ) AS columns,
    CASE m.nspname WHEN 'public' THEN r.relname ELSE m.nspname || '.' || r.relname END AS "references"
FROM pg_constraint AS k
JOIN pg_class AS c ON c.oid = k.conrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_class AS r ON r.oid = k.confrelid
JOIN pg_namespace AS m ON m.oid = r.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0
ORDER BY k.conname, 2;
