-- name: trials.hypopg
-- Where HypoPG is installed; no row where it isn't.
SELECT quote_ident(n.nspname) AS schema FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
WHERE e.extname = 'hypopg';

-- name: trials.pretend
-- Make an index that is none; {schema} is filled in.
-- params: definition=$text
SELECT h.indexrelid AS oid, h.indexname AS name, {schema}.hypopg_relation_size(h.indexrelid) AS bytes
FROM {schema}.hypopg_create_index($1) AS h;

-- name: trials.forget
-- Take a pretended index away again; {schema} is filled in.
-- params: oid=$int
SELECT {schema}.hypopg_drop_index($1);

-- name: trials.indexes
-- The indexes of the database by oid, with their names and sizes.
SELECT i.indexrelid::bigint AS oid, c.relname AS name, pg_relation_size(i.indexrelid) AS bytes
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid;

-- name: trials.writes
-- What was written to each table since its statistics began, and how many indexes it has already.
SELECT CASE s.schemaname WHEN 'public' THEN s.relname ELSE s.schemaname || '.' || s.relname END AS name,
    s.n_tup_ins + s.n_tup_upd - s.n_tup_hot_upd AS writes,
    (SELECT count(*) FROM pg_index AS i WHERE i.indrelid = s.relid) AS indexes
FROM pg_stat_user_tables AS s;

-- name: trials.looking_for
-- The rows of a table that refer to the same row as one of them; its name and columns are filled in.
SELECT FROM {table} AS x WHERE ({mine}) = (SELECT {its} FROM {table} AS y WHERE {first} IS NOT NULL LIMIT 1);
