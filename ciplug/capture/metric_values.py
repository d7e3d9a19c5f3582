"""Classify values of a metric file: a number, a text that describes the metrics, or a mistake."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

from ciplug.capture.tables.delimited import cell_value
from ciplug.capture.tables.source import Source

_NO_VALUE = re.compile(
    r"|[-?.]+|\W*(?:(?:n/?a|null|none|nil|nan|inf|infinity|missing|undefined|unknown)\b"
    r"|(?:error|fail|diverg|crash|skip)\w*).*",
    re.IGNORECASE | re.DOTALL,
)
"""The number is missing: `n/a`, `diverged`, `N/A (skipped)`."""
_DAY = re.compile(r"\d{4}-\d\d-\d\d(?:[T ].*)?")
_NUMBER = re.compile(r"(?<![\w.-])[-+]?[.,]?\d|[∞½¼¾]")
"""A number was meant: `0,93`, `93%`, `0.9 ± 0.1`, `12ms`, `tensor(0.93)`. `resnet50` and `gpt-4` are names."""


def describes(text: str) -> bool:
    """Whether a text surely does not stand in the place of a number: "rf", "resnet50", "v1.2", "2026-11-25"."""
    meant = text.strip()
    if not isinstance(_meaning(meant), str) or _NO_VALUE.fullmatch(meant):
        return False
    return bool(_DAY.fullmatch(meant)) or not _NUMBER.search(meant)


def number(source: Source, value: Any, key: str, line_of: Callable[[str], int | None]) -> float:
    """The value of a metric. Raises InputError for anything that is not a number.

    Args:
        line_of: finds the line of a name, which takes a search of the file: asked for an error only.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise source.wrong("an integer too large for a number", column=key, line=line_of(key)) from None
    what, hint = _not_a_number(value)
    raise source.wrong(f"{what} is not a number", column=key, line=line_of(key), hint=hint)


def _not_a_number(value: Any) -> tuple[str, str | None]:
    """Describe the value, and how to correct it."""
    if isinstance(value, str):
        quoted = isinstance(_meaning(value), (int, float))
        hint = "write the number without quotes (in YAML, not-a-number is .nan)" if quoted else None
        return f"the text {value[:40]!r}", hint
    if isinstance(value, bool):
        return f"the boolean {as_text(value)}", "write 1 or 0"
    if value is None:
        return "null", "leave the key out, or write NaN in place of a number"
    kind = "list" if isinstance(value, list) else type(value).__name__
    return f"a {kind}", "give each number a name of its own, or steps (CSV, JSON lines)"


def as_text(value: Any) -> str:
    """A parameter that is not a scalar, as text."""
    if value is None:
        return "None"
    return json.dumps(value) if isinstance(value, (bool, list, dict)) else str(value)


def _meaning(text: str) -> Any:
    try:
        return cell_value(text)
    except OverflowError:
        return math.inf
