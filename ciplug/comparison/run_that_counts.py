"""Which run of a commit counts. Pure, and the only place that knows: docs/which-run-counts.md has the rules as a table.

Whatever takes a run for a commit asks `select`: compare, gate, report, promote, baselines, history. What takes single
runs, such as a leaderboard or a group of seeds, asks `objection_to` with the same rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from ciplug.records.lineage import ancestors
from ciplug.records.run import Run
from ciplug.records.selection import PassedOver, Reason

LOCAL = "local"
"""The host of a run that no CI system started."""
_IMPORTED = "_import"
"""The end of the host of a run that was imported from another system: what it says of its origin is a claim."""


def is_of_pipeline(host: str) -> bool:
    """Whether a CI system started the run: neither a person's machine, nor another system that it was imported from."""
    return host != LOCAL and not host.endswith(_IMPORTED)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The facts about one run that decide whether it counts."""

    id: str
    commit: str | None = None
    parent: str | None = None
    started: str = ""
    finished: bool = True
    end_unknown: bool = False
    """Of a run that is not known to have finished: whether it may have."""
    trusted: bool = True
    signed: bool = True
    """Whether an allowed signer has signed it; True where the policy names none."""
    dirty: bool | None = None
    """None: not recorded."""
    files: tuple[str, ...] = ()
    """The first of the files that differed from the commit."""
    more_files: int = 0
    head_after: str | None = None
    """The commit that its command checked out."""
    set_aside: tuple[str, ...] = ()
    """Files that differed from the commit, and that only the run's own settings ignore."""
    pipeline: bool = False
    """Whether a CI system started it."""
    objection: str | None = None
    """Who withdrew it, as one clause; None where nobody did."""
    metrics: frozenset[str] = frozenset()

    @property
    def may_have_finished(self) -> bool:
        """Whether nothing shows that it failed or was killed."""
        return self.finished or self.end_unknown


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What is asked of a run. Without a change, the rules for the run that a report, gate or promotion looks at."""

    forks: bool = True
    """Whether a fork's run may count where there is no trusted one."""
    unfinished: bool = True
    """Whether a run that failed may count where none finished."""
    children: bool = True
    """Whether a child run may count where there is no other one."""
    pipelines_only: bool = False
    """Whether runs of a person's machine are out: `record: ci`, or `baseline: {source: ci}`."""
    gated: frozenset[str] = frozenset()
    """The metrics that gates look at."""
    compared: frozenset[str] = frozenset()
    """The metrics to compare with; they decide between runs with as many of the gated ones."""
    measured: bool = False
    """Whether a run needs one of these metrics at least."""
    aside: frozenset[str] = frozenset()
    """Runs that are not to be chosen: what the choice is compared with, and its re-runs."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The run that counts for a commit, and the others."""

    chosen: str | None
    passed_over: tuple[PassedOver, ...] = ()
    """The one that would be chosen next comes first."""


def baseline_rules(
    *,
    gated: frozenset[str],
    compared: frozenset[str],
    aside: frozenset[str],
    children: bool = False,
    pipelines_only: bool = False,
) -> Rules:
    """Return the rules for a run that others are compared with: trusted, finished, and with a metric to compare.

    Args:
        children: whether it may be a child run, as for what is compared with a child run.
    """
    return Rules(
        forks=False,
        unfinished=False,
        children=children,
        pipelines_only=pipelines_only,
        gated=gated,
        compared=compared,
        measured=True,
        aside=aside,
    )


def facts_of(run: Run, objection: str | None, set_aside: Callable[[Run], tuple[str, ...]] = lambda run: ()) -> Facts:
    """Return the facts of a run.

    Args:
        run: as `Runs.evidence` has it: no amendment makes a finished run of one that failed.
        objection: who withdrew it, or its parent.
        set_aside: the files that a run did not count as changed, and that the policy in force does.
    """
    origin = run.provenance
    return Facts(
        id=run.id,
        commit=run.commit,
        parent=run.parent,
        started=run.started,
        finished=run.status == "finished",
        end_unknown=run.status == "unknown",
        trusted=origin.context.trusted,
        dirty=origin.dirty,
        files=origin.dirty_files,
        more_files=max(0, (origin.dirty_count or 0) - len(origin.dirty_files)),
        head_after=origin.head_after,
        set_aside=set_aside(run),
        pipeline=is_of_pipeline(origin.context.host),
        objection=objection,
        metrics=frozenset(run.metrics),
    )


def with_parents(runs: Iterable[Facts]) -> dict[str, Facts]:
    """Return id → the facts of each run as they count: a child run is never better than the runs that started it.

    Args:
        runs: all runs of a commit, whatever their models.
    """
    by_id = {run.id: run for run in runs}
    return {run.id: _limited(run, by_id) for run in by_id.values()}


def _limited(run: Facts, by_id: dict[str, Facts]) -> Facts:
    limited = run
    for one in ancestors(run, lambda child: by_id.get(child.parent or "")):
        limited = replace(
            limited,
            finished=limited.finished and one.finished,
            end_unknown=limited.may_have_finished and one.may_have_finished and not (limited.finished and one.finished),
            trusted=limited.trusted and one.trusted,
            signed=limited.signed and one.signed,
            dirty=True if limited.dirty or one.dirty else None if None in (limited.dirty, one.dirty) else False,
            set_aside=limited.set_aside or one.set_aside,
            pipeline=limited.pipeline and one.pipeline,
            objection=limited.objection or (one.objection and f"started by a run that was {one.objection}"),
        )
    return limited


def objection_to(run: Facts, rules: Rules) -> Reason | None:
    """Return why a run may not count even where it is the only one; None where it may."""
    wanted = rules.gated or rules.compared
    objections = {
        Reason.WITHDRAWN: run.objection is not None,
        Reason.FORK: not (run.trusted or rules.forks),
        Reason.UNSIGNED: not (run.signed or rules.forks),
        Reason.DIRTY: run.dirty is True,
        Reason.SET_ASIDE: bool(run.set_aside),
        Reason.STATE_UNKNOWN: run.dirty is None,
        Reason.NOT_FINISHED: not (run.may_have_finished or rules.unfinished),
        Reason.END_UNKNOWN: not (run.finished or rules.unfinished),
        Reason.LAPTOP: rules.pipelines_only and not run.pipeline,
        Reason.CHILD: not (run.parent is None or rules.children),
        Reason.INCOMPLETE: rules.measured and bool(wanted) and not run.metrics & (rules.gated | rules.compared),
    }
    return next((reason for reason, holds in objections.items() if holds), None)


def select(runs: Sequence[Facts], rules: Rules) -> Selection:
    """Choose the run that counts among the runs of one model on one commit.

    Of the runs that may count: a trusted one before a fork's, a finished one before one whose end is not known, that
    one before one that failed, a pipeline's before one of a person's machine, one that is not a child before a child,
    then the one with the most of the gated metrics, then of those to compare, then the last by start time and id.

    Args:
        runs: as `with_parents` gives them.
    """
    others = [run for run in runs if run.id not in rules.aside]
    against = {run.id: objection_to(run, rules) for run in others}
    ranked = sorted(others, key=lambda run: _rank(run, rules), reverse=True)
    fit = [run for run in ranked if against[run.id] is None]
    # A withdrawn run is the last to be shown.
    unfit = sorted((run for run in ranked if against[run.id]), key=lambda run: against[run.id] == Reason.WITHDRAWN)
    behind = [_passed(run, _why_after(fit[0], run, rules)) for run in fit[1:]]
    barred = [_passed(run, reason) for run in unfit if (reason := against[run.id])]
    return Selection(chosen=fit[0].id if fit else None, passed_over=(*behind, *barred))


def _passed(run: Facts, reason: Reason) -> PassedOver:
    return PassedOver(
        run=run.id,
        reason=reason,
        commit=run.commit,
        files=run.set_aside if reason is Reason.SET_ASIDE else run.files,
        more_files=0 if reason is Reason.SET_ASIDE else run.more_files,
        head_after=run.head_after,
        objection=run.objection,
    )


_RANKS = (
    *(Reason.FORK, Reason.UNSIGNED, Reason.NOT_FINISHED, Reason.END_UNKNOWN, Reason.LAPTOP),
    *(Reason.CHILD, Reason.INCOMPLETE, Reason.INCOMPLETE),
)
"""The reason against a run that is behind another one in each place of `_rank`; after them, the later one counts."""


def _rank(run: Facts, rules: Rules) -> tuple[bool, bool, bool, bool, bool, bool, int, int, str, str]:
    complete = (len(run.metrics & rules.gated), len(run.metrics & rules.compared))
    ended = (run.may_have_finished, run.finished)
    return run.trusted, run.signed, *ended, run.pipeline, run.parent is None, *complete, run.started, run.id


def is_as_good(other: Facts, run: Facts, rules: Rules) -> bool:
    """Whether `other` could count in the place of `run`: it is behind by no rule but the last, on the time."""
    return _rank(other, rules)[: len(_RANKS)] >= _rank(run, rules)[: len(_RANKS)]


def why_behind(other: Facts, run: Facts, rules: Rules) -> Reason | None:
    """Return the rule by which `other` could not count in the place of `run`; None: it could."""
    return None if is_as_good(other, run, rules) else _why_after(run, other, rules)


def _why_after(chosen: Facts, run: Facts, rules: Rules) -> Reason:
    before, after = _rank(chosen, rules), _rank(run, rules)
    return next(
        (why for why, ours, theirs in zip(_RANKS, before, after, strict=False) if ours != theirs), Reason.EARLIER
    )
