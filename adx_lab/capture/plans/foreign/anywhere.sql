-- name: anywhere.extension
-- Where pg_stat_statements is installed; no row where it isn't.
SELECT quote_ident(n.nspname) AS schema FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
WHERE e.extname = 'pg_stat_statements';

-- name: anywhere.statements
-- The statements of this database, the dearest first; {schema} is filled in. Its columns differ by version.
SELECT j ->> 'queryid' AS queryid, j ->> 'query' AS text, sum((j ->> 'calls')::bigint) AS calls,
    sum(coalesce(j ->> 'total_exec_time', j ->> 'total_time')::float8) AS total_ms,
    sum((j ->> 'rows')::bigint) AS "rows",
    sum((j ->> 'shared_blks_hit')::bigint + (j ->> 'shared_blks_read')::bigint) AS pages,
    (array_agg((j ->> 'userid')::bigint ORDER BY coalesce(j ->> 'total_exec_time', j ->> 'total_time')::float8 DESC))[1]
        AS role_id,
    bool_and(coalesce((j ->> 'toplevel')::bool, true)) AS toplevel
FROM {schema}.pg_stat_statements AS s CROSS JOIN LATERAL to_jsonb(s) AS t(j)
WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND s.calls > 0
GROUP BY 1, 2 ORDER BY total_ms DESC;

-- name: anywhere.role
-- A role's name and what is set for it here; what is set for it in this database comes last.
-- params: role=$int
SELECT r.rolname AS name, (
    SELECT array_agg(setting ORDER BY s.setrole <> 0, s.setdatabase <> 0) FROM pg_db_role_setting AS s
    CROSS JOIN LATERAL unnest(s.setconfig) AS setting
    WHERE s.setrole IN (0, r.oid)
        AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
) AS settings
FROM pg_roles AS r WHERE r.oid = $1;

-- name: anywhere.schemas
-- The schemas that hold tables or views.
SELECT quote_ident(n.nspname) AS schema FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    AND n.nspname NOT LIKE 'pg_temp%'
GROUP BY n.nspname ORDER BY count(*) DESC;

-- name: anywhere.parameters
-- The types of a prepared statement's parameters.
-- params: name=$text
SELECT ARRAY(SELECT format_type(t, NULL) FROM unnest(parameter_types) WITH ORDINALITY AS p(t, place) ORDER BY place)
FROM pg_prepared_statements WHERE name = $1;

-- name: anywhere.values
-- What the planner knows of a column's values: the commonest, a rare one, and whether there are others.
-- params: schema=$text, table=$text, column=$text
SELECT CASE WHEN s.most_common_vals IS NOT NULL THEN (s.most_common_vals::text::text[])[1] END AS common,
    (s.most_common_freqs)[1] AS common_share,
    CASE WHEN s.histogram_bounds IS NOT NULL THEN (s.histogram_bounds::text::text[])[2]
         ELSE (s.most_common_vals::text::text[])[cardinality(s.most_common_freqs)] END AS rare,
    s.n_distinct
FROM pg_stats AS s WHERE s.schemaname = $1 AND s.tablename = $2 AND s.attname = $3
ORDER BY s.inherited DESC LIMIT 1;
