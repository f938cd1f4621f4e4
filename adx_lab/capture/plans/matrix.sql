-- name: plans.tenants
-- One tenant of each kind: the largest, the one in the middle, the smallest.
WITH ranked AS (
    SELECT tenant_id, users, row_number() OVER (ORDER BY users DESC, tenant_id) AS place, count(*) OVER () AS tenants
    FROM tenant_sizes WHERE users > 0
), kinds (kind, rank) AS (VALUES ('whale', 1), ('median', 2), ('small', 3))
SELECT DISTINCT ON (tenant_id) tenant_id, users, kind
FROM ranked
JOIN kinds ON place = CASE kind WHEN 'whale' THEN 1 WHEN 'median' THEN (tenants + 1) / 2 ELSE tenants END
ORDER BY tenant_id, rank;

-- name: plans.tenant_rows
-- How many rows of each table belong to a tenant.
-- params: tenant_id=$tenant
SELECT relname, (xpath('/row/n/text()', query_to_xml(
    format('SELECT count(*) AS n FROM %s WHERE tenant_id = %L', c.oid::regclass, $1::uuid), false, true, ''
)))[1]::text::bigint AS rows
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
ORDER BY relname;

-- name: plans.sample_user
-- A user in the middle of a tenant's list, for arguments that some row answers.
-- params: tenant_id=$tenant
SELECT id, email, created_at FROM users
WHERE tenant_id = $1 AND is_active ORDER BY created_at DESC, id DESC
OFFSET (SELECT count(*) / 2 FROM users WHERE tenant_id = $1 AND is_active) LIMIT 1;

-- name: plans.sample_file
-- A file of a tenant.
-- params: tenant_id=$tenant
SELECT id, created_at FROM files WHERE tenant_id = $1 ORDER BY created_at DESC, id LIMIT 1;

-- name: plans.sample_session
-- A session of a tenant, and the hash of one of its tokens.
-- params: tenant_id=$tenant
SELECT s.id, t.hash FROM sessions AS s LEFT JOIN refresh_tokens AS t ON t.session_id = s.id
WHERE s.tenant_id = $1 ORDER BY s.created_at DESC, s.id LIMIT 1;

-- name: plans.sample_run
-- A workflow run of a tenant.
-- params: tenant_id=$tenant
SELECT id FROM workflow_runs WHERE tenant_id = $1 ORDER BY created_at DESC, id LIMIT 1;

-- name: plans.sample_period
-- The last day in which a tenant had events.
-- params: tenant_id=$tenant
SELECT max(created_at) - interval '1 day' AS since, max(created_at) AS until FROM events WHERE tenant_id = $1;
