-- name: causes.delete_rows
-- Take some of a tenant's rows away again; {table}, {tenant} and {excess} are filled in.
DELETE FROM {table} WHERE ctid IN (SELECT ctid FROM {table} WHERE tenant_id = {tenant} LIMIT {excess});
