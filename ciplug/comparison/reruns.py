"""Several runs of one commit: which of them are re-runs of the one that counts, and where their numbers differ. Pure.

A run that must not count for its commit takes no part, so that it changes no verdict. No statistics: a spread is the
least and the largest value that were seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from ciplug.comparison.baseline_deltas import RTOL
from ciplug.comparison.command_lines import PLACE_OR_TIME, experiment
from ciplug.comparison.facts import facts
from ciplug.comparison.repeats import seed, settings
from ciplug.comparison.run_that_counts import Facts, Rules, objection_to
from ciplug.records.run import Run, Scalar
from ciplug.records.verdict import Difference, Spread, SpreadMetric


def others_of(run: Facts, recorded: Iterable[Facts], rules: Rules, *, withdrawn: bool = False) -> list[Facts]:
    """Return the other runs that may count for the commit of `run`, the last first; none if `run` itself may not.

    Args:
        withdrawn: return those that may not only because somebody withdrew or deleted them.
    """
    if objection_to(run, rules) is not None:
        return []
    others = [
        one
        for one in recorded
        if one.id != run.id
        and (one.objection is not None) == withdrawn
        and objection_to(replace(one, objection=None), rules) is None
    ]
    # Whoever may push records runs: unless they are as trusted as the one that counts, they take no part.
    own = run.trusted, run.signed, run.parent is None
    alike = [one for one in others if (one.trusted, one.signed, one.parent is None) == own]
    return sorted(alike, key=lambda one: (one.started, one.id), reverse=True)


def weighs(run: Facts, other: Facts, *, same_settings: bool) -> bool:
    """Whether a re-run takes part in the verdict, and is not only shown.

    One that failed, or of a person's machine beside a pipeline's, would be passed over; one with other parameters is
    another experiment.
    """
    return same_settings and other.finished and other.pipeline == run.pipeline


def same_settings(run: Run, other: Run, key: str) -> bool:
    """Whether two runs are one experiment, apart from their seed: the same command, or the same parameters.

    Of the same command, parameters decide only between the jobs of a matrix. A training logs the process, the host or
    an id of its own as a parameter, and no name or value tells these from what was trained.
    """
    ours, theirs = settings(run, key), settings(other, key)
    if not same_command(run, other):
        return ours == theirs
    return not _other_leg(run, other) or _without_places(ours) == _without_places(theirs)


def _other_leg(run: Run, other: Run) -> bool:
    """Whether two runs may be of different jobs of one matrix."""
    if run.provenance.context.leg != other.provenance.context.leg:
        return True
    return run.provenance.context.leg is None and _attempt(run) == _attempt(other) and _job_id(run) != _job_id(other)


def same_command(run: Run, other: Run) -> bool:
    """Whether two runs have the same command line, apart from where it writes and is started from, and when."""
    return experiment(run.provenance.command) == experiment(other.provenance.command)


def _without_places(params: Mapping[str, Scalar]) -> Mapping[str, Scalar]:
    """Return the parameters, with no value for those that are a path or a time."""
    return {
        name: "" if isinstance(value, str) and PLACE_OR_TIME.search(value) else value for name, value in params.items()
    }


def spreads(runs: Sequence[Run], key: str) -> tuple[Spread, ...]:
    """Return where runs of one code with the same parameters and seed gave other numbers.

    Args:
        runs: those of one commit that may count, with the numbers that count.
        key: the parameter that holds the seed.
    """
    finished = [run for run in runs if run.status == "finished"]
    spreads = (_spread(group, seed(group[0], key)) for group in _grouped(finished, lambda run: _identity(run, key)))
    return tuple(spread for spread in spreads if spread)


def _identity(run: Run, key: str) -> Hashable:
    own = seed(run, key)
    # A parameter of that name which is not the seed of the run is a parameter as any other.
    given = {name: value for name, value in run.params.items() if (name, value) != (key, own)}
    params = tuple(sorted((name, repr(value)) for name, value in _without_places(given).items()))
    return run.parent, repr(own), params


def _spread(runs: Sequence[Run], of_seed: object) -> Spread | None:
    if of_seed is not None:
        alike = _grouped(runs, lambda run: tuple(_circumstances(run).items()))
        for one_job in (part for group in alike for part in _without_legs(group)):
            if metrics := _differing(one_job):
                return Spread(flaky=True, seed=str(of_seed), runs=_ids(_with(metrics, one_job)), metrics=metrics)
    if metrics := _differing(runs):
        name, measured = None if of_seed is None else str(of_seed), _with(metrics, runs)
        return Spread(flaky=False, seed=name, runs=_ids(measured), metrics=metrics, differs=_differences(measured))
    return None


def _without_legs(runs: Sequence[Run]) -> list[list[Run]]:
    """Part the runs of a matrix whose legs look alike: what differs between them may be any variable of theirs.

    Two jobs of one name in one attempt of a pipeline run are legs. Which leg a job of another attempt is, nobody knows.
    """
    by_attempt = _grouped((run for run in runs if _job_id(run)), _attempt)
    has_legs = runs[0].provenance.context.leg is None and any(len(set(map(_job_id, group))) > 1 for group in by_attempt)
    return _grouped(runs, lambda run: (_attempt(run), _job_id(run))) if has_legs else [list(runs)]


def _attempt(run: Run) -> Hashable:
    context = run.provenance.context
    return context.run_url, context.attempt


def _job_id(run: Run) -> str | None:
    return run.provenance.context.job_id


def _with(metrics: Sequence[SpreadMetric], runs: Sequence[Run]) -> list[Run]:
    """Return the runs that have one of the metrics at least."""
    return [run for run in runs if any(one.metric in run.metrics for one in metrics)]


def _ids(runs: Iterable[Run]) -> tuple[str, ...]:
    return tuple(run.id for run in runs)


def _grouped(runs: Iterable[Run], by: Callable[[Run], Hashable]) -> list[list[Run]]:
    groups: dict[Hashable, list[Run]] = {}
    for run in runs:
        groups.setdefault(by(run), []).append(run)
    return [group for group in groups.values() if len(group) > 1]


def _differing(runs: Sequence[Run]) -> tuple[SpreadMetric, ...]:
    """Return the metrics whose values differ by more than rounding. What measures the machine is left out."""
    measured = set().union(*(facts(run) for run in runs))
    names = sorted(set().union(*(run.metrics for run in runs)) - measured)
    values = {name: [run.metrics[name] for run in runs if name in run.metrics] for name in names}
    return tuple(
        SpreadMetric(metric=name, least=least, most=most)
        for name, of_metric in values.items()
        for least, most in [_ends(of_metric)]
        if not _equal(least, most)
    )


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """Return the least and the largest value; a NaN is less than any number."""
    ordered = sorted(values, key=lambda value: (not math.isnan(value), value))
    return ordered[0], ordered[-1]


def _equal(one: float, other: float) -> bool:
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return one == other or abs(one - other) <= RTOL * max(abs(one), abs(other))


# --- what differed between them


def _circumstances(run: Run) -> Mapping[str, str]:
    """All that may change the numbers of one code with the same parameters and seed, as far as it is recorded."""
    origin, machine = run.provenance, run.provenance.hardware
    return {
        # The merges of one head with different tips of its target are different code.
        "merge commit": (origin.context.merge_commit or "")[:12],
        "command": " ".join(experiment(origin.command)),
        "host": origin.context.host,
        # The legs of a matrix may differ in what nothing else shows.
        "job": origin.context.job or "",
        "leg of the matrix": origin.context.leg or "",
        "system": origin.os or "",
        "Python": origin.python or "",
        "CPU": machine.cpu or "",
        "cores": str(machine.cores or ""),
        "GPU": ", ".join(machine.gpus),
        **{f"package {name}": version for name, version in sorted(origin.packages.items())},
        **{f"dataset {file.path}": file.digest.removeprefix("sha256:")[:12] for file in run.datasets},
    }


def _differences(runs: Sequence[Run]) -> tuple[Difference, ...]:
    each: list[Mapping[str, str]] = [_circumstances(run) for run in runs]
    if all(one == each[0] for one in each):
        # What the legs of a matrix differ in is not recorded.
        each = [{"job": _job_id(run) or ""} for run in runs]
    names: AbstractSet[str] = dict.fromkeys(name for one in each for name in one).keys()
    values = {name: tuple(dict.fromkeys(one.get(name) or "none" for one in each)) for name in names}
    return tuple(Difference(what=name, values=seen) for name, seen in values.items() if len(seen) > 1)
