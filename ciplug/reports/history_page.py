"""The history of a metric as one self-contained HTML page: no script, nothing loaded from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ciplug.errors import counted
from ciplug.reports import charts, number_format
from ciplug.reports.pages import template

_WIDTHS = {"wide": 900, "narrow": 420}
"""The chart on a wide page, and on that of a telephone."""


@dataclass(frozen=True, kw_only=True)
class HistoryRow:
    """A commit with a run."""

    at: int
    commit: str
    run: str
    value: float
    runs: int
    """How many runs of the commit may count."""
    date: str
    author: str
    subject: str
    versions: Sequence[str]
    """Like `v3 Production`."""


@dataclass(frozen=True, kw_only=True)
class HistoryChange:
    """A change of the level."""

    at: int
    words: str
    """On the change: how far, which commit, how sure."""
    is_worse: bool | None


@dataclass(frozen=True, kw_only=True)
class HistoryPage:
    metric: str
    model: str
    branch: str
    higher_is_better: bool | None
    rows: Sequence[HistoryRow]
    """The oldest first; one at least."""
    changes: Sequence[HistoryChange]
    bounds: Sequence[tuple[float, str]]
    notes: Sequence[str]


def render(page: HistoryPage) -> str:
    """The whole page; everything that comes from commits and runs is escaped."""
    values = [row.value for row in page.rows]
    return template("history.html.jinja").render(
        page=page,
        title=f"{page.metric} of {page.model}",
        count=counted(len(page.rows), "commit"),
        drawn={name: charts.svg(_chart(page, width), f"history-{name}") for name, width in _WIDTHS.items()},
        direction={None: "", True: "higher is better", False: "lower is better"}[page.higher_is_better],
        rows=list(zip(page.rows, number_format.numbers(values), strict=True))[::-1],
    )


def _chart(page: HistoryPage, width: int) -> charts.Chart:
    finite = [row.value for row in page.rows if math.isfinite(row.value)]
    low, high = number_format.numbers([min(finite), max(finite)]) if finite else ("", "")
    promoted = [(float(row.at), row.versions[-1]) for row in page.rows if row.versions]
    changed = [(float(change.at), f"change {number}") for number, change in enumerate(page.changes, start=1)]
    return charts.Chart(
        title=page.metric,
        description=f"{page.metric} of {counted(len(page.rows), 'commit')}, oldest first, from {low} to {high}",
        points=[(float(row.at), row.value) for row in page.rows],
        bounds=page.bounds,
        marks=[*changed, *promoted],
        x_ends=(page.rows[0].commit[:8], page.rows[-1].commit[:8]),
        width=width,
    )
