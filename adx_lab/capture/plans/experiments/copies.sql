-- name: copies.sizes
-- Every table and index with its pages now, and what the planner was told of it.
SELECT n.nspname AS schema, c.relname AS name, c.relpages AS pages, c.reltuples::float8 AS rows,
    c.relallvisible AS visible_pages,
    pg_relation_size(c.oid) / current_setting('block_size')::bigint AS pages_now
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'i', 'm', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    AND c.relpersistence <> 't';

-- name: copies.statistics
-- What the planner knows of each column's values, as far as this role may see it.
SELECT s.schemaname AS schema, s.tablename AS "table", s.attname AS "column", s.inherited, s.null_frac, s.avg_width,
    s.n_distinct, s.most_common_vals::text AS common, s.most_common_freqs AS common_shares,
    s.histogram_bounds::text AS bounds, s.correlation, s.most_common_elems::text AS elements,
    s.most_common_elem_freqs AS element_shares
FROM pg_stats AS s WHERE s.schemaname NOT IN ('pg_catalog', 'information_schema');

-- name: copies.process
-- The server's process that serves a connection: a pooler tells its clients of another.
SELECT pg_backend_pid();

-- name: copies.place
-- Where a table's or an index's file is within the server's data; no row where it has none.
-- params: schema=$text, name=$text
SELECT c.oid, c.relkind = 'i' AS is_index, pg_relation_filepath(c.oid) AS file, current_setting('data_directory') AS data
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = $2;

-- name: copies.named
-- The same by a name as SQL has it.
-- params: table=$text
SELECT c.oid, c.relkind = 'i' AS is_index, pg_relation_filepath(c.oid) AS file, current_setting('data_directory') AS data
FROM pg_class AS c WHERE c.oid = to_regclass($1);

-- name: copies.settings
-- What is set otherwise than by default and changes plans.
SELECT name, current_setting(name) AS value FROM pg_settings
WHERE context IN ('user', 'superuser') AND setting IS DISTINCT FROM boot_val
    AND (category LIKE 'Query Tuning%' OR name IN ('work_mem', 'hash_mem_multiplier', 'max_parallel_workers_per_gather'));

-- name: copies.set
-- Set something for the rest of the connection.
-- params: name=$text, value=$text
SELECT set_config($1, $2, false);

-- name: copies.unmake
-- Take an index away again; {schema} and {name} are filled in.
DROP INDEX {schema}.{name};

-- name: copies.tell_size
-- Tell the planner of a size.
-- params: size=$json
UPDATE pg_class SET relpages = s.pages, reltuples = s.rows, relallvisible = s.visible_pages
FROM json_to_record($1::json) AS s (oid oid, pages int, rows real, visible_pages int) WHERE pg_class.oid = s.oid;

-- name: copies.tell_values
-- Tell the planner of a column's values, as ANALYZE would have; what the copy has no column for is left out.
-- params: values=$json
INSERT INTO pg_statistic (
    starelid, staattnum, stainherit, stanullfrac, stawidth, stadistinct,
    stakind1, stakind2, stakind3, stakind4, stakind5, staop1, staop2, staop3, staop4, staop5,
    stacoll1, stacoll2, stacoll3, stacoll4, stacoll5, stanumbers1, stanumbers3, stanumbers4,
    stavalues1, stavalues2, stavalues4
)
SELECT a.attrelid, a.attnum, v.inherited, v.null_frac, v.avg_width, v.n_distinct,
    CASE WHEN v.common IS NULL THEN 0 ELSE 1 END, CASE WHEN v.bounds IS NULL THEN 0 ELSE 2 END,
    CASE WHEN v.correlation IS NULL THEN 0 ELSE 3 END, CASE WHEN v.elements IS NULL THEN 0 ELSE 4 END, 0,
    coalesce(own.equal, 0), coalesce(own.less, 0), coalesce(own.less, 0), coalesce(of_elements.equal, 0), 0,
    a.attcollation, a.attcollation, a.attcollation, a.attcollation, 0,
    v.common_shares, ARRAY[v.correlation], v.element_shares,
    array_in(textout(v.common), a.atttypid, a.atttypmod), array_in(textout(v.bounds), a.atttypid, a.atttypmod),
    array_in(textout(v.elements), t.typelem, -1)
FROM json_to_record($1::json) AS v (
    schema text, "table" text, "column" text, inherited bool, null_frac real, avg_width int, n_distinct real,
    common text, common_shares real[], bounds text, correlation real, elements text, element_shares real[]
)
CROSS JOIN pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_type AS t ON t.oid = a.atttypid
LEFT JOIN LATERAL (
    SELECT max(o.amopopr) FILTER (WHERE o.amopstrategy = 3) AS equal,
        max(o.amopopr) FILTER (WHERE o.amopstrategy = 1) AS less
    FROM pg_opclass AS k JOIN pg_am AS m ON m.oid = k.opcmethod AND m.amname = 'btree'
    JOIN pg_amop AS o ON o.amopfamily = k.opcfamily AND o.amoplefttype = k.opcintype AND o.amoprighttype = k.opcintype
    WHERE k.opcdefault AND k.opcintype = CASE
        WHEN t.typtype = 'e' THEN 'anyenum'::regtype WHEN t.typtype = 'r' THEN 'anyrange'::regtype
        WHEN t.typcategory = 'A' THEN 'anyarray'::regtype WHEN t.typname = 'varchar' THEN 'text'::regtype
        WHEN t.typname = 'cidr' THEN 'inet'::regtype ELSE t.oid END
) AS own ON true
LEFT JOIN LATERAL (
    SELECT max(o.amopopr) AS equal
    FROM pg_opclass AS k JOIN pg_am AS m ON m.oid = k.opcmethod AND m.amname = 'btree'
    JOIN pg_amop AS o ON o.amopfamily = k.opcfamily AND o.amoplefttype = k.opcintype AND o.amoprighttype = k.opcintype
    WHERE k.opcdefault AND o.amopstrategy = 3 AND k.opcintype = t.typelem
) AS of_elements ON true
WHERE n.nspname = v.schema AND c.relname = v."table" AND a.attname = v."column" AND NOT a.attisdropped;

-- name: copies.expression
-- An index's expression, where it has one that is made of one column by built-in functions; no row otherwise.
-- params: index=$int
SELECT own.attname::text AS name, c.attname::text AS "column",
    format_type(c.atttypid, NULL) AS type, pg_get_indexdef(x.indexrelid, k.place::int, true) AS expression
FROM pg_index AS x
JOIN LATERAL unnest(x.indkey::smallint[]) WITH ORDINALITY AS k(attnum, place) ON k.attnum = 0
JOIN pg_attribute AS own ON own.attrelid = x.indexrelid AND own.attnum = k.place
JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = x.indexrelid
    AND d.refclassid = 'pg_class'::regclass AND d.refobjid = x.indrelid
    AND d.refobjsubid > 0 AND NOT d.refobjsubid = ANY (x.indkey::smallint[])
JOIN pg_attribute AS c ON c.attrelid = x.indrelid AND c.attnum = d.refobjsubid
WHERE x.indexrelid = $1 AND NOT EXISTS (
    SELECT FROM pg_depend AS f
    WHERE f.classid = 'pg_class'::regclass AND f.objid = x.indexrelid AND f.refclassid = 'pg_proc'::regclass
);

-- name: copies.of_expression
-- What an expression makes of the values that are known of its column; {column}, {type} and {expression} are
-- filled in. Where it makes many alike, all of them are common ones.
-- params: schema=$text, table=$text, column=$text
WITH known AS (
    SELECT s.*, coalesce((SELECT sum(f) FROM unnest(s.most_common_freqs) AS f), 0) AS common_share
    FROM pg_stats AS s WHERE s.schemaname = $1 AND s.tablename = $2 AND s.attname = $3
    ORDER BY s.inherited DESC LIMIT 1
), common AS (
    SELECT ({expression}) AS value, c.of_rows AS share
    FROM known, unnest(most_common_vals::text::{type}[], most_common_freqs) AS c ({column}, of_rows)
), spread AS (
    SELECT ({expression}) AS value,
        (1 - null_frac - common_share) / array_length(histogram_bounds, 1) AS share
    FROM known, unnest(histogram_bounds::text::{type}[]) AS b ({column})
), alike AS (
    SELECT count(DISTINCT value) < 0.9 * count(*) AS many FROM spread
), often AS (
    SELECT value, sum(share)::real AS share
    FROM (SELECT * FROM common UNION ALL SELECT spread.* FROM spread, alike WHERE alike.many) AS u
    WHERE value IS NOT NULL GROUP BY value ORDER BY share DESC LIMIT 100
)
SELECT $1::text AS schema, false AS inherited, known.null_frac, known.avg_width,
    CASE WHEN alike.many OR histogram_bounds IS NULL THEN (SELECT count(*) FROM often)
         ELSE known.n_distinct END::real AS n_distinct,
    (SELECT array_agg(value ORDER BY share DESC)::text FROM often) AS common,
    (SELECT array_agg(share ORDER BY share DESC) FROM often) AS common_shares,
    (SELECT CASE WHEN count(*) > 1 THEN array_agg(value ORDER BY value)::text END
     FROM (SELECT DISTINCT value FROM spread WHERE value IS NOT NULL) AS b WHERE NOT alike.many) AS bounds
FROM known, alike;

-- name: copies.width
-- How wide a table's indexed columns are on average, for the size that an index on them would have.
-- params: index=$int
SELECT coalesce(sum(coalesce(s.stawidth, 8)), 8)::int AS width
FROM pg_index AS x CROSS JOIN LATERAL unnest(x.indkey::smallint[]) AS k(attnum)
LEFT JOIN pg_statistic AS s ON s.starelid = x.indrelid AND s.staattnum = k.attnum
WHERE x.indexrelid = $1;

-- name: copies.held
-- How many rows a partial index would hold; {schema}, {table} and {predicate} are filled in.
EXPLAIN (FORMAT JSON) SELECT FROM {schema}.{table} WHERE {predicate};

-- name: copies.made
-- The indexes of a database by oid, with their tables; unknown are those on expressions without statistics.
SELECT i.indexrelid::bigint AS oid, c.relname AS name, n.nspname AS schema, t.relname AS "table",
    pg_get_expr(i.indpred, i.indrelid) AS predicate, c.relispartition AS of_another, m.amname AS method,
    i.indexprs IS NOT NULL AND NOT EXISTS (SELECT FROM pg_statistic AS s WHERE s.starelid = i.indexrelid) AS unknown
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_class AS t ON t.oid = i.indrelid JOIN pg_am AS m ON m.oid = c.relam;
