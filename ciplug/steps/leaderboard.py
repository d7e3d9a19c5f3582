"""Rank the runs of a model by a metric, the best first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from ciplug.comparison.run_that_counts import Facts, Rules, objection_to
from ciplug.errors import NotFound, UsageError, nearest
from ciplug.records.selection import Reason
from ciplug.registry.model import Version
from ciplug.steps.policy_in_force import of_checkout
from ciplug.steps.registered_model import read_if_whole
from ciplug.steps.session import Session
from ciplug.tracking.catalog import Catalog, SearchResult
from ciplug.tracking.entries import Entry
from ciplug.tracking.hidden import NOT_RANKED, only_trainings
from ciplug.tracking.query import (
    BRANCH,
    DIRTY,
    MODEL,
    STATUS,
    TRUSTED,
    Column,
    Comparison,
    Condition,
    Key,
    Order,
    comparisons_in,
)

_NAMED_MOST = 12


@dataclass(frozen=True, kw_only=True)
class RankingRequest:
    """What is to be ranked; None: by the gates, or the only one that there is."""

    model: str | None = None
    metric: str | None = None
    higher_is_better: bool | None = None
    branch: str | None = None
    where: Sequence[Condition] = ()
    columns: Sequence[Key] = ()
    """Values to be shown, which must be recorded of some run."""
    limit: int | None = None
    all: bool = False
    """Whether runs that do not count for their commit are ranked too."""
    with_versions: bool = True


@dataclass(frozen=True)
class Ranking:
    metric: Key
    higher_is_better: bool
    others: Sequence[Key]
    """The other metrics that gates judge."""


@dataclass(frozen=True)
class Leaderboard:
    model: str
    ranking: Ranking
    entries: Sequence[Entry]
    """The best first; those whose metric is NaN are the last."""
    result: SearchResult
    barred: Mapping[Reason, int]
    """Why runs that match are left out, and how many for each reason."""
    versions: Mapping[str, Version]
    """Run → its version in the registry."""
    notes: Sequence[str]
    """What the log of the registry holds that this ciplug skips."""

    @property
    def total(self) -> int:
        """Runs that can be ranked, also those beyond the limit."""
        return self.result.total - self.result.absent


class NoDirection(UsageError):
    """Nothing says whether higher or lower is better for a metric."""


def rank(session: Session, catalog: Catalog, request: RankingRequest) -> Leaderboard:
    """The best runs; the catalog has at least one run.

    A run that would not count for its commit is left out, unless a condition chooses by what is against it.

    Raises UsageError where it is not clear which model or metric ranks, or which way is better, NotFound for a model
    without runs.
    """
    model = _model(request.model or session.config.model, catalog)
    ranking = _ranking(session, catalog, model, request)
    where = [*request.where, Comparison(MODEL, "=", model)]
    where += [Comparison(BRANCH, "=", request.branch)] if request.branch else []
    for key in request.columns:
        catalog.need(key)
    where += only_trainings(where)
    order = Order(ranking.metric, ranking.higher_is_better)
    bars = _Bars(catalog, () if request.all else _reasons(where))
    result = catalog.search(where, [order], request.limit, hide=NOT_RANKED, keep=bars.keep)
    ranked = [entry for entry in result.entries if entry.get(ranking.metric) is not None]
    versions, notes = _versions(session, model) if request.with_versions and ranked else ({}, ())
    return Leaderboard(model, ranking, ranked, result, dict(bars.count), versions, notes)


def _reasons(where: Sequence[Condition]) -> tuple[Reason, ...]:
    """What may be against a run: nothing that a condition chooses by."""
    compared = {comparison.key for comparison in comparisons_in(where)}
    keys = {Reason.FORK: TRUSTED, Reason.DIRTY: DIRTY, Reason.NOT_FINISHED: STATUS}
    return tuple(reason for reason, key in keys.items() if key not in compared)


class _Bars:
    """Leaves out the runs that do not count for their commit, by the rules of `comparison.selection`."""

    _KEYS = (STATUS, TRUSTED, DIRTY)

    def __init__(self, catalog: Catalog, reasons: Collection[Reason]) -> None:
        self.count: Counter[Reason] = Counter()
        self._catalog = catalog
        self._reasons = reasons

    def keep(self, rows: Sequence[int]) -> Sequence[int]:
        """The rows of the runs that are ranked."""
        if not self._reasons:
            return rows
        values = [_getter(self._catalog.column(key)) for key in self._KEYS]
        self.count.clear()
        kept = []
        for row in rows:
            reason = _objection(*(get(row) for get in values), tuple(self._reasons))
            if reason is None:
                kept.append(row)
            else:
                self.count[reason] += 1
        return kept


def _getter(column: Column) -> Callable[[int], str | None]:
    """Row → value, None where there is none."""
    if isinstance(column.rows, range):
        return column.values.__getitem__
    return dict(zip(column.rows, column.values, strict=True)).get


@cache
def _objection(
    status: str | None, trusted: str | None, dirty: str | None, reasons: tuple[Reason, ...]
) -> Reason | None:
    """Why a run is not ranked. One whose state nobody recorded is: a store may hold runs of no repository."""
    facts = Facts(id="", finished=status == "finished", trusted=trusted != "false", dirty=dirty == "true")
    weighed = replace(
        facts,
        finished=facts.finished or Reason.NOT_FINISHED not in reasons,
        trusted=facts.trusted or Reason.FORK not in reasons,
        dirty=facts.dirty and Reason.DIRTY in reasons,
    )
    return objection_to(weighed, _RANKED)


_RANKED = Rules(forks=False, unfinished=False)


def _model(model: str | None, catalog: Catalog) -> str:
    recorded = sorted(catalog.values(MODEL))
    if model is None and len(recorded) > 1:
        raise UsageError(
            f"the store has runs of {len(recorded)} models, and one is ranked at a time",
            hint=f"choose one with --model: {', '.join(recorded[:_NAMED_MOST])}"
            + (", …" if len(recorded) > _NAMED_MOST else ""),
        )
    if model is not None and model not in recorded:
        raise NotFound(f"no run of '{model}' is recorded", hint=nearest(model, recorded))
    return model or recorded[0]


def _ranking(session: Session, catalog: Catalog, model: str, request: RankingRequest) -> Ranking:
    """By the request, else by the gates of the checkout."""
    ruling = of_checkout(session, model)
    directions = ruling.policy.directions() if ruling else {}
    name = request.metric or next(iter(directions), None)
    if name is None:
        raise UsageError("no metric to rank by", hint="--metric NAME, or a gate with higher_is_better in ciplug.yaml")
    metric = Key("metric", name)
    catalog.need(metric)
    source = str(ruling.source) if ruling else ""
    higher = _direction(name, directions.get(name), request.higher_is_better, source)
    recorded = catalog.names("metric")
    others = [Key("metric", other) for other in directions if other != name and other in recorded]
    return Ranking(metric, higher, others)


def direction_of(
    session: Session,
    catalog: Catalog,
    model: str,
    metric: str | None,
    higher_is_better: bool | None,
    *,
    among: Collection[str],
) -> tuple[str | None, bool | None]:
    """Return the metric that ranks some runs of a model, and whether higher is better; (None, None): nothing says so.

    Args:
        metric: the one that was asked for; None: that of the first gate with a direction.
        higher_is_better: as it was asked for.
        among: the metrics that these runs have.

    Raises UsageError for a metric that no run has, and where its direction is not known.
    """
    ruling = of_checkout(session, model)
    directions = ruling.policy.directions() if ruling else {}
    name = metric or next((one for one in directions if one in among), None)
    if name is None:
        return None, None
    catalog.need(Key("metric", name))
    return name, _direction(name, directions.get(name), higher_is_better, str(ruling.source) if ruling else "")


def _direction(metric: str, by_gate: bool | None, requested: bool | None, source: str) -> bool:
    """Whether higher is better. Raises UsageError where gate and request differ, or neither decides."""
    if by_gate is not None and requested not in (None, by_gate):
        raise UsageError(
            f"{source} says that {'higher' if by_gate else 'lower'} is better for '{metric}'",
            hint="leave the option out, or change the gate",
        )
    higher = requested if by_gate is None else by_gate
    if higher is None:
        raise NoDirection(
            f"it is not known whether higher or lower is better for '{metric}'",
            hint="--higher-is-better or --lower-is-better, or higher_is_better in a gate of ciplug.yaml",
        )
    return higher


def _versions(session: Session, model: str) -> tuple[dict[str, Version], Sequence[str]]:
    registered = read_if_whole(session, model)
    return {version.run: version for version in registered.versions if version.run}, registered.notes
