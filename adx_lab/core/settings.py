"""Every setting of the core in one frozen tree, read once from ``ADX_CORE_*``.

A field ``max`` of the group ``pool`` is ``ADX_CORE_POOL_MAX``; a field of the tree itself has no group in its
name. Older versions of the core are started by the same names, so that a name, once given, stays.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

import msgspec

from adx_lab.core.errors import ConfigError
from adx_lab.core.rules import RULES, parse_rules_off

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PREFIX = "ADX_CORE_"
_SECRET_BYTES_MIN = 32
_SECRET = frozenset({"token_secret", "database_url", "valkey_url"})


class PoolSettings(msgspec.Struct, frozen=True):
    """Database connections of the whole service, shared out among its workers."""

    max: int = 100
    min: int = 10
    acquire_s: float = 30.0
    idle_s: float = 600.0
    lifetime_s: float = 1800.0


class CacheSettings(msgspec.Struct, frozen=True):
    """Life times and bounds of the two layers. ``trace`` is the file that tells each look-up in L1.

    ``deaf_ttl_s`` is the life time in L1 while invalidations of other workers can't arrive.
    """

    l1_ttl_s: float = 300.0
    deaf_ttl_s: float = 5.0
    l1_scopes: int = 50_000
    l2_ttl_s: float = 600.0
    negative_ttl_s: float = 10.0
    jitter: float = 0.1
    trace: str = ""
    trace_max: int = 64 << 20


class ValkeySettings(msgspec.Struct, frozen=True):
    """How long Valkey may take, and when to stop asking it."""

    timeout_s: float = 0.05
    failures_max: int = 3
    retry_s: float = 0.5


class AuthSettings(msgspec.Struct, frozen=True):
    """Life times of tokens, and how often a login may be tried.

    A refresh token that comes again within ``refresh_grace_s`` was sent twice, and not stolen.
    """

    access_ttl_s: float = 900.0
    refresh_ttl_s: float = 14 * 86_400.0
    refresh_grace_s: float = 10.0
    attempts_max: int = 10
    attempts_window_s: float = 300.0
    hash_threads: int = 2
    hash_waiting_max: int = 64


class GatewaySettings(msgspec.Struct, frozen=True):
    """What the gateway lets in. ``rate_per_s`` is a tenant's, over all workers; 0 is unlimited.

    The last ``share`` of what a worker answers at once is kept for tenants, and peers without a token, that
    have less than their share; no tenant takes more than twice that of its streams. ``forwarded`` believes
    the last address of ``X-Forwarded-For``: set it behind a proxy of your own.
    """

    body_max: int = 1 << 20
    upload_max: int = 4 << 30
    timeout_s: float = 30.0
    body_timeout_s: float = 10.0
    upload_bytes_per_s: float = 4_096.0
    stream_timeout_s: float = 30.0
    streams_max: int = 16
    in_flight_max: int = 1_000
    share: float = 0.25
    forwarded: bool = False
    rate_per_s: float = 50_000.0


class AlertSettings(msgspec.Struct, frozen=True):
    """Thresholds over a window, and where alerts go besides the log; below ``requests_min`` none do."""

    webhook_url: str = ""
    window_s: float = 60.0
    every_s: float = 5.0
    response_p95_ms: float = 100.0
    query_p95_ms: float = 10.0
    queue_p95_ms: float = 50.0
    memory_bytes: float = 400e6
    error_rate: float = 0.01
    requests_min: int = 50


class WarmingSettings(msgspec.Struct, frozen=True):
    """How often the caches are warmed, and with how much."""

    every_s: float = 900.0
    users: int = 1_000
    tenants: int = 200


class Settings(msgspec.Struct, frozen=True):
    """The whole tree."""

    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    announce: str = ""
    die_with_parent: bool = False
    worker_name: str = "worker-1"
    database_url: str = "postgresql://localhost/adx"
    valkey_url: str = ""
    key_prefix: str = "adx:"
    files_url: str = ""
    token_secret: str = ""
    server_timing: bool = False
    spans: bool = False
    rules_off: str = ""
    log_level: str = "info"
    purge_every_s: float = 900.0
    keep_runs_s: float = 30 * 86_400.0
    pool: PoolSettings = PoolSettings()
    cache: CacheSettings = CacheSettings()
    valkey: ValkeySettings = ValkeySettings()
    auth: AuthSettings = AuthSettings()
    gateway: GatewaySettings = GatewaySettings()
    alerts: AlertSettings = AlertSettings()
    warming: WarmingSettings = WarmingSettings()

    def on(self, rule: str) -> bool:
        """Return whether a rule is switched on."""
        return rule not in parse_rules_off(self.rules_off)


def names() -> dict[str, tuple[str, ...]]:
    """Return the path in the tree of every environment variable that the core knows."""
    return dict(_names(Settings, ()))


def described(settings: Settings) -> str:
    """Return every rule and every setting as resolved, by dotted name, as JSON; secrets are left out."""
    shown: dict[str, object] = {}
    for path in names().values():
        value: object = settings
        for name in path:
            value = getattr(value, name)
        shown[".".join(path)] = "(secret)" if path[-1] in _SECRET and value else value
    rules = {rule: settings.on(rule) for rule in RULES}
    return msgspec.json.format(msgspec.json.encode({"rules": rules, "settings": shown}), indent=2).decode()


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings from an environment.

    Raises
    ------
    ConfigError
        A name that starts with ``ADX_CORE_`` is unknown, or a value can't be read.
    """
    known = names()
    tree: dict[str, object] = {}
    for name, value in environ.items():
        if not name.startswith(PREFIX):
            continue
        if name not in known:
            nearest = get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise ConfigError(f"unknown setting {name}; did you mean {nearest}?")
        _place(tree, known[name], name, value)
    settings = msgspec.convert(tree, Settings)
    _check(settings)
    return settings


def _names(struct: type[msgspec.Struct], path: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for field in msgspec.structs.fields(struct):
        here = (*path, field.name)
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from _names(field.type, here)
        else:
            yield PREFIX + "_".join(here).upper(), here


def _place(tree: dict[str, object], path: tuple[str, ...], name: str, value: str) -> None:
    struct: type[msgspec.Struct] = Settings
    branch = tree
    for group in path[:-1]:
        struct = next(field.type for field in msgspec.structs.fields(struct) if field.name == group)
        branch = branch.setdefault(group, {})  # type: ignore[assignment]
    wanted = next(field.type for field in msgspec.structs.fields(struct) if field.name == path[-1])
    try:
        branch[path[-1]] = msgspec.convert(value, wanted, strict=False)
    except msgspec.ValidationError:
        raise ConfigError(f"{name}={value!r}: expected {wanted.__name__}") from None


def _check(settings: Settings) -> None:
    parse_rules_off(settings.rules_off)
    if not 0 <= settings.port <= 65_535:
        raise ConfigError(f"ADX_CORE_PORT={settings.port}: expected 0 to 65535")
    if settings.workers < 1:
        raise ConfigError(f"ADX_CORE_WORKERS={settings.workers}: expected at least 1")
    if not 0 <= settings.pool.min <= settings.pool.max:
        raise ConfigError(f"ADX_CORE_POOL_MIN={settings.pool.min}: expected 0 to ADX_CORE_POOL_MAX")
    if settings.token_secret and len(settings.token_secret.encode()) < _SECRET_BYTES_MIN:
        raise ConfigError(
            f"ADX_CORE_TOKEN_SECRET: expected at least {_SECRET_BYTES_MIN} bytes, as HS256 needs"
        )
    if not 0 <= settings.gateway.rate_per_s < float("inf"):
        raise ConfigError(f"ADX_CORE_GATEWAY_RATE_PER_S={settings.gateway.rate_per_s:g}: expected 0 or more")
    if not 0 < settings.gateway.share <= 1:
        raise ConfigError(
            f"ADX_CORE_GATEWAY_SHARE={settings.gateway.share:g}: expected more than 0, at most 1"
        )
    if settings.log_level not in {"debug", "info", "warning", "error"}:
        raise ConfigError(
            f"ADX_CORE_LOG_LEVEL={settings.log_level!r}: expected debug, info, warning or error"
        )
