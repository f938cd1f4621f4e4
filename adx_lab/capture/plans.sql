-- name: plans.tenants
-- The largest and the smallest tenant: what is fast for one can be slow for the other.
(SELECT tenant_id, users, 'whale' AS kind FROM tenant_sizes ORDER BY users DESC, tenant_id LIMIT 1)
UNION ALL
(SELECT tenant_id, users, 'small' AS kind FROM tenant_sizes WHERE users > 0 ORDER BY users, tenant_id LIMIT 1);

-- name: plans.sample_user
-- A user in the middle of a tenant's list, for arguments that some row answers.
-- params: tenant_id=$tenant
SELECT id, email, created_at FROM users
WHERE tenant_id = $1 AND is_active ORDER BY created_at DESC, id DESC
OFFSET (SELECT count(*) / 2 FROM users WHERE tenant_id = $1 AND is_active) LIMIT 1;

-- name: plans.sample_file
-- A file of a tenant.
-- params: tenant_id=$tenant
SELECT id FROM files WHERE tenant_id = $1 ORDER BY created_at DESC LIMIT 1;
