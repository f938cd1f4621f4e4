-- name: auth.user_by_email
-- What a login needs to know of a user.
-- params: tenant_id=$tenant, email=$email
SELECT id, password_hash, is_active FROM users WHERE tenant_id = $1 AND email = $2;

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

-- name: auth.session_owner
-- Whose a session is; no row when it is over.
-- params: session_id=$session
SELECT tenant_id, user_id FROM sessions WHERE id = $1 AND revoked_at IS NULL AND expires_at > now();

-- name: auth.use_refresh_token
-- Take a refresh token that was not used before; no row for any other.
-- params: hash=$bytes
-- writes: yes
UPDATE refresh_tokens SET used_at = now() FROM sessions
WHERE hash = $1 AND used_at IS NULL AND sessions.id = session_id
    AND sessions.revoked_at IS NULL AND sessions.expires_at > now()
RETURNING sessions.id, sessions.tenant_id, sessions.user_id;

-- name: auth.add_refresh_token
-- Give a session its next refresh token.
-- params: hash=$bytes, session_id=$session
-- writes: yes
WITH touched AS (UPDATE sessions SET last_used_at = now() WHERE id = $2 RETURNING id)
INSERT INTO refresh_tokens (hash, session_id) SELECT $1, id FROM touched;

-- name: auth.session_of_token
-- The session that a refresh token, used or not, belongs to.
-- params: hash=$bytes
SELECT session_id FROM refresh_tokens WHERE hash = $1;

-- name: auth.revoke_session
-- End a session.
-- params: session_id=$session
-- writes: yes
UPDATE sessions SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL;

-- name: auth.revoke_user
-- End every session of a user.
-- params: tenant_id=$tenant, user_id=$user
-- writes: yes
UPDATE sessions SET revoked_at = now()
WHERE tenant_id = $1 AND user_id = $2 AND revoked_at IS NULL RETURNING id;
