-- name: databases.exists
-- Whether there is a database of this name.
-- params: name=$text
SELECT true FROM pg_database WHERE datname = $1;

-- name: databases.origin
-- Which template a clone was made from: its comment says so.
-- params: name=$text
SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1;

-- name: databases.templates
-- The templates, newest first.
SELECT datname AS name FROM pg_database WHERE datname LIKE 'adx\_template\_%' ORDER BY oid DESC;

-- name: databases.tables
-- The tables of a database's public schema.
SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public';

-- name: databases.may_create
-- Whether the account may make tables.
SELECT has_schema_privilege('public', 'CREATE');

-- name: databases.hold_autovacuum
-- Keep autovacuum off this database's tables: by chance it visits one of two clones first.
DO $$
DECLARE named regclass;
BEGIN
    FOR named IN
        SELECT c.oid FROM pg_class AS c
        WHERE c.relkind IN ('r', 'm') AND c.relpersistence = 'p'
            AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
    LOOP
        EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', named);
    END LOOP;
END $$;
