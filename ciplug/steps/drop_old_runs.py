"""Drop the runs that `keep:` in ciplug.yaml does not keep.

Versions of models, baselines and what recorded verdicts need are never dropped.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from ciplug.comparison.facts import is_fact
from ciplug.config import Keep
from ciplug.errors import CiplugError, UsageError
from ciplug.git import history
from ciplug.records import columns
from ciplug.records.keys import RunKey, amended_run, is_run
from ciplug.records.registry_event import Payload
from ciplug.registry import ledger
from ciplug.registry.events import payload_of
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.select import counting_on
from ciplug.steps.session import Session, now
from ciplug.steps.signers import by_signatures
from ciplug.stores import Store
from ciplug.tracking import retention
from ciplug.tracking.retention import Compared, RetainedRun
from ciplug.tracking.runs import Runs


@dataclass(frozen=True)
class RunsToDrop:
    """The runs that the retention rule drops."""

    runs: Sequence[RetainedRun]
    protected: int
    """The number of older runs that are kept: in the registry, baselines, or the ones that count for a kept commit."""


def runs_to_drop(session: Session, keep: Keep) -> RunsToDrop:
    """The runs to drop. Raises UsageError where it cannot be known which runs are needed."""
    runs = _all_runs(session)
    old = retention.too_old(runs, last=keep.last, days=keep.days, now=now())
    protected = _protected(session, runs, {run.id for run in old})
    dropped = [run for run in old if run.id not in protected]
    return RunsToDrop(dropped, len(old) - len(dropped))


def drop_runs(session: Session, runs: Sequence[RetainedRun], keep: Keep) -> int:
    """Drop all objects of these runs: records, series, examples, amendments and verdicts; returns how many."""
    store = session.store
    keys = store.keys(*(prefix for run in runs for prefix in RunKey(run.commit, run.id).everything))
    return store.drop(keys, f"{len(runs)} runs; the rule is keep: {keep}")


def _all_runs(session: Session) -> list[RetainedRun]:
    store = session.store
    segments = store.segments()
    held = store.columns(segments)
    loose = [key for key in store.loose() if is_run(key) or amended_run(key)]
    parts = [*(held[name] for name in segments if name in held), columns.of(store.read(loose).items())]
    return retention.runs_in(parts, lambda model: _compared(session, model))


def _compared(session: Session, model: str) -> Compared:
    """What the gates of a model look at; where they look at facts, which every run has, all metrics count."""
    in_force = read_policies(session).find(model)
    if in_force is None:
        return retention.EVERY_METRIC
    renamed = in_force.metrics.rename
    policy = in_force.policy.renamed(renamed)
    gated = frozenset() if any(map(is_fact, policy.gated)) else policy.gated
    return Compared(gated, policy.windows, renamed)


def _protected(session: Session, runs: Sequence[RetainedRun], old: Collection[str]) -> set[str]:
    """Ids of versions of models, and of the runs that a version, a run that stays or the next run is compared with.

    Of each commit that keeps a run of a model, the run that counts for it is kept, too.
    """
    branches, models = _target_branches(session), {run.model for run in runs}
    compared = {model: _compared(session, model) for model in models}
    needed = set(_in_registry(session)) | retention.newest_on(branches, runs)
    needed |= retention.within_windows(branches, runs, lambda model: compared[model].windows)
    protected = _with_counting(session, runs, old, needed)
    staying = [run for run in runs if run.id not in old or run.id in protected]
    return _with_counting(
        session, runs, old, protected | set(_in_verdicts(session.store, [run for run in staying if run.trusted]))
    )


def _with_counting(
    session: Session, runs: Sequence[RetainedRun], old: Collection[str], needed: Collection[str]
) -> set[str]:
    """The needed runs, those that count for the commits that keep a run of their model, and their families."""
    recorded = by_signatures(session, Runs(session.store))
    counting: dict[str, dict[str, set[str]]] = {}
    protected = retention.with_families(needed, runs)
    while True:
        staying = {(run.commit, run.model) for run in runs if run.id not in old or run.id in protected}
        going = {(run.commit, run.model) for run in runs if run.id in old and run.id not in protected}
        parted = {(commit, model) for commit, model in staying & going if commit}
        counting.update(counting_on(session, recorded, {commit for commit, _ in parted} - counting.keys()))
        started_by = {run for commit, model in parted for run in counting[commit].get(model, ())}
        more = retention.with_families(protected | started_by, runs)
        if more == protected:
            return protected
        # Of a family, there may be runs of other models.
        protected = more


def _in_registry(session: Session) -> Iterator[str]:
    """Ids of the runs that the events of the registry name. Raises UsageError for an event of a newer ciplug."""
    for model in ledger.models(session.log):
        for event in ledger.read(session.log, model).events:
            payload: Payload | None = payload_of(event)
            if payload is None:
                raise UsageError(
                    f"event {event.seq} of '{model}' has type {event.type[:60]!r}, which this ciplug does not know: "
                    "it may need runs that would be dropped",
                    hint="upgrade ciplug, and compact again",
                )
            yield from payload.runs


def _in_verdicts(store: Store, runs: Sequence[RetainedRun]) -> Iterator[str]:
    """Ids of the runs that the verdicts of these runs need. Raises UsageError for a verdict that cannot be read."""
    from ciplug.records import read

    keys = store.keys(*(RunKey(run.commit, run.id).verdicts for run in runs))
    for key, data in store.read(keys).items():
        try:
            yield from read.verdict(data, key).needs
        except CiplugError as problem:
            raise UsageError(
                f"{key} cannot be read, so the runs that it needs are unknown: {problem.message}",
                hint="look at it, and set it aside: ciplug fsck --repair",
            ) from None


def _target_branches(session: Session) -> set[str]:
    """Branches whose last runs are baselines."""
    branches = {*read_policies(session).baseline_branches, session.context.default_branch, "main", "master"}
    if session.workspace:
        branches.add(history.default_branch(session.workspace, session.env))
    return {name for name in branches if name}
