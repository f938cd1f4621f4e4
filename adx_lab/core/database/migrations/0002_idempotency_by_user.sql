-- An idempotency key belongs to the user that chose it: nobody is answered with another's run.
ALTER TABLE workflow_runs DROP CONSTRAINT workflow_runs_tenant_id_name_idempotency_key_key;
ALTER TABLE workflow_runs ADD UNIQUE (tenant_id, user_id, name, idempotency_key);
