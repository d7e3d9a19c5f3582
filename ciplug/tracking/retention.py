"""Choose the runs that a store need not keep. Pure: nothing is dropped here."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from ciplug.records import moment
from ciplug.records.columns import Columns
from ciplug.records.lineage import ancestors
from ciplug.tracking.amended import NO_CHANGES, changes

UNTRUSTED_MOST = 100
"""Runs of forks that are kept, of all models together, where `keep:` is set."""


@dataclass(frozen=True)
class RetainedRun:
    """A run, as far as retention looks at it."""

    key: str
    id: str
    model: str
    commit: str | None
    branch: str | None
    status: str | None
    """Finished if it ended so every time, as for baselines."""
    started: str
    ended: datetime | None
    """When it ended last: one that was resumed is kept from then on."""
    counts: bool = True
    """False for a withdrawn or deleted run, and its children: it represents no branch, and uses up no place."""
    parent: str | None = None
    """The id of the run that it is a child of, which is of the same commit."""
    trusted: bool = True
    """Whether a job that may write the store recorded it. A fork's run has no rank and stands for no branch."""
    clean: bool = True
    """Whether a trusted job made it from the commit as it is: others are never a baseline."""
    pipeline: bool = True
    """Whether a CI system started it."""
    measured: bool = True
    """Whether it has a metric to compare: others are never a baseline."""
    kind: str | None = "training"
    """A training, or a look at a version in production: neither takes the place of the other."""
    in_windows: frozenset[str] = frozenset()
    """The metrics it has of those that gates compare with several runs."""


@dataclass(frozen=True)
class Compared:
    """What the gates of a model look at."""

    gated: Collection[str] = ()
    """The metrics by their present names; without any, every metric can be compared."""
    windows: Mapping[str, int] = field(default_factory=dict)
    """Metric → the number of last runs on a branch that its gates compare with."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Old name of a metric → its present name."""


EVERY_METRIC = Compared()


def runs_in(
    parts: Iterable[Columns], compared: Callable[[str], Compared] = lambda model: EVERY_METRIC
) -> list[RetainedRun]:
    """The runs of these parts of a store, oldest part first, in the order in which the store accepted them.

    Within a part it is that of their start: a clock that is off moves a run by no more than a part. What is true of a
    run holds for its child runs and theirs, as it does where the run of a commit is chosen.

    Args:
        compared: what the gates of a model look at.
    """
    parts = list(parts)
    amendments = {key: record for part in parts for key, record in part.amendments.items()}
    changed = changes(amendments, problems={})
    runs_kept = []
    for part in parts:
        at = part.attributes
        measured, in_windows = _measured(part, compared)
        rows = [
            RetainedRun(
                key=key,
                id=at["id"][row] or "",
                model=at["model"][row] or "",
                commit=at["commit"][row],
                kind=at["kind"][row],
                branch=at["branch"][row],
                status=changed.get(key, NO_CHANGES).status_of(at["status"][row]),
                started=at["started"][row] or "",
                ended=_moment(changed.get(key, NO_CHANGES).late.ended or at["ended"][row]),
                counts=changed.get(key, NO_CHANGES).counts,
                parent=at["parent"][row],
                trusted=at["trusted"][row] != "false",
                clean=at["dirty"][row] == "false" and at["trusted"][row] != "false",
                pipeline=at["host"][row] != "local",
                measured=row in measured,
                in_windows=frozenset(in_windows.get(row, ())),
            )
            for row, key in enumerate(part.keys)
        ]
        runs_kept += sorted(rows, key=lambda run: (run.started, run.id))
    by_id = {(run.commit, run.id): run for run in runs_kept}
    return [_limited(run, by_id) if run.parent else run for run in runs_kept]


def _measured(part: Columns, compared: Callable[[str], Compared]) -> tuple[set[int], dict[int, set[str]]]:
    """Return the rows of the runs with a metric to compare, and row → its metrics that have a window."""
    models = part.attributes["model"]
    of_model = {model: compared(model or "") for model in set(models)}
    measured: set[int] = set()
    in_windows: dict[int, set[str]] = {}
    for recorded, column in part.metrics.items():
        for row, value in zip(column.rows, column.values, strict=True):
            wanted = of_model[models[row]]
            name = wanted.renamed.get(recorded, recorded)
            if not wanted.gated or name in wanted.gated:
                measured.add(row)
            if name in wanted.windows and math.isfinite(value):
                in_windows.setdefault(row, set()).add(name)
    return measured, in_windows


def _limited(run: RetainedRun, by_id: Mapping[tuple[str | None, str], RetainedRun]) -> RetainedRun:
    """A child run, which is never better than the runs that started it."""
    limited = run
    for one in ancestors(run, lambda child: by_id.get((run.commit, child.parent or ""))):
        limited = replace(
            limited,
            status=limited.status if one.status == "finished" else one.status,
            counts=limited.counts and one.counts,
            trusted=limited.trusted and one.trusted,
            clean=limited.clean and one.clean,
            pipeline=limited.pipeline and one.pipeline,
        )
    return limited


def _moment(text: str | None) -> datetime | None:
    try:
        time = moment.parse(text or "")
    except ValueError:
        return None
    return time if time.tzinfo else None


def newest_on(branches: Collection[str], runs: Sequence[RetainedRun]) -> set[str]:
    """Return the ids of the runs that represent these branches, or may.

    Per model, that is the last run and the last finished run; and of the finished runs that a trusted job made from a
    clean commit, the last one and the last one of a pipeline, and of these the last ones with a metric to compare, so
    that no later run that must not count displaces them.
    Among each of these kinds, a child run represents a commit only where all runs of the model are children.
    """
    counting = _on(branches, runs)
    fit = _fit(counting)
    shown = _without_children(counting)
    finished = [run for run in shown if run.status == "finished"]
    baselines = (*fit, *map(_with_metrics, fit))
    kinds = (shown, finished, *map(_without_children, baselines))
    return {run for kind in kinds for run in _last_of_each(kind)}


def within_windows(
    branches: Collection[str], runs: Sequence[RetainedRun], windows: Callable[[str], Mapping[str, int]]
) -> set[str]:
    """Return the ids of the last runs on these branches that a best, a mean or a history is made of.

    A window counts the commits on which the metric was measured.

    Args:
        windows: of a model, metric → the number of last runs that its gates compare with.
    """
    needed: set[str] = set()
    for kind in map(_without_children, _fit(_on(branches, runs))):
        commits: dict[tuple[str, str | None, str], set[str | None]] = {}
        for run in reversed(kind):
            for metric in run.in_windows:
                counted = commits.setdefault((run.model, run.branch, metric), set())
                if run.commit in counted or len(counted) < windows(run.model).get(metric, 0):
                    counted.add(run.commit)
                    needed.add(run.id)
    return needed


def _on(branches: Collection[str], runs: Sequence[RetainedRun]) -> list[RetainedRun]:
    """The runs on these branches. A fork's run says what it likes of its branch."""
    return [run for run in runs if run.counts and run.trusted and run.branch and run.branch in branches]


def _fit(runs: Sequence[RetainedRun]) -> tuple[list[RetainedRun], list[RetainedRun]]:
    """Return the finished runs that a trusted job made from a clean commit, and those of them from a pipeline."""
    fit = [run for run in runs if run.clean and run.status == "finished"]
    return fit, [run for run in fit if run.pipeline]


def _with_metrics(runs: Sequence[RetainedRun]) -> list[RetainedRun]:
    return [run for run in runs if run.measured]


def _without_children(runs: Sequence[RetainedRun]) -> list[RetainedRun]:
    with_top_level = {(run.model, run.commit) for run in runs if run.parent is None}
    return [run for run in runs if run.parent is None or (run.model, run.commit) not in with_top_level]


def _last_of_each(runs: Iterable[RetainedRun]) -> Collection[str]:
    """The ids of the last run of each model on each branch."""
    return {(run.model, run.branch): run.id for run in runs}.values()


def too_old(runs: Sequence[RetainedRun], *, last: int | None, days: float | None, now: datetime) -> list[RetainedRun]:
    """Return the runs that neither rule keeps. A run whose end is unknown has no age, and `days` keeps it.

    A family is kept or dropped together: `last` counts it once per model and kind, in the position of its newest run,
    and it is kept as long as one of its runs would be. A withdrawn or deleted run is kept as long as a counting run in
    the same position, but uses up no place.

    Runs of forks expire first: they use up no place either, and are kept only while both rules keep them, and they are
    among the last `UNTRUSTED_MOST` of all models. Whoever opens a pull request makes as many as they like, and names
    models as they like.
    """
    if last is None and days is None:
        return []
    rank: Counter[tuple[str, str | None]] = Counter()
    dropped: set[RetainedRun] = set()
    # One by one: a fork's run names any parent that it likes.
    places = min(UNTRUSTED_MOST, last or UNTRUSTED_MOST)
    for place, run in enumerate(reversed([run for run in runs if not run.trusted]), start=1):
        aged = days is not None and (run.ended is None or now - run.ended > timedelta(days=days))
        if aged or place > places:
            dropped.add(run)
    for family in reversed(families([run for run in runs if run.trusted])):
        by_rank = last is not None and any(rank[run.model, run.kind] < last for run in family)
        rank.update({(run.model, run.kind) for run in family if run.counts})
        by_age = days is not None and any(
            run.ended is None or now - run.ended <= timedelta(days=days) for run in family
        )
        if not (by_rank or by_age):
            dropped.update(family)
    return [run for run in runs if run in dropped]


def with_families(ids: Collection[str], runs: Sequence[RetainedRun]) -> set[str]:
    """Return these ids, and those of all runs in the same families, without runs of forks: those join any."""
    trusted = families([run for run in runs if run.trusted])
    together = (family for family in trusted if any(run.id in ids for run in family))
    return {*ids, *(run.id for family in together for run in family)}


def families(runs: Sequence[RetainedRun]) -> list[list[RetainedRun]]:
    """Return each top-level run with its child runs and their children, in the order of their newest runs.

    Children whose parent is not among these runs are one family, too.
    """
    parents = {(run.commit, run.id): run.parent for run in runs}
    groups: dict[tuple[str | None, str], list[RetainedRun]] = {}
    for run in reversed(runs):
        groups.setdefault((run.commit, _root(run, parents)), []).append(run)
    return [group[::-1] for group in groups.values()][::-1]


def _root(run: RetainedRun, parents: Mapping[tuple[str | None, str], str | None]) -> str:
    """The id of the run at the top of a family, also where that run is not in the store."""
    return [run.id, *ancestors(run.id, lambda child: parents.get((run.commit, child)))][-1]
