"""Every endpoint of the service, in one table: the router, the documents and the tests read it."""

from __future__ import annotations

from adx_lab.core.auth import sessions as auth
from adx_lab.core.database.pages import PageQuery
from adx_lab.core.files import files
from adx_lab.core.server import health, openapi
from adx_lab.core.server.routing import Route
from adx_lab.core.users import batches, events, tenants, users
from adx_lab.core.workflows import workflows

ROUTES = (
    # gateway
    Route("GET", "/health", health.health, "gateway", None, returns=health.Health, always=True),
    Route("GET", "/ready", health.ready, "gateway", None, returns=health.Ready, always=True,
          further=(503,)),
    Route("GET", "/metrics", health.metrics, "metrics", None, prefix="", always=True),
    Route("GET", "/openapi.json", openapi.document, "gateway", None, prefix="", always=True),
    Route("GET", "/docs", openapi.page, "gateway", None, prefix="", always=True),
    # auth
    Route("POST", "/auth/login", auth.login, "auth", None, body=auth.Login, returns=auth.Tokens,
          problems=(401, 429)),
    Route("POST", "/auth/refresh", auth.refresh, "auth", None, body=auth.Refresh, returns=auth.Tokens,
          problems=(401,)),
    Route("POST", "/auth/logout", auth.logout, "auth", status=204),
    Route("GET", "/auth/me", auth.me, "auth", returns=users.Me),
    # users
    Route("GET", "/users", users.list_users, "users", "users.read", query=PageQuery, returns=users.UserPage,
          shows=users.shows_page),
    Route("POST", "/users", users.create_user, "users", "users.write", body=users.NewUser, returns=users.User,
          status=201, problems=(409,)),
    Route("POST", "/users/batch", batches.create_batch, "users", "users.write", body=batches.UserBatch,
          returns=batches.BatchResult, further=(207,)),
    Route("GET", "/users/export", users.export_users, "users", "users.export", returns=users.User,
          streams=True),
    Route("GET", "/users/{id}", users.get_user, "users", "users.read", returns=users.User, problems=(404,),
          shows=users.shows_user),
    Route("PATCH", "/users/{id}", users.update_user, "users", "users.write", body=users.UserChange,
          returns=users.User, problems=(404, 409)),
    Route("DELETE", "/users/{id}", users.deactivate_user, "users", "users.delete", status=204,
          problems=(404,)),
    Route("PUT", "/users/{id}/roles", users.set_roles, "users", "roles.write", body=users.Roles,
          returns=users.User, problems=(404,)),
    Route("GET", "/tenants/current", tenants.current, "users", "tenants.read", returns=tenants.Tenant,
          problems=(404,)),
    Route("GET", "/events", events.list_events, "users", "events.read", query=events.EventQuery,
          returns=events.Event, streams=True),
    # files
    Route("POST", "/files", files.upload, "files", "files.write", query=files.UploadQuery, returns=files.File,
          status=201, streams=True, problems=(400, 408, 411, 413, 415)),
    Route("GET", "/files", files.list_files, "files", "files.read", query=files.FileQuery,
          returns=files.FilePage),
    Route("GET", "/files/{id}", files.get_file, "files", "files.read", returns=files.File, problems=(404,)),
    Route("DELETE", "/files/{id}", files.delete_file, "files", "files.delete", status=204, problems=(404,)),
    Route("GET", "/files/{id}/content", files.download, "files", "files.read", returns=bytes, streams=True,
          further=(206, 304), problems=(404, 416)),
    Route("POST", "/files/{id}/process", workflows.process_file, "workflows", "workflows.run",
          returns=workflows.Accepted, status=202, problems=(404, 409, 422)),
    # workflows
    Route("POST", "/workflows/{name}/runs", workflows.start_run, "workflows", "workflows.run",
          body=workflows.NewRun, returns=workflows.Accepted, status=202, problems=(404, 409)),
    Route("GET", "/workflows/runs/{id}", workflows.get_run, "workflows", "workflows.read",
          returns=workflows.Run, problems=(404,)),
    Route("POST", "/workflows/runs/{id}/cancel", workflows.cancel_run, "workflows", "workflows.run",
          returns=workflows.RunStatus, status=202, problems=(404, 409)),
)  # fmt: skip
