"""Canonical JSON, digests and ids: the same facts are always the same bytes."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import os
from collections.abc import Mapping
from enum import Enum
from typing import Any

NO_COMMIT = "none"
"""The commit in the keys of a run that belongs to none."""
MAX_BYTES = 64 * 1024 * 1024
NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""The words that stand for the floats that JSON cannot say."""
_PLAIN = frozenset({str, int, bool, type(None)})


def plain(value: Any) -> Any:
    """Reduce a record to JSON's own types.

    Empty optional fields are left out; the properties that a class names in DERIVED are added. A float that JSON
    cannot say becomes "NaN", "Infinity" or "-Infinity", which the readers take back as floats.
    """
    kind: Any = type(value)
    if kind in _PLAIN or (kind is float and math.isfinite(value)):  # nearly all that there is
        return value
    if (fields := _fields(kind)) is not None:
        made = {}
        for name in fields:
            field = getattr(value, name)
            if type(field) in _PLAIN:
                if field is not None:
                    made[name] = field
            elif field != () and field != {}:
                made[name] = plain(field)
        return made
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(k): v if type(v) in _PLAIN else plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value


@functools.cache
def _fields(kind: Any) -> tuple[str, ...] | None:
    """The names of what a dataclass adds to a record; None for what is not a dataclass."""
    if not dataclasses.is_dataclass(kind):
        return None
    return (*(field.name for field in dataclasses.fields(kind)), *getattr(kind, "DERIVED", ()))


def dumps(value: Any) -> bytes:
    """Canonical JSON: sorted keys, no spaces, UTF-8, one newline at the end."""
    text = json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    # Half a surrogate pair is not a text that UTF-8 can hold, and not a reason to lose a record.
    return text.encode(errors="replace") + b"\n"


def digest(data: bytes) -> str:
    """`sha256:<hex>` of the bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def new_id() -> str:
    """Return a random id of 32 hex digits, the form of MLflow's run ids."""
    return os.urandom(16).hex()
