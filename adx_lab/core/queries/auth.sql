-- name: auth.access
-- Whether a session is good, and its user with roles: a line of JSON each.
-- params: tenant_id=$tenant, user_id=$user, session_id=$session
SELECT
    EXISTS (
        SELECT FROM sessions
        WHERE id = $3 AND tenant_id = $1 AND user_id = $2 AND revoked_at IS NULL AND expires_at > now()
    ) AS good,
    (
        SELECT row_to_json(u)::text || E'\n' || coalesce((
            SELECT json_object_agg(roles.name, roles.permissions)::text
            FROM user_roles JOIN roles ON roles.tenant_id = $1 AND roles.id = user_roles.role_id
            WHERE user_roles.tenant_id = $1 AND user_roles.user_id = $2
        ), '{}')
        FROM (
            SELECT id, tenant_id, email, name, is_active, created_at, updated_at
            FROM users WHERE tenant_id = $1 AND id = $2
        ) u
    ) AS account;

-- name: auth.access_user
-- What auth.access tells, and another user of the tenant.
-- params: tenant_id=$tenant, user_id=$user, session_id=$session, other_id=$user
WITH account AS (
    SELECT u.id, row_to_json(u)::text || E'\n' || coalesce((
        SELECT json_object_agg(roles.name, roles.permissions)::text
        FROM user_roles JOIN roles ON roles.tenant_id = $1 AND roles.id = user_roles.role_id
        WHERE user_roles.tenant_id = $1 AND user_roles.user_id = u.id
    ), '{}') AS text
    FROM (
        SELECT id, tenant_id, email, name, is_active, created_at, updated_at
        FROM users WHERE tenant_id = $1 AND id IN ($2, $4)
    ) u
)
SELECT
    EXISTS (
        SELECT FROM sessions
        WHERE id = $3 AND tenant_id = $1 AND user_id = $2 AND revoked_at IS NULL AND expires_at > now()
    ) AS good,
    (SELECT text FROM account WHERE id = $2) AS account,
    (SELECT text FROM account WHERE id = $4) AS other;

-- name: auth.access_list
-- What auth.access tells, and the newest users of the tenant.
-- params: tenant_id=$tenant, user_id=$user, session_id=$session, page_size=$limit
SELECT
    EXISTS (
        SELECT FROM sessions
        WHERE id = $3 AND tenant_id = $1 AND user_id = $2 AND revoked_at IS NULL AND expires_at > now()
    ) AS good,
    (
        SELECT row_to_json(u)::text || E'\n' || coalesce((
            SELECT json_object_agg(roles.name, roles.permissions)::text
            FROM user_roles JOIN roles ON roles.tenant_id = $1 AND roles.id = user_roles.role_id
            WHERE user_roles.tenant_id = $1 AND user_roles.user_id = $2
        ), '{}')
        FROM (
            SELECT id, tenant_id, email, name, is_active, created_at, updated_at
            FROM users WHERE tenant_id = $1 AND id = $2
        ) u
    ) AS account,
    coalesce(json_agg(u), '[]')::text, count(*), min(u.created_at), (array_agg(u.id))[count(*)]
FROM (
    SELECT id, tenant_id, email, name, is_active, created_at, updated_at
    FROM users WHERE tenant_id = $1 AND is_active
    ORDER BY created_at DESC, id DESC LIMIT $4
) u;

-- name: auth.user_by_email
-- What a login needs to know of a user.
-- params: tenant_id=$tenant, email=$email
SELECT id, password_hash, is_active FROM users WHERE tenant_id = $1 AND email = lower($2);

-- name: auth.open_session
-- Start a session with its first refresh token, unless the user was deactivated meanwhile.
-- params: session_id=$uuid, tenant_id=$tenant, user_id=$user, expires_at=$now, hash=$bytes
-- writes: yes
WITH opened AS (
    INSERT INTO sessions (id, tenant_id, user_id, expires_at)
    SELECT $1, tenant_id, id, $4 FROM users WHERE tenant_id = $2 AND id = $3 AND is_active
    RETURNING id
)
INSERT INTO refresh_tokens (hash, session_id) SELECT $5, id FROM opened RETURNING session_id;

-- name: auth.refresh
-- Exchange a refresh token for the next one, and tell its session; one that was used longer ago than the grace is
-- known to two, and ends its session. No row for a token that is unknown, or whose session is over.
-- params: hash=$bytes, new_hash=$bytes, grace_s=$int
-- writes: yes
WITH known AS (
    SELECT sessions.id, sessions.tenant_id, sessions.user_id
    FROM refresh_tokens JOIN sessions ON sessions.id = refresh_tokens.session_id
    WHERE refresh_tokens.hash = $1 AND sessions.revoked_at IS NULL AND sessions.expires_at > now()
), used AS (
    UPDATE refresh_tokens SET used_at = coalesce(used_at, now())
    WHERE hash = $1 AND session_id IN (SELECT id FROM known)
        AND (used_at IS NULL OR used_at > clock_timestamp() - make_interval(secs => $3))
    RETURNING session_id
), touched AS (
    UPDATE sessions SET
        last_used_at = now(), revoked_at = CASE WHEN EXISTS (SELECT FROM used) THEN revoked_at ELSE now() END
    WHERE id IN (SELECT id FROM known) AND revoked_at IS NULL
    RETURNING id, tenant_id, user_id, revoked_at IS NULL AS good
), added AS (
    INSERT INTO refresh_tokens (hash, session_id) SELECT $2, session_id FROM used
)
SELECT id, tenant_id, user_id, good FROM touched;

-- name: auth.revoke_session
-- End a session.
-- params: session_id=$session
-- writes: yes
UPDATE sessions SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL;
