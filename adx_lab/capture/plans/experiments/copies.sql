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
-- The indexes of a database by oid, with their tables.
SELECT i.indexrelid::bigint AS oid, c.relname AS name, n.nspname AS schema, t.relname AS "table",
    pg_get_expr(i.indpred, i.indrelid) AS predicate, c.relispartition AS of_another, m.amname AS method
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_class AS t ON t.oid = i.indrelid JOIN pg_am AS m ON m.oid = c.relam;
