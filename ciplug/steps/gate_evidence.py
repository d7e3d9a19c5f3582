"""Gather the input of the gates for one candidate, from the store and from disk."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug.comparison import repeats
from ciplug.errors import CiplugError
from ciplug.records.comparison import Side
from ciplug.records.left_out import UNSURE, LeftOut
from ciplug.records.notice import Notice
from ciplug.records.run import Run
from ciplug.stats.alpha_spending import look_of_seeds
from ciplug.steps.baselines import BaselineFinder
from ciplug.steps.candidate import same_evaluation
from ciplug.steps.policy_in_force import PolicyInForce
from ciplug.steps.reruns import reruns_of_baseline, weighing_reruns
from ciplug.steps.session import Session, now
from ciplug.steps.trend_runs import trails

if TYPE_CHECKING:
    from ciplug.config.gate import Gate
    from ciplug.config.policy import Policy
    from ciplug.gates.evidence import Evidence
    from ciplug.records.examples import Examples
    from ciplug.stats.drift_tests import DataDrift
    from ciplug.stats.intervals import Undecided


def gather(finder: BaselineFinder, in_force: PolicyInForce) -> Evidence:
    """Return the input of all gates of the policy."""
    from ciplug.gates.evidence import Evidence

    policy = in_force.policy
    names = finder.renames.names
    sides: dict[str, Side] = {}
    for name in policy.gates:
        gate = policy.resolved(name)
        if gate.kind == "metric":
            sides[name] = finder.baseline(gate.baseline, gate.metric, gate.higher_is_better)
    history, other = _history(finder, in_force)
    others = weighing_reruns(finder)
    drift = {name: _drift(finder, in_force, gate) for name, gate in policy.gates.items() if gate.kind == "drift"}
    return Evidence(
        candidate=finder.candidate(),
        children=sum(one.parent == finder.run.id for one in finder.facts_on_commit.values()),
        baselines=sides,
        history=history,
        looks=_looks(finder, [*others, *weighing_reruns(finder, withdrawn=True)]),
        reruns=_values(others, policy),
        reruns_of_baseline=_other_baselines(finder, policy, sides),
        other_evaluations=other,
        trails=trails(finder, policy, in_force.evaluation),
        examples=_examples(finder, policy, sides.values()),
        drift=drift,
        unfinished=_unfinished(finder, policy),
        objections=[notice for run in finder.candidates if (notice := finder.objection(run))],
        newer=[notice for run in finder.candidates if (notice := finder.newer_amendment(run))],
        barred=finder.barred,
        named=finder.named,
        changed={run: {metric: one.author for metric, one in of.items()} for run, of in finder.changed.items()},
        left_out=_left_out(finder.candidates, names, policy.gated),
        refused=[one for run in finder.candidates for one in run.left_out if one.why == "file"],
        today=now().date(),
    )


def _left_out(
    candidates: Iterable[Run], names: Mapping[str, str], gated: Iterable[str]
) -> dict[str, tuple[LeftOut, ...]]:
    """Metric → what stands in the place of its number, or of its last one.

    A file that was refused, a line that cannot be read, and a column without a name may have held any metric that is
    not there.
    """
    by_metric: dict[str, tuple[LeftOut, ...]] = {}
    for run in candidates:
        tags = {**{names[tag]: text for tag, text in run.tags.items() if tag in names}, **run.tags}
        texts = (LeftOut(name=name, why="text", found=text[:40]) for name, text in tags.items())
        named = (*texts, *(one for one in run.left_out if one.why not in ("artifact", "output", "elsewhere", "param")))
        noted = [one for one in named if one.name not in run.metrics or one.why in UNSURE]
        lines = [one for one in run.left_out if one.why in ("line", "header")]
        unread = (*(one for one in run.left_out if one.why == "file"), *lines[:1])
        by_metric |= {name: unread for name in gated if name not in run.metrics and unread}
        by_metric |= {one.name: (one,) for one in noted}
    return by_metric


def _looks(finder: BaselineFinder, others: Iterable[Run]) -> int:
    """How often the files of the commit were looked at: each re-run is a look, and each time that seeds were doubled.

    The seeds of an earlier commit were judged together, too.
    """
    seeds = finder.policy.seeds if finder.policy else None
    if seeds is None:
        return 1 + len(list(others))
    looks = look_of_seeds(len(finder.candidates), seeds.min_runs)
    earlier: dict[str | None, list[Run]] = {}
    for run in others:
        if run.commit == finder.run.commit:
            looks += 1
        else:
            earlier.setdefault(run.commit, []).append(run)
    for runs in earlier.values():
        different = {repeats.seed(run, seeds.key) for run in runs}
        looks += len(runs) - len(different) + look_of_seeds(len(different), seeds.min_runs)
    return looks


def _values(others: Iterable[Run], policy: Policy) -> dict[str, list[float]]:
    """Metric → its finite values in other runs of the commit, of the metrics that gates compare."""
    metrics = {policy.metric_of(name) for name, gate in policy.gates.items() if gate.max_regression}
    by_metric = {m: [r.metrics[m] for r in others if math.isfinite(r.metrics.get(m, math.nan))] for m in metrics}
    return {metric: values for metric, values in by_metric.items() if values}


def _other_baselines(finder: BaselineFinder, policy: Policy, sides: Mapping[str, Side]) -> dict[str, list[float]]:
    """Gate → the finite values of its metric in the runs that could be its baseline as well."""
    # `previous` compares with the last of several evaluations on purpose.
    compared = [
        name for name in sides if (gate := policy.resolved(name)).max_regression and gate.baseline.ref != "previous"
    ]
    by_run = {side.run: side for name in compared if (side := sides[name]).run}
    others = {run: reruns_of_baseline(finder, side) for run, side in by_run.items()}
    values = {
        name: [r.metrics[m] for r in others.get(sides[name].run or "", ()) if math.isfinite(r.metrics.get(m, math.nan))]
        for name in compared
        for m in (policy.metric_of(name),)
    }
    return {name: found for name, found in values.items() if found}


def _history(finder: BaselineFinder, in_force: PolicyInForce) -> tuple[dict[str, list[float]], int]:
    """Metric → its values on the branch, the oldest first, of the metrics that are compared or whose gates ask for it.

    Runs that were measured on other data than the candidate are left out; how many is the second part.
    """
    policy = in_force.policy
    names = (name for name, gate in policy.gates.items() if gate.history or gate.max_regression)
    metrics = {policy.metric_of(name) for name in names}
    trail = finder.trail(policy.baseline.branch)[::-1] if metrics else []
    alike = [run for run in trail if same_evaluation(finder.candidates, run, in_force.evaluation)]
    values = {metric: [r.metrics[metric] for r in alike if metric in r.metrics] for metric in metrics}
    return values, len(trail) - len(alike)


def _examples(finder: BaselineFinder, policy: Policy, sides: Iterable[Side]) -> dict[str, Examples]:
    """Run → its examples; of the candidate and of the baselines."""
    if policy.samples is None:
        return {}
    # Of several seeds, each has examples of its own.
    seeds = policy.seeds is not None
    compared = {run.id: run for side in sides for run in finder.runs_of(side) if seeds or run.id == side.run}
    ours = finder.candidates if seeds else (finder.run,)
    by_run = {run.id: finder.runs.examples(run) for run in (finder.run, *ours, *compared.values())}
    return {run: examples for run, examples in by_run.items() if examples is not None}


def _unfinished(finder: BaselineFinder, policy: Policy) -> list[Notice]:
    key = policy.seeds.key if policy.seeds else ""
    runs = (*finder.candidates, *finder.failed_seeds)
    seeds = {run.id: f"{key} {repeats.seed(run, key)}" for run in runs} if len(runs) > 1 else {}
    return [notice for run in runs if (notice := finder.unfinished(run, seeds.get(run.id)))]


def _drift(finder: BaselineFinder, in_force: PolicyInForce, gate: Gate) -> DataDrift | Undecided:
    from ciplug.capture.drift_files import compare
    from ciplug.stats.intervals import Undecided

    samples = in_force.policy.samples
    current = gate.current or (samples.file if samples else None)
    if gate.reference is None or current is None:
        return Undecided("there is no file to compare")
    folder = finder.session.top / in_force.folder
    try:
        if samples and current == samples.file and finder.runs.examples(finder.run) is None:
            return Undecided(f"the run recorded no examples: the file {current} is not from this run")
        if other := _other_content(finder.run, finder.session, folder / current):
            return Undecided(other)
        roles = (samples.id, samples.label, samples.prediction) if samples and current == samples.file else ()
        return compare(folder / Path(gate.reference), folder / Path(current), gate.columns, gate.test, roles)
    except CiplugError as problem:
        return Undecided(problem.message)


def _other_content(run: Run, session: Session, file: Path) -> str | None:
    """The reason why a file is not the one that the run recorded; None where it is, or the run recorded none."""
    from ciplug.capture.content import examine, name_of

    name = name_of(file, session.top)
    recorded = next((one for one in (*run.artifacts, *run.datasets) if one.path == name), None)
    if recorded is None or examine(file, session.top, by_pointer=True).file.digest == recorded.digest:
        return None
    return f"{name}: this file is not the one that the run recorded"
