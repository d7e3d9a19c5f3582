"""What differs between several runs, as records."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ciplug.records.run import Run, Scalar

if TYPE_CHECKING:
    from ciplug.records.series import Series

Part = Literal["run", "params", "metrics", "series", "environment", "packages", "datasets", "artifacts", "tags"]


@dataclass(frozen=True)
class SeriesSummary:
    """The steps of a metric in a few numbers."""

    steps: int
    """How many different ones: a program may log several values at one step."""
    last_step: int
    last: float
    """The value of the highest step; of several the latest."""
    min: float
    max: float
    """NaN values are passed over, unless there are no others."""

    @classmethod
    def of(cls, series: Series) -> SeriesSummary:
        """Sum up a series, which has at least one point."""
        points = zip(series.steps[::-1], series.values[::-1], strict=True)
        last_step = max(series.steps)
        last = next(value for step, value in points if step == last_step)
        numbers = [value for value in series.values if not math.isnan(value)] or [math.nan]
        return cls(len(set(series.steps)), last_step, last, min(numbers), max(numbers))


@dataclass(frozen=True)
class FileFact:
    """A file in a run, by its content."""

    digest: str
    size: int | None = None
    """Bytes; None for a dataset that a program named."""
    is_here: bool = True
    """False for an artifact of which only the digest was kept."""


Value = Scalar | SeriesSummary | FileFact
Rows = Mapping[str, tuple[Value | None, ...]]
"""Name → the value in each run; None where a run has none."""


@dataclass(frozen=True)
class CodeChange:
    """A file that differs between the commits of two runs."""

    path: str
    added: int | None
    """Lines; None for a binary file."""
    removed: int | None
    before: str | None = None
    """The path in the first commit, of a file that was renamed."""


@dataclass(frozen=True)
class CodeDiff:
    """The code of one run against that of the first."""

    before: str | None
    after: str | None
    """Commits."""
    files: tuple[CodeChange, ...] = ()
    problem: str | None = None
    """Why the files are not known."""


@dataclass(frozen=True)
class RunDiff:
    """Several runs side by side."""

    names: tuple[str, ...]
    """The name by which a user asked for each run."""
    runs: tuple[Run, ...]
    parts: Mapping[Part, Rows]
    """The rows that differ; all of them, where these were asked for."""
    same: Mapping[Part, int]
    """The number of rows that are alike, and left out."""
    code: tuple[CodeDiff, ...] = ()
    """Of each run but the first."""
