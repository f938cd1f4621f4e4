-- name: users.get
-- One user of a tenant, as JSON.
-- params: tenant_id=$tenant, user_id=$user
SELECT row_to_json(u)::text
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
-- Add a user with roles of its tenant, given by name; unknown roles are left out, a taken e-mail gives no row.
-- params: tenant_id=$tenant, user_id=$uuid, email=$text, name=$text, password_hash=$text, roles=$texts
-- writes: yes
WITH added AS (
    INSERT INTO users (tenant_id, id, email, name, password_hash) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (tenant_id, email) DO NOTHING
    RETURNING id, tenant_id, email, name, is_active, created_at, updated_at
), granted AS (
    INSERT INTO user_roles (tenant_id, user_id, role_id)
    SELECT $1, added.id, roles.id FROM added, roles WHERE roles.tenant_id = $1 AND roles.name = ANY ($6)
)
SELECT row_to_json(added)::text FROM added;

-- name: users.roles
-- The names of a user's roles, as JSON.
-- params: tenant_id=$tenant, user_id=$user
SELECT coalesce(json_agg(roles.name ORDER BY roles.name), '[]')::text
FROM user_roles JOIN roles ON roles.tenant_id = user_roles.tenant_id AND roles.id = user_roles.role_id
WHERE user_roles.tenant_id = $1 AND user_roles.user_id = $2;

-- name: users.permissions
-- What an active user may do, as JSON.
-- params: tenant_id=$tenant, user_id=$user
SELECT coalesce(json_agg(DISTINCT permission ORDER BY permission), '[]')::text
FROM users
JOIN user_roles ON user_roles.tenant_id = users.tenant_id AND user_roles.user_id = users.id
JOIN roles ON roles.tenant_id = user_roles.tenant_id AND roles.id = user_roles.role_id
CROSS JOIN unnest(roles.permissions) permission
WHERE users.tenant_id = $1 AND users.id = $2 AND users.is_active;

-- name: tenants.roles
-- The names of a tenant's roles.
-- params: tenant_id=$tenant
SELECT coalesce(array_agg(name), '{}') FROM roles WHERE tenant_id = $1;

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
-- Change what is given (null leaves as it is); no row where there is no such user.
-- params: tenant_id=$tenant, user_id=$user, email=$text, name=$text, is_active=$bool
-- writes: yes
UPDATE users SET
    email = coalesce($3, email), name = coalesce($4, name), is_active = coalesce($5, is_active), updated_at = now()
WHERE tenant_id = $1 AND id = $2
RETURNING true;

-- name: users.deactivate
-- Take an active user out of the lists; no row where there is none.
-- params: tenant_id=$tenant, user_id=$user
-- writes: yes
UPDATE users SET is_active = false, updated_at = now() WHERE tenant_id = $1 AND id = $2 AND is_active RETURNING true;

-- name: users.lock
-- Keep a user from changing until the transaction ends.
-- params: tenant_id=$tenant, user_id=$user
-- writes: yes
SELECT true FROM users WHERE tenant_id = $1 AND id = $2 FOR UPDATE;

-- name: users.take_roles
-- Take roles that are not among those given.
-- params: tenant_id=$tenant, user_id=$user, roles=$texts
-- writes: yes
DELETE FROM user_roles USING roles
WHERE user_roles.tenant_id = $1 AND user_roles.user_id = $2
    AND roles.tenant_id = $1 AND roles.id = user_roles.role_id AND roles.name <> ALL ($3);

-- name: users.give_roles
-- Give roles by name.
-- params: tenant_id=$tenant, user_id=$user, roles=$texts
-- writes: yes
INSERT INTO user_roles (tenant_id, user_id, role_id)
SELECT $1, $2, id FROM roles WHERE tenant_id = $1 AND name = ANY ($3)
ON CONFLICT DO NOTHING;
