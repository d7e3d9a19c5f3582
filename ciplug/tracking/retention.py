"""Choose the runs that a store need not keep. Pure: nothing is dropped here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ciplug.records import moment
from ciplug.records.columns import Columns
from ciplug.tracking.amended import NO_CHANGES, changes


@dataclass(frozen=True)
class RetainedRun:
    """A run, as far as retention looks at it."""

    key: str
    id: str
    model: str
    commit: str | None
    branch: str | None
    status: str | None
    started: str
    ended: datetime | None
    counts: bool = True
    """False for a withdrawn or deleted run: it represents no branch, and uses up no place."""


def runs_in(parts: Iterable[Columns]) -> list[RetainedRun]:
    """The runs of these parts of a store, oldest part first, in the order in which the store accepted them.

    Within a part it is that of their start: a clock that is off moves a run by no more than a part.
    """
    parts = list(parts)
    amendments = {key: record for part in parts for key, record in part.amendments.items()}
    changed = changes(amendments, problems={})
    found = []
    for part in parts:
        at = part.attributes
        rows = [
            RetainedRun(
                key=key,
                id=at["id"][row] or "",
                model=at["model"][row] or "",
                commit=at["commit"][row],
                branch=at["branch"][row],
                status=at["status"][row],
                started=at["started"][row] or "",
                ended=_moment(at["ended"][row]),
                counts=changed.get(key, NO_CHANGES).counts,
            )
            for row, key in enumerate(part.keys)
        ]
        found += sorted(rows, key=lambda run: (run.started, run.id))
    return found


def _moment(text: str | None) -> datetime | None:
    try:
        found = moment.parse(text or "")
    except ValueError:
        return None
    return found if found.tzinfo else None


def newest_on(branches: Collection[str], runs: Sequence[RetainedRun]) -> set[str]:
    """Return the ids of the runs that represent these branches: per model, the last finished run and the last run."""
    found: dict[tuple[str, str, bool], str] = {}
    for run in runs:
        if run.branch in branches and run.branch and run.counts:
            found[run.model, run.branch, False] = run.id
            if run.status == "finished":
                found[run.model, run.branch, True] = run.id
    return set(found.values())


def too_old(runs: Sequence[RetainedRun], *, last: int | None, days: float | None, now: datetime) -> list[RetainedRun]:
    """Return the runs that neither rule keeps. A run whose end is unknown has no age, and `days` keeps it.

    A withdrawn or deleted run is kept as long as a counting run in the same position, but uses up no place.
    """
    rank: dict[str, int] = {}
    old = []
    for run in reversed(runs):
        by_rank = last is not None and rank.get(run.model, 0) < last
        rank[run.model] = rank.get(run.model, 0) + run.counts
        by_age = days is not None and (run.ended is None or now - run.ended <= timedelta(days=days))
        if not (by_rank or by_age) and (last is not None or days is not None):
            old.append(run)
    return old[::-1]
