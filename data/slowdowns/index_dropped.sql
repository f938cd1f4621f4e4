-- An index that a migration lost.
DROP INDEX idx_users_tenant_created;
