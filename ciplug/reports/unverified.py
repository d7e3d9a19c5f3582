"""Runs of a commit that nobody has verified: a section of their own, in which words of strangers are few. Pure.

They decide nothing: no gate judges them, no status counts them, and none is a baseline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ciplug.errors import counted
from ciplug.records.selection import Reason

if TYPE_CHECKING:
    from ciplug.records.run import Run

LISTED_MOST = 10
"""Runs that are listed; the others are counted."""
HEADERS = ("run", "model", "recorded by", "why not verified", "status", "metrics")
CELL_LIMIT = 40
"""Characters of a cell."""
_METRICS_MOST = 3
_WHY = {Reason.FORK: "a fork's job", Reason.UNSIGNED: "no allowed signature"}


@dataclass(frozen=True, kw_only=True)
class UnverifiedRun:
    """One of these runs, as far as a report shows it."""

    run: str
    model: str
    host: str
    reason: Reason
    """FORK or UNSIGNED."""
    status: str
    actor: str | None = None
    """Who recorded it, by its own word."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The first of its metrics."""


@dataclass(frozen=True, kw_only=True)
class Unverified:
    """The runs of a commit that nobody has verified, beside those that the report is about."""

    runs: tuple[UnverifiedRun, ...]
    """The first of them."""
    count: int
    """The number of all."""
    commit: str

    @property
    def title(self) -> str:
        verb = "has" if self.count == 1 else "have"
        return f"{counted(self.count, 'run')} of this commit {verb} not been verified"

    @property
    def words(self) -> str:
        """What they mean, and where the others are, as sentences."""
        more = f" The first {len(self.runs)} are listed." if self.count > len(self.runs) else ""
        where = f"See them: ciplug runs list --commit {self.commit[:12]}"
        return f"They decide nothing: no gate judges them, and none is a baseline.{more} {where}"

    @property
    def rows(self) -> list[list[str]]:
        """A row of `HEADERS` for each run that is listed: text of strangers, which each rendering escapes."""
        return [
            [
                one.run[:12],
                one.model,
                f"{one.host}/{one.actor}" if one.actor else one.host,
                _WHY[one.reason],
                one.status,
                _metrics(one.metrics),
            ]
            for one in self.runs
        ]


def unverified_run(run: Run, reason: Reason) -> UnverifiedRun:
    """Return what a report shows of a run."""
    context = run.provenance.context
    first = sorted(run.metrics)[:_METRICS_MOST]
    return UnverifiedRun(
        run=run.id,
        model=run.model,
        host=context.host,
        reason=reason,
        status=run.status,
        actor=context.actor,
        metrics={name: run.metrics[name] for name in first},
    )


def _metrics(metrics: Mapping[str, float]) -> str:
    from ciplug.reports import number_format, untrusted

    return ", ".join(
        f"{untrusted.shortened(name, 16)}={number_format.number(value)}" for name, value in metrics.items()
    )
