"""The child runs of a run, such as the trials of a sweep, and the best of them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ciplug.errors import NotFound
from ciplug.records.run import Run
from ciplug.steps.leaderboard import direction_of
from ciplug.steps.metric_order import gated_metrics, gated_order
from ciplug.steps.select import select_runs
from ciplug.steps.session import Session
from ciplug.tracking.entries import Entry
from ciplug.tracking.query import PARENT, RUN_ID, Comparison, Key, Order

if TYPE_CHECKING:
    from ciplug.records.changes import Standing
    from ciplug.tracking.runs import Runs


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """The child runs of a run, the best first where it is known which way is better."""

    parent: Run
    entries: Sequence[Entry]
    params: tuple[str, ...]
    """Parameters that differ between the child runs."""
    alike: Mapping[str, Any]
    """The other parameters, which all of them share."""
    metrics: tuple[str, ...]
    """Metrics of the child runs, those that gates look at first."""
    metric: str | None = None
    """The one that ranks them."""
    higher_is_better: bool | None = None
    best: str | None = None
    """The run that is best among those that finished and count."""
    hidden: int = 0
    """How many are left out."""
    counts: str | None = None
    """The run that counts for the commit of the sweep; None where none does."""


def sweep_of(
    session: Session,
    runs: Runs,
    parent: Run,
    metric: str | None = None,
    higher_is_better: bool | None = None,
    *,
    hide: Collection[Standing] = (),
) -> Sweep:
    """Return the child runs of a run.

    Args:
        metric: ranks them; default: that of the first gate with a direction that any of them has.
        higher_is_better: where no gate says it.
        hide: child runs with such a standing are left out.

    Raises NotFound where the run has no child runs, UsageError for a metric that no run has, or without a direction.
    """
    where = [Comparison(PARENT, "=", parent.id)]
    found = runs.catalog.search(where, hide=hide)
    children = found.entries[::-1]
    if not children and found.hidden:
        raise NotFound(
            f"the child runs of run {parent.id[:12]} are all deleted", hint="--all lists them; ciplug runs restore"
        )
    if not children:
        hint = f"it is a child run itself: ciplug runs sweep {parent.parent[:12]}" if parent.parent else None
        raise NotFound(f"run {parent.id[:12]} has no child runs", hint=hint or "see: ciplug runs list --children")
    measured = {name for entry in children for name in entry.metrics}
    ranked, higher = direction_of(session, runs.catalog, parent.model, metric, higher_is_better, among=measured)
    best = None
    if ranked is not None and higher is not None:
        children = runs.catalog.search(where, [Order(Key("metric", ranked), higher)], hide=hide).entries
        best = next((entry.id for entry in children if _may_be_best(entry, ranked)), None)
    names = sorted({name for entry in children for name in entry.params})
    differ = tuple(name for name in names if len({repr(entry.params.get(name)) for entry in children}) > 1)
    metrics = gated_order(measured, gated_metrics(session, parent.model))
    if ranked in metrics:
        metrics = [ranked, *(name for name in metrics if name != ranked)]
    return Sweep(
        parent=parent,
        entries=children,
        hidden=found.hidden,
        params=differ,
        alike={name: children[0].params[name] for name in names if name not in differ},
        metrics=tuple(metrics),
        metric=ranked,
        higher_is_better=higher,
        best=best,
        counts=_counting(session, runs, parent.commit, parent.model),
    )


def _may_be_best(entry: Entry, metric: str) -> bool:
    finished = entry.attributes.get("status") == "finished" and entry.standing == "active"
    return finished and math.isfinite(entry.metrics.get(metric, math.nan))


def counting_of_sweeps(session: Session, runs: Runs, most: int) -> Iterator[tuple[str, str | None]]:
    """Yield the last runs that have child runs, each with the run that counts for its commit; None: none does."""
    catalog = runs.catalog
    parents = {one for one in catalog.column(PARENT).values if one}
    if not parents or session.workspace is None:
        return
    ids = catalog.column(RUN_ID)
    rows = [row for row, run in zip(ids.rows, ids.values, strict=True) if run in parents]
    for entry in sorted(catalog.entries(rows), key=lambda one: one.attributes.get("started", ""))[: -most - 1 : -1]:
        commit = entry.attributes.get("commit")
        if commit:
            yield entry.id, _counting(session, runs, commit, entry.attributes["model"])


def _counting(session: Session, runs: Runs, commit: str | None, model: str) -> str | None:
    if commit is None:
        return None
    selections = select_runs(session, runs, commit, model)
    return selections[model].chosen if model in selections else None
