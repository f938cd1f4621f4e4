-- The indexes of the rule db.indexes, each made without locking out writers and named after what it serves.
-- idx_users_tenant_email is unique, and therefore stays when the rule is switched off.

CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS idx_users_tenant_email
    ON users (tenant_id, email);

CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_users_tenant_active
    ON users (tenant_id, is_active) WHERE is_active = true;

CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_users_tenant_created
    ON users (tenant_id, created_at DESC, id DESC) WHERE is_active;

CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_files_tenant_owner_created
    ON files (tenant_id, owner_id, created_at DESC);

CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_files_tenant_created
    ON files (tenant_id, created_at DESC, id DESC);

CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_events_tenant_created
    ON events (tenant_id, created_at, id) INCLUDE (kind);

CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_sessions_tenant_user
    ON sessions (tenant_id, user_id) WHERE revoked_at IS NULL;

CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_sessions_last_used
    ON sessions (last_used_at DESC);

CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_sessions_expires
    ON sessions (expires_at);

CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_refresh_tokens_session
    ON refresh_tokens (session_id);

CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_workflow_runs_open
    ON workflow_runs (created_at) WHERE status IN ('pending', 'cancelled');
