-- name: growth.tables
-- The tables that hold a tenant's rows, with their columns: type, whether the server numbers it, whether an
-- index keeps it unique.
SELECT format('%I.%I', n.nspname, c.relname) AS "table", array_agg(a.attname::text ORDER BY a.attnum) AS columns,
    array_agg(a.atttypid::regtype::text ORDER BY a.attnum) AS types,
    array_agg(a.attidentity <> '' OR a.attgenerated <> '' ORDER BY a.attnum) AS made,
    array_agg(EXISTS (
        SELECT FROM pg_index AS x WHERE x.indrelid = c.oid AND x.indisunique AND a.attnum = ANY (x.indkey::smallint[])
    ) ORDER BY a.attnum) AS kept_unique
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
GROUP BY n.nspname, c.relname HAVING 'tenant_id' = ANY (array_agg(a.attname))
ORDER BY 1;

-- name: growth.copy
-- Copy a tenant's rows so many times; {table}, {columns}, {values} and {copies} are filled in.
-- params: tenant_id=$tenant
INSERT INTO {table} ({columns})
SELECT {values} FROM {table} AS old CROSS JOIN generate_series(1, {copies}) AS copy(n) WHERE old.tenant_id = $1;
