-- name: workflows.start
-- Ask for a run. With an idempotency key that was used before it gives the earlier run.
-- params: tenant_id=$tenant, run_id=$uuid, user_id=$user, name=$text, idempotency_key=$text, input=$json
-- writes: yes
WITH added AS (
    INSERT INTO workflow_runs (tenant_id, id, user_id, name, idempotency_key, input) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (tenant_id, user_id, name, idempotency_key) DO NOTHING
    RETURNING id, input
)
SELECT id, input = $6::jsonb AS same FROM added
UNION ALL
SELECT id, input = $6::jsonb FROM workflow_runs
WHERE tenant_id = $1 AND user_id = $3 AND name = $4 AND idempotency_key = $5
LIMIT 1;

-- name: workflows.wake
-- Tell the workers that there is something to look at.
SELECT pg_notify('adx_workflows', '');

-- name: workflows.get
-- A run, as JSON.
-- params: tenant_id=$tenant, run_id=$run
SELECT row_to_json(r)::text
FROM (
    SELECT id, tenant_id, user_id, name, input, status, steps_done, result, created_at, updated_at
    FROM workflow_runs WHERE tenant_id = $1 AND id = $2
) r;

-- name: workflows.cancel
-- Cancel a run that is not over; tells the status afterwards.
-- params: tenant_id=$tenant, run_id=$run
-- writes: yes
WITH cancelled AS (
    UPDATE workflow_runs SET status = 'cancelled', updated_at = now()
    WHERE tenant_id = $1 AND id = $2 AND status IN ('pending', 'queued', 'running')
    RETURNING id
)
SELECT 'cancelled' FROM cancelled
UNION ALL
SELECT status FROM workflow_runs WHERE tenant_id = $1 AND id = $2
LIMIT 1;

-- name: workflows.pending
-- Runs that were asked for and not handed over yet, each tenant's oldest first and of no tenant too many under way,
-- and those that were cancelled after that.
-- params: under_way_max=$limit
SELECT id, status FROM (
    SELECT id, status, created_at, row_number() OVER (PARTITION BY tenant_id ORDER BY created_at) + coalesce((
        SELECT count(*) FROM workflow_runs busy
        WHERE busy.tenant_id = workflow_runs.tenant_id AND busy.status IN ('queued', 'running')
    ), 0) AS place
    FROM workflow_runs WHERE status = 'pending'
) waiting WHERE place <= $1
UNION ALL
SELECT id, status FROM workflow_runs WHERE status = 'cancelled' AND updated_at > now() - interval '1 minute'
LIMIT 1000;

-- name: workflows.queued
-- Mark runs as handed over.
-- params: run_ids=$uuids
-- writes: yes
UPDATE workflow_runs SET status = 'queued', updated_at = now() WHERE id = ANY ($1) AND status = 'pending';

-- name: workflows.begin
-- Begin a run, unless it was cancelled; gives what it works on.
-- params: run_id=$run
-- writes: yes
UPDATE workflow_runs SET status = 'running', updated_at = now()
WHERE id = $1 AND status IN ('pending', 'queued', 'running')
RETURNING tenant_id, user_id, name, input::text AS input;

-- name: workflows.progress
-- Note how many steps of a run are done; no row when it was cancelled.
-- params: run_id=$run, steps_done=$int
-- writes: yes
UPDATE workflow_runs SET steps_done = $2, updated_at = now() WHERE id = $1 AND status = 'running' RETURNING true;

-- name: workflows.end
-- End a run.
-- params: run_id=$run, status=$text, result=$json
-- writes: yes
UPDATE workflow_runs SET status = $2, result = $3, updated_at = now()
WHERE id = $1 AND status IN ('pending', 'queued', 'running');

-- name: workflows.count_users
-- How many active users a tenant has.
-- params: tenant_id=$tenant
SELECT count(*) FROM users WHERE tenant_id = $1 AND is_active;

-- name: workflows.count_files
-- How many files a slice of a tenant's holds, their bytes, and the place at which it ends: the whole of a large
-- tenant in one execution would take longer than a query may.
-- params: tenant_id=$tenant, created_at=$cursor_created_at, file_id=$cursor_id, slice_size=$limit
WITH slice AS (
    SELECT id, size, created_at FROM files
    WHERE tenant_id = $1 AND (created_at, id) < ($2, $3)
    ORDER BY created_at DESC, id DESC LIMIT $4
)
SELECT count(*) AS count, sum(slice.size)::bigint AS bytes, ending.created_at, ending.id
FROM slice, (SELECT created_at, id FROM slice ORDER BY created_at, id LIMIT 1) ending
GROUP BY ending.created_at, ending.id;

-- name: workflows.count_events
-- How many events of each kind a slice of a tenant's holds, and the place at which it ends.
-- params: tenant_id=$tenant, created_at=$cursor_created_at, event_id=$int, slice_size=$limit
WITH counted AS (
    SELECT kind, count(*) AS count FROM (
        SELECT kind FROM events
        WHERE tenant_id = $1 AND (created_at, id) > ($2, $3)
        ORDER BY created_at, id LIMIT $4
    ) slice
    GROUP BY kind
)
SELECT counted.kind, counted.count, ending.created_at, ending.id
FROM counted, (
    SELECT created_at, id FROM events
    WHERE tenant_id = $1 AND (created_at, id) > ($2, $3)
    ORDER BY created_at, id LIMIT 1 OFFSET (SELECT sum(counted.count)::bigint - 1 FROM counted)
) ending
ORDER BY counted.kind;

-- name: warming.hot_users
-- Who used the service last: users with live sessions, and these.
-- params: users_max=$limit
SELECT tenant_id, user_id, array_agg(id) AS session_ids FROM (
    SELECT id, tenant_id, user_id, last_used_at FROM sessions
    WHERE revoked_at IS NULL AND expires_at > now() + interval '1 hour' ORDER BY last_used_at DESC LIMIT $1 * 4
) recent
GROUP BY tenant_id, user_id ORDER BY max(last_used_at) DESC LIMIT $1;

-- name: warming.active_tenants
-- Tenants whose users used the service last.
-- params: tenants_max=$limit
SELECT tenant_id FROM (
    SELECT tenant_id, last_used_at FROM sessions
    WHERE revoked_at IS NULL ORDER BY last_used_at DESC LIMIT $1 * 50
) recent
GROUP BY tenant_id ORDER BY max(last_used_at) DESC LIMIT $1;

-- name: purging.sessions
-- Delete some sessions that are over, with their refresh tokens.
-- params: sessions_max=$limit
-- writes: yes
WITH gone AS (
    DELETE FROM sessions WHERE id IN (
        SELECT id FROM sessions WHERE expires_at < now() ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
    )
    RETURNING 1
)
SELECT count(*) AS sessions FROM gone;

-- name: purging.runs
-- Delete some runs that were over a while ago.
-- params: kept_s=$int, runs_max=$limit
-- writes: yes
WITH gone AS (
    DELETE FROM workflow_runs WHERE id IN (
        SELECT id FROM workflow_runs
        WHERE status IN ('done', 'failed', 'cancelled') AND updated_at < now() - make_interval(secs => $1)
        LIMIT $2 FOR UPDATE SKIP LOCKED
    )
    RETURNING 1
)
SELECT count(*) AS runs FROM gone;
