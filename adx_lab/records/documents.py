"""Records as JSON documents: what is written is plain, and can be told apart by its digest."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec


def to_plain(value: Any) -> Any:
    """Turn records into what ``json`` can write; non-finite floats become null, since JSON has none."""
    if isinstance(value, msgspec.Struct):
        tagged = value.__struct_config__
        tag = {} if tagged.tag_field is None else {tagged.tag_field: tagged.tag}
        value = tag | msgspec.structs.asdict(value)
    elif is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(item) for item in value]
    if isinstance(value, Path | datetime):
        return str(value)
    if hasattr(value, "item") and not isinstance(value, str | bytes):  # a NumPy scalar
        return to_plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Return one JSON document; see `to_plain`."""
    return json.dumps(to_plain(value), indent=indent, ensure_ascii=False)


def digest(value: Any) -> str:
    """Return a short stable fingerprint of any plain value, to tell two configurations apart."""
    return hashlib.sha256(to_json(value).encode()).hexdigest()[:12]
