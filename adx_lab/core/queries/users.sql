-- name: users.get
-- One user of a tenant and its roles: a line of JSON each.
-- params: tenant_id=$tenant, user_id=$user
SELECT row_to_json(u)::text || E'\n' || coalesce((
    SELECT json_object_agg(roles.name, roles.permissions)::text
    FROM user_roles JOIN roles ON roles.tenant_id = $1 AND roles.id = user_roles.role_id
    WHERE user_roles.tenant_id = $1 AND user_roles.user_id = $2
), '{}')
FROM (
    SELECT id, tenant_id, email, name, is_active, created_at, updated_at
    FROM users WHERE tenant_id = $1 AND id = $2
) u;

-- name: users.list.first
-- The newest users of a tenant: their JSON, how many, and the last one's place.
-- params: tenant_id=$tenant, page_size=$limit
SELECT coalesce(json_agg(u), '[]')::text, count(*), min(u.created_at), (array_agg(u.id))[count(*)]
FROM (
    SELECT id, tenant_id, email, name, is_active, created_at, updated_at
    FROM users WHERE tenant_id = $1 AND is_active
    ORDER BY created_at DESC, id DESC LIMIT $2
) u;

-- name: users.list.after
-- The users that follow a place in the list: as fast at any depth as the first page.
-- params: tenant_id=$tenant, page_size=$limit, created_at=$cursor_created_at, user_id=$cursor_id
SELECT coalesce(json_agg(u), '[]')::text, count(*), min(u.created_at), (array_agg(u.id))[count(*)]
FROM (
    SELECT id, tenant_id, email, name, is_active, created_at, updated_at
    FROM users WHERE tenant_id = $1 AND is_active AND (created_at, id) < ($3, $4)
    ORDER BY created_at DESC, id DESC LIMIT $2
) u;

-- name: users.list.page
-- A page by its number: reads and throws away everything before it.
-- params: tenant_id=$tenant, page_size=$limit, skipped=$offset
SELECT coalesce(json_agg(u), '[]')::text, count(*), min(u.created_at), (array_agg(u.id))[count(*)]
FROM (
    SELECT id, tenant_id, email, name, is_active, created_at, updated_at
    FROM users WHERE tenant_id = $1 AND is_active
    ORDER BY created_at DESC, id DESC LIMIT $2 OFFSET $3
) u;

-- name: users.create
-- Add a user with roles of its tenant, given by name, of which each must be within what the actor may do.
-- The outcome is created, forbidden, unknown (there is no such role) or taken (the e-mail address).
-- params: tenant_id=$tenant, user_id=$uuid, actor_id=$user, email=$text, name=$text, password_hash=$text, roles=$texts
-- writes: yes
WITH wanted AS (
    SELECT id, name, permissions FROM roles WHERE tenant_id = $1 AND name = ANY ($7)
), held AS (
    SELECT array_agg(permission) AS permissions
    FROM users
    JOIN user_roles ON user_roles.tenant_id = $1 AND user_roles.user_id = users.id
    JOIN roles ON roles.tenant_id = $1 AND roles.id = user_roles.role_id
    CROSS JOIN unnest(roles.permissions) permission
    WHERE users.tenant_id = $1 AND users.id = $3 AND users.is_active
), judged AS (
    SELECT CASE
        WHEN (SELECT count(*) FROM wanted) < (SELECT count(DISTINCT name) FROM unnest($7::text[]) name) THEN 'unknown'
        WHEN EXISTS (SELECT FROM wanted, held WHERE (wanted.permissions <@ held.permissions) IS NOT TRUE) THEN 'forbidden'
        ELSE 'taken'
    END AS outcome
), added AS (
    INSERT INTO users (tenant_id, id, email, name, password_hash)
    SELECT $1, $2, lower($4), $5, $6 FROM judged WHERE outcome = 'taken'
    ON CONFLICT (tenant_id, email) DO NOTHING
    RETURNING id, tenant_id, email, name, is_active, created_at, updated_at
), granted AS (
    INSERT INTO user_roles (tenant_id, user_id, role_id) SELECT $1, added.id, wanted.id FROM added, wanted
)
SELECT
    CASE WHEN EXISTS (SELECT FROM added) THEN 'created' ELSE outcome END AS outcome,
    (SELECT row_to_json(added)::text FROM added) || E'\n'
        || coalesce((SELECT json_object_agg(name, permissions)::text FROM wanted), '{}') AS account
FROM judged;

-- name: tenants.config
-- A tenant's configuration, as JSON.
-- params: tenant_id=$tenant
SELECT row_to_json(t)::text FROM (SELECT id, name, plan, config, created_at FROM tenants WHERE id = $1) t;

-- name: users.export
-- Every user of a tenant with its roles, each as JSON.
-- params: tenant_id=$tenant
SELECT row_to_json(u)::text
FROM (
    SELECT users.id, users.email, users.name, users.is_active, users.created_at, users.updated_at,
        (
            SELECT coalesce(json_agg(roles.name ORDER BY roles.name), '[]')
            FROM user_roles JOIN roles ON roles.tenant_id = user_roles.tenant_id AND roles.id = user_roles.role_id
            WHERE user_roles.tenant_id = users.tenant_id AND user_roles.user_id = users.id
        ) AS roles
    FROM users WHERE users.tenant_id = $1
    ORDER BY users.id
) u;

-- name: users.update
-- Change what is given (null leaves as it is) of a user that may do nothing that the actor may not; one that is
-- deactivated loses its sessions. The outcome is changed, forbidden or missing.
-- params: tenant_id=$tenant, user_id=$user, actor_id=$user, email=$text, name=$text, is_active=$bool
-- writes: yes
WITH had AS (
    SELECT roles.name, roles.permissions
    FROM user_roles JOIN roles ON roles.tenant_id = $1 AND roles.id = user_roles.role_id
    WHERE user_roles.tenant_id = $1 AND user_roles.user_id = $2
), held AS (
    SELECT array_agg(permission) AS permissions
    FROM users
    JOIN user_roles ON user_roles.tenant_id = $1 AND user_roles.user_id = users.id
    JOIN roles ON roles.tenant_id = $1 AND roles.id = user_roles.role_id
    CROSS JOIN unnest(roles.permissions) permission
    WHERE users.tenant_id = $1 AND users.id = $3 AND users.is_active
), changed AS (
    UPDATE users SET
        email = coalesce(lower($4), email), name = coalesce($5, name), is_active = coalesce($6, is_active),
        updated_at = now()
    WHERE tenant_id = $1 AND id = $2
        AND NOT EXISTS (SELECT FROM had, held WHERE (had.permissions <@ held.permissions) IS NOT TRUE)
    RETURNING id, tenant_id, email, name, is_active, created_at, updated_at
), ended AS (
    UPDATE sessions SET revoked_at = now()
    WHERE tenant_id = $1 AND user_id IN (SELECT id FROM changed WHERE NOT is_active) AND revoked_at IS NULL
)
SELECT
    CASE
        WHEN EXISTS (SELECT FROM changed) THEN 'changed'
        WHEN EXISTS (SELECT FROM users WHERE tenant_id = $1 AND id = $2) THEN 'forbidden'
        ELSE 'missing'
    END AS outcome,
    (SELECT row_to_json(changed)::text FROM changed) || E'\n'
        || coalesce((SELECT json_object_agg(name, permissions)::text FROM had), '{}') AS account;

-- name: users.set_roles
-- Replace a user's roles, given by name, if the actor may do all that is given and all that is taken. The outcome is
-- changed, forbidden, unknown (there is no such role), missing, or again: somebody else changed them meanwhile.
-- params: tenant_id=$tenant, user_id=$user, actor_id=$user, roles=$texts
-- writes: yes
WITH wanted AS (
    SELECT id, name, permissions FROM roles WHERE tenant_id = $1 AND name = ANY ($4)
), had AS (
    SELECT roles.id, roles.name, roles.permissions
    FROM user_roles JOIN roles ON roles.tenant_id = $1 AND roles.id = user_roles.role_id
    WHERE user_roles.tenant_id = $1 AND user_roles.user_id = $2
), held AS (
    SELECT array_agg(permission) AS permissions
    FROM users
    JOIN user_roles ON user_roles.tenant_id = $1 AND user_roles.user_id = users.id
    JOIN roles ON roles.tenant_id = $1 AND roles.id = user_roles.role_id
    CROSS JOIN unnest(roles.permissions) permission
    WHERE users.tenant_id = $1 AND users.id = $3 AND users.is_active
), judged AS (
    SELECT updated_at AS seen_at, CASE
        WHEN (SELECT count(*) FROM wanted) < (SELECT count(DISTINCT name) FROM unnest($4::text[]) name) THEN 'unknown'
        WHEN EXISTS (
            SELECT FROM held, (SELECT * FROM wanted UNION ALL SELECT * FROM had) moved
            WHERE (moved.id NOT IN (SELECT id FROM wanted) OR moved.id NOT IN (SELECT id FROM had))
                AND (moved.permissions <@ held.permissions) IS NOT TRUE
        ) THEN 'forbidden'
        ELSE 'again'
    END AS outcome
    FROM users WHERE tenant_id = $1 AND id = $2
), changed AS (
    UPDATE users SET updated_at = clock_timestamp()
    FROM judged WHERE users.tenant_id = $1 AND users.id = $2 AND outcome = 'again' AND updated_at = seen_at
    RETURNING users.id, users.tenant_id, email, users.name, is_active, created_at, updated_at
), taken AS (
    DELETE FROM user_roles USING changed
    WHERE user_roles.tenant_id = $1 AND user_roles.user_id = changed.id
        AND user_roles.role_id NOT IN (SELECT id FROM wanted)
), given AS (
    INSERT INTO user_roles (tenant_id, user_id, role_id) SELECT $1, changed.id, wanted.id FROM changed, wanted
    ON CONFLICT DO NOTHING
)
SELECT
    CASE
        WHEN EXISTS (SELECT FROM changed) THEN 'changed'
        ELSE coalesce((SELECT outcome FROM judged), 'missing')
    END AS outcome,
    (SELECT row_to_json(changed)::text FROM changed) || E'\n'
        || coalesce((SELECT json_object_agg(name, permissions)::text FROM wanted), '{}') AS account;
