-- name: events.list
-- A tenant's events of a period, the oldest first, each as JSON.
-- params: tenant_id=$tenant, since=$now, until=$now, rows_max=$limit
SELECT row_to_json(e)::text
FROM (
    SELECT id, user_id, kind, data, created_at
    FROM events WHERE tenant_id = $1 AND created_at >= $2 AND created_at < $3
    ORDER BY created_at, id LIMIT $4
) e;
