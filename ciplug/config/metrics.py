"""The key `metrics` of ciplug.yaml: files, how each is read, which metrics a person sees, and names that changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    take: str | int | None = key(kinds.Scalar(_take, {"anyOf": [{"enum": list(_WORDS)}, {"type": "integer"}]}))
    """Of the values by steps, the one that counts: that of the last row (last), the least (min), the largest (max), the
    best by the direction of the gates, or that of a step. Default: the last that was logged, by the steps."""
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


_FILES = Listed(
    Table(MetricFile, _EXAMPLE, short=_short, short_forms=({"type": "string", "pattern": r"\S"},)), may_be_one=True
)
"""A path, a mapping, or a list of these."""


def _renames(value: Any) -> dict[str, str]:
    """Old name → the name that a metric has now, however many names lie between."""
    if not isinstance(value, dict) or not all(isinstance(new, str) and new.strip() for new in value.values()):
        raise ValueError(f"a mapping of old names to new ones is expected, not {values.shown(value)}")
    given = {values.nfc(old): values.nfc(new) for old, new in value.items()}
    present = {}
    for old, name in given.items():
        passed = {old}
        while name in given and name not in passed:
            passed.add(name)
            name = given[name]
        if name in passed:
            raise ValueError(f"'{old}' is renamed to itself")
        present[old] = name
    return present


_RENAMES = kinds.Scalar(_renames, {"type": "object", "additionalProperties": {"type": "string", "pattern": r"\S"}})


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """The metrics of a model."""

    files: tuple[MetricFile, ...] = key(_FILES, ())
    """Files of metrics, or DVCLive folders, and how they are read."""
    show: tuple[str, ...] = key(kinds.NAMES, ())
    """Metrics that a report shows beside those of gates; `*` matches. Default: as many as are read at a glance."""
    hide: tuple[str, ...] = key(kinds.NAMES, ())
    """Metrics that no report lists, unless a gate looks at them; `*` matches."""
    rename: Mapping[str, str] = key(_RENAMES, {})
    """Old name of a metric → its present name: runs, baselines and gates follow."""


class _OfModel(Table):
    """A mapping, or files alone in its place."""

    def read(self, value: Any, path: kinds.Path, mistakes: kinds.Mistakes) -> Any:
        if isinstance(value, dict) and not kinds.keys_of(MetricFile).keys() & value.keys():
            return super().read(value, path, mistakes)
        return Metrics(files=_FILES.read(value, path, mistakes))

    def schema(self, define: kinds.Define) -> kinds.Schema:
        return {"anyOf": [*_FILES.schema(define)["anyOf"], super().schema(define)]}


METRICS = _OfModel(Metrics, "{files: metrics.json, show: [accuracy]}")
