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
    from ciplug.records.run import Run
    from ciplug.records.selection import Reason
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
    if not others:
        return None
    policy = finder.policy
    key = policy.seeds.key if policy and policy.seeds else "seed"
    shown, left = others[:JUDGED_MOST], others[JUDGED_MOST:]
    own = facts[run.id]

    def weighs(other: Facts) -> bool:
        return reruns.weighs(own, other, same_settings=reruns.same_settings(run, recorded[other.id], key))

    behind = {one.id: why for one in others if (why := why_behind(one, own, finder.rules))}
    return Reruns(
        total=len(together) + len(others) - len(behind),
        judged=_rerun(run, key, verdict, weighs=True, same_command=True),
        others=tuple(
            _rerun(
                recorded[one.id],
                key,
                _verdict(finder, recorded[one.id], judge) if judge else None,
                weighs=weighs(one),
                same_command=reruns.same_command(run, recorded[one.id]),
                commit=None if one.commit == run.commit else one.commit,
                behind=behind.get(one.id),
            )
            for one in shown
        ),
        more=len(left),
        unjudged=sum(map(weighs, left)),
        behind=len(behind),
        spreads=reruns.spreads([*finder.candidates, *(recorded[one.id] for one in others)], key),
    )


def weighing_reruns(finder: BaselineFinder) -> list[Run]:
    """The other runs of the commit that could have been judged instead, and gave other numbers to the gates.

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
    for other in reruns.others_of(facts[run.id], facts.values(), finder.rules):
        one = recorded[other.id]
        seed = repeats.seed(one, key)
        # A seed that gives the same number again is one result, and no further try.
        known = result(one) == result(run) or (seed is not None and (seed, result(one)) in of_seeds)
        alike = reruns.same_settings(run, one, key)
        if other.id not in together and not known and reruns.weighs(facts[run.id], other, same_settings=alike):
            of_seeds.add((seed, result(one)))
            others.append(one)
    return others


MEASURED = ("run.", "artifacts.")
"""Metrics that ciplug measures itself, which differ from run to run."""


def _rerun(
    run: Run,
    key: str,
    verdict: Verdict | None,
    *,
    weighs: bool,
    same_command: bool,
    commit: str | None = None,
    behind: Reason | None = None,
) -> Rerun:
    from ciplug.gates.reruns import failed_gates, gates_without_number

    return Rerun(
        run=run.id,
        commit=commit,
        host=run.provenance.context.host,
        status=run.status,
        seed=repeats.seed(run, key),
        outcome=verdict.outcome if verdict else None,
        failed=failed_gates(verdict) if verdict else (),
        without_number=gates_without_number(verdict) if verdict else (),
        weighs=weighs,
        same_command=same_command,
        behind=behind,
    )


def _verdict(finder: BaselineFinder, run: Run, judge: Judge) -> Verdict | None:
    try:
        return judge(replace(finder, given=finder.runs.at(run.commit, run.id), beside=finder.run))
    except ConfigError:
        # Every gate needs files of the machine that trained.
        return None
