-- name: files.add
-- Record an uploaded file.
-- params: tenant_id=$tenant, file_id=$uuid, owner_id=$user, name=$text, content_type=$text, size=$int, sha256=$text, blob=$text
-- writes: yes
WITH added AS (
    INSERT INTO files (tenant_id, id, owner_id, name, content_type, size, sha256, blob)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    RETURNING id, tenant_id, owner_id, name, content_type, size, sha256, created_at
)
SELECT row_to_json(added)::text FROM added;

-- name: files.get
-- A file's description, as JSON.
-- params: tenant_id=$tenant, file_id=$file
SELECT row_to_json(f)::text
FROM (
    SELECT id, tenant_id, owner_id, name, content_type, size, sha256, created_at
    FROM files WHERE tenant_id = $1 AND id = $2
) f;

-- name: files.locate
-- Where a file's content is, and what a response says of it.
-- params: tenant_id=$tenant, file_id=$file
SELECT blob, name, content_type, size, sha256 FROM files WHERE tenant_id = $1 AND id = $2;

-- name: files.delete
-- Forget a file.
-- params: tenant_id=$tenant, file_id=$file
-- writes: yes
DELETE FROM files WHERE tenant_id = $1 AND id = $2;

-- name: files.list.first
-- The newest files of a tenant.
-- params: tenant_id=$tenant, page_size=$limit
SELECT coalesce(json_agg(f), '[]')::text, count(*), min(f.created_at), (array_agg(f.id))[count(*)]
FROM (
    SELECT id, tenant_id, owner_id, name, content_type, size, sha256, created_at
    FROM files WHERE tenant_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2
) f;

-- name: files.list.after
-- The files that follow a place in the list.
-- params: tenant_id=$tenant, page_size=$limit, created_at=$cursor_created_at, file_id=$cursor_id
SELECT coalesce(json_agg(f), '[]')::text, count(*), min(f.created_at), (array_agg(f.id))[count(*)]
FROM (
    SELECT id, tenant_id, owner_id, name, content_type, size, sha256, created_at
    FROM files WHERE tenant_id = $1 AND (created_at, id) < ($3, $4) ORDER BY created_at DESC, id DESC LIMIT $2
) f;

-- name: files.list.page
-- A page of files by its number.
-- params: tenant_id=$tenant, page_size=$limit, skipped=$offset
SELECT coalesce(json_agg(f), '[]')::text, count(*), min(f.created_at), (array_agg(f.id))[count(*)]
FROM (
    SELECT id, tenant_id, owner_id, name, content_type, size, sha256, created_at
    FROM files WHERE tenant_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2 OFFSET $3
) f;

-- name: files.owned.first
-- The newest files of one owner.
-- params: tenant_id=$tenant, owner_id=$user, page_size=$limit
SELECT coalesce(json_agg(f), '[]')::text, count(*), min(f.created_at), (array_agg(f.id))[count(*)]
FROM (
    SELECT id, tenant_id, owner_id, name, content_type, size, sha256, created_at
    FROM files WHERE tenant_id = $1 AND owner_id = $2 ORDER BY created_at DESC, id DESC LIMIT $3
) f;

-- name: files.owned.after
-- The files of one owner that follow a place in the list.
-- params: tenant_id=$tenant, owner_id=$user, page_size=$limit, created_at=$cursor_created_at, file_id=$cursor_id
SELECT coalesce(json_agg(f), '[]')::text, count(*), min(f.created_at), (array_agg(f.id))[count(*)]
FROM (
    SELECT id, tenant_id, owner_id, name, content_type, size, sha256, created_at
    FROM files WHERE tenant_id = $1 AND owner_id = $2 AND (created_at, id) < ($4, $5)
    ORDER BY created_at DESC, id DESC LIMIT $3
) f;

-- name: files.owned.page
-- A page of one owner's files by its number.
-- params: tenant_id=$tenant, owner_id=$user, page_size=$limit, skipped=$offset
SELECT coalesce(json_agg(f), '[]')::text, count(*), min(f.created_at), (array_agg(f.id))[count(*)]
FROM (
    SELECT id, tenant_id, owner_id, name, content_type, size, sha256, created_at
    FROM files WHERE tenant_id = $1 AND owner_id = $2 ORDER BY created_at DESC, id DESC LIMIT $3 OFFSET $4
) f;
