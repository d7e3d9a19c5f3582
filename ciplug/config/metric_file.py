"""The key `metrics` of ciplug.yaml: files, and how each is read where the default does not fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ciplug.config import kinds, values
from ciplug.config.kinds import Listed, Mistake, Table, key, required

_WORDS = ("last", "best", "min", "max")
_EXAMPLE = "{file: history.csv, take: best, of: val_loss}"


def _take(value: Any) -> str | int:
    if (isinstance(value, str) and value in _WORDS) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise ValueError(f"last, best, min, max or the number of a step is expected, not {values.shown(value)}")


@dataclass(frozen=True, kw_only=True)
class MetricFile:
    """A file of metrics, or a folder of DVCLive."""

    file: str = required(kinds.TEXT)
    """Its path, or a pattern: of the files that match, the newest that the run wrote."""
    step: str | None = key(kinds.TEXT)
    """The column that gives the step. Default: it is found by its name."""
    take: str | int = key(kinds.Scalar(_take, {"anyOf": [{"enum": list(_WORDS)}, {"type": "integer"}]}), "last")
    """Of the values by steps, the one that counts: the last, the least (min), the largest (max), the best by the
    direction of the gates, or that of a step."""
    of: str | None = key(kinds.TEXT)
    """The metric whose best, least or largest value chooses the step, from which every metric is taken."""

    def mistakes(self) -> Iterator[Mistake]:
        if self.of is not None and self.take not in ("best", "min", "max"):
            yield Mistake(("of",), "it chooses the step for take: best, min or max")


def _short(value: Any) -> Any:
    """A path in the place of a mapping."""
    if isinstance(value, str) and value.strip():
        return MetricFile(file=value)
    if isinstance(value, dict):
        return value
    words = f"a path, a list of paths, or a mapping like {_EXAMPLE} is expected"
    raise ValueError(f"{words}, not {values.shown(value)}")


FILES = Listed(
    Table(MetricFile, _EXAMPLE, short=_short, short_forms=({"type": "string", "pattern": r"\S"},)), may_be_one=True
)
"""A path, a mapping, or a list of these."""
