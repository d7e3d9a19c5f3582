"""The other runs of a candidate's commit, each judged by the policy in force.

Those of earlier commits with the same files are among them: who trains the same code again looks again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ciplug.comparison import repeats, reruns
from ciplug.comparison.run_that_counts import why_behind
from ciplug.errors import ConfigError
from ciplug.records.verdict import Rerun, Reruns

if TYPE_CHECKING:
    from ciplug.comparison.run_that_counts import Facts
    from ciplug.records.comparison import Side
    from ciplug.records.run import Run
    from ciplug.records.verdict import Verdict
    from ciplug.steps.baselines import BaselineFinder

JUDGED_MOST = 30
"""Other runs of the commit that are judged: the last ones."""
Judge = Callable[["BaselineFinder"], "Verdict"]


def reruns_of(finder: BaselineFinder, verdict: Verdict | None = None, judge: Judge | None = None) -> Reruns | None:
    """Return the other runs that may count for the candidate's commit; None where there is none.

    Args:
        verdict: that on the candidate, if there is one.
        judge: gives the verdict on another run, without regard to the rest; None: those are not judged.
    """
    run = finder.run
    if run.commit is None:
        return None
    facts, recorded = finder.facts_of_files, finder.on_same_files
    together = {one.id for one in finder.candidates}
    others = [one for one in reruns.others_of(facts[run.id], facts.values(), finder.rules) if one.id not in together]
    policy = finder.policy
    key = policy.seeds.key if policy and policy.seeds else "seed"
    shown, left = others[:JUDGED_MOST], others[JUDGED_MOST:]
    own = facts[run.id]

    def weighs(other: Facts) -> bool:
        return reruns.weighs(own, other, same_settings=reruns.same_settings(run, recorded[other.id], key))

    withdrawn = [one for one in reruns.others_of(own, facts.values(), finder.rules, withdrawn=True) if weighs(one)]
    if not others and not withdrawn:
        return None

    def judged(other: Facts) -> Rerun:
        one = recorded[other.id]
        return _rerun(one, run, key, _verdict(finder, one, judge) if judge else None)

    behind = {one.id: why for one in others if (why := why_behind(one, own, finder.rules))}
    return Reruns(
        total=len(together) + len(others) - len(behind),
        judged=replace(_rerun(run, run, key, verdict), weighs=True),
        others=tuple(replace(judged(one), weighs=weighs(one), behind=behind.get(one.id)) for one in shown),
        withdrawn=tuple(map(judged, withdrawn[:JUDGED_MOST])),
        more=len(left),
        unjudged=sum(map(weighs, left)),
        behind=len(behind),
        spreads=reruns.spreads([*finder.candidates, *(recorded[one.id] for one in others)], key),
    )


def weighing_reruns(finder: BaselineFinder, *, withdrawn: bool = False) -> list[Run]:
    """The other runs of the commit that could have been judged instead, and gave other numbers to the gates.

    Args:
        withdrawn: those that somebody withdrew. Their numbers decide nothing, and somebody has seen them all the same.

    None for a re-run that is itself judged beside another one, and none of those with the same numbers: who builds a
    commit twice with the same result has not looked for a better one.
    """
    run, together = finder.run, {one.id for one in finder.candidates}
    if run.commit is None or finder.beside is not None:
        return []
    facts, recorded = finder.facts_of_files, finder.on_same_files
    key = finder.policy.seeds.key if finder.policy and finder.policy.seeds else "seed"

    def result(one: Run) -> tuple[float | None, ...]:
        return tuple(one.metrics.get(name) for name in sorted(finder.gated) if not name.startswith(MEASURED))

    of_seeds = {(repeats.seed(one, key), result(one)) for one in finder.candidates}
    others = []
    for other in reruns.others_of(facts[run.id], facts.values(), finder.rules, withdrawn=withdrawn):
        one = recorded[other.id]
        seed = repeats.seed(one, key)
        # A seed that gives the same number again is one result, and no further try.
        known = result(one) == result(run) or (seed is not None and (seed, result(one)) in of_seeds)
        alike = reruns.same_settings(run, one, key)
        if other.id not in together and not known and reruns.weighs(facts[run.id], other, same_settings=alike):
            of_seeds.add((seed, result(one)))
            others.append(one)
    return others


def reruns_of_baseline(finder: BaselineFinder, side: Side) -> list[Run]:
    """The other runs of a baseline's commit that could have been the baseline: whoever trains it again chooses it.

    None where several runs are the baseline together.
    """
    if side.run is None or side.commit is None or side.among > 1 or len(side.runs) > 1:
        return []
    recorded = {run.id: run for run in finder.on([side.commit]).get(side.commit, [])}
    facts = finder.facts_of(recorded)
    if side.run not in facts:
        return []
    key = finder.policy.seeds.key if finder.policy and finder.policy.seeds else "seed"
    own, run = facts[side.run], recorded[side.run]
    return [
        recorded[other.id]
        for other in reruns.others_of(own, facts.values(), finder.rules)
        if reruns.weighs(own, other, same_settings=reruns.same_settings(run, recorded[other.id], key))
    ]


MEASURED = ("run.", "artifacts.")
"""Metrics that ciplug measures itself, which differ from run to run."""


def _rerun(run: Run, candidate: Run, key: str, verdict: Verdict | None) -> Rerun:
    from ciplug.gates.reruns import failed_gates, gates_without_number

    return Rerun(
        run=run.id,
        commit=None if run.commit == candidate.commit else run.commit,
        host=run.provenance.context.host,
        status=run.status,
        seed=repeats.seed(run, key),
        outcome=verdict.outcome if verdict else None,
        failed=failed_gates(verdict) if verdict else (),
        without_number=gates_without_number(verdict) if verdict else (),
        same_command=reruns.same_command(candidate, run),
    )


def _verdict(finder: BaselineFinder, run: Run, judge: Judge) -> Verdict | None:
    try:
        return judge(replace(finder, given=finder.runs.at(run.commit, run.id), beside=finder.run))
    except ConfigError:
        # Every gate needs files of the machine that trained.
        return None
