"""Runs of one commit that differ in their seed only are one candidate. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ciplug.comparison.run_that_counts import Facts, Rules, objection_to, select
from ciplug.records.canonical import dumps
from ciplug.records.comparison import Side
from ciplug.records.run import Run, Scalar


def seed(run: Run, key: str) -> Scalar | None:
    """The seed of a run: the parameter of that name; for `seed`, the run's own, which `--seed` gives, comes first."""
    own = run.provenance.seed if key == "seed" else None
    return run.params.get(key) if own is None else own


def independent(runs: Iterable[Run], metric: str, key: str) -> list[float]:
    """The finite numbers of runs of one commit, without copies.

    A training that gives its number again with the same seed shows how exactly it repeats itself, not how much the
    metric scatters. Where a seed is not recorded, an equal number with equal parameters is taken for a copy.
    """
    values, seeded, unseeded = [], set(), []
    for run in runs:
        value, own = run.metrics[metric], seed(run, key)
        number = (dumps(settings(run, key)), value)
        if not math.isfinite(value):
            continue
        if own is None:
            unseeded.append(number)
        elif (repr(own), number) not in seeded:
            seeded.add((repr(own), number))
            values.append(value)
    known = {number for _, number in seeded}
    return values + [value for settings_of, value in dict.fromkeys(unseeded) if (settings_of, value) not in known]


def group(run: Run, others: Sequence[Run], key: str, facts: Mapping[str, Facts], rules: Rules) -> tuple[Run, ...]:
    """The runs that differ from `run` in their seed only, of each seed the one that counts, with `run` for its own.

    A child run is grouped with other children of its parent, and no other run. A run that must not count joins no
    group, and stands alone.

    Ordered by seed. A run without a seed stands alone.

    Args:
        facts: of `run` and of `others`, by their ids.
        rules: the rules for a run that others are compared with.
    """
    own = seed(run, key)
    if own is None or objection_to(facts[run.id], rules):
        return (run,)

    alike = (one for one in others if settings(one, key) == settings(run, key))
    by_seed = {**_of_each_seed(run, alike, key, facts, rules), own: run}
    return _by_seed(by_seed)


def failed(
    run: Run, together: Sequence[Run], others: Sequence[Run], key: str, facts: Mapping[str, Facts], rules: Rules
) -> tuple[Run, ...]:
    """The runs that would be in the group of `run` had they finished: of each seed that no run finished, the last.

    Evidence against the group: a seed that fails is not a reason to judge the others alone. Only a run that is as good
    as `run` in all else counts, so that no fork, no dirty tree and no person's machine fails what a pipeline trained.
    It may have ended before it recorded all of its parameters.

    Args:
        together: the group, as `group` gives it.
        others: all runs of the commit.
        facts: of `run` and of `others`, by their ids.
        rules: the rules that `group` was asked with.
    """
    if seed(run, key) is None or objection_to(facts[run.id], rules):
        return ()
    finished = {seed(one, key) for one in together}
    ours = settings(run, key).items()
    lost = (
        one
        for one in others
        if not facts[one.id].finished
        and facts[one.id].pipeline >= facts[run.id].pipeline
        and seed(one, key) not in finished
        and settings(one, key).items() <= ours
    )
    return _by_seed(_of_each_seed(run, lost, key, facts, replace(rules, unfinished=True)))


def _of_each_seed(
    run: Run, others: Iterable[Run], key: str, facts: Mapping[str, Facts], rules: Rules
) -> dict[Scalar, Run]:
    """Seed → the run that counts for it, of those of the model, commit and parent of `run`."""
    of_seed: dict[Scalar, list[Run]] = {}
    for other in others:
        value = seed(other, key)
        if value is not None and (other.model, other.commit, other.parent) == (run.model, run.commit, run.parent):
            of_seed.setdefault(value, []).append(other)
    chosen = {value: select([facts[one.id] for one in runs], rules).chosen for value, runs in of_seed.items()}
    return {value: next(one for one in of_seed[value] if one.id == best) for value, best in chosen.items() if best}


def _by_seed(by_seed: Mapping[Scalar, Run]) -> tuple[Run, ...]:
    return tuple(by_seed[value] for value in sorted(by_seed, key=lambda value: (len(str(value)), str(value))))


def settings(run: Run, key: str) -> Mapping[str, Scalar]:
    """Return the parameters apart from the seed."""
    return {name: value for name, value in run.params.items() if name != key}


def together(side: Side, runs: Sequence[Run]) -> Side:
    """The side with the mean of each metric that all of its runs have."""
    if len(runs) < 2:
        return replace(side, runs=tuple(run.id for run in runs))
    some = set().union(*(run.metrics for run in runs))
    shared = set.intersection(*(set(run.metrics) for run in runs))
    repeats = {name: tuple(run.metrics[name] for run in runs) for name in sorted(shared)}
    return replace(
        side,
        runs=tuple(run.id for run in runs),
        metrics={name: mean(values) for name, values in repeats.items()},
        repeats=repeats,
        lacking={name: tuple(run.id for run in runs if name not in run.metrics) for name in sorted(some - shared)},
        how=f"{side.how}, {len(runs)} runs" if side.how else f"{len(runs)} runs",
    )


def mean(values: Sequence[float]) -> float:
    """The mean; NaN where a NaN or infinities of both signs take part, infinite where it is too large."""
    import statistics

    try:
        return statistics.fmean(values)
    except (OverflowError, ValueError):
        return sum(values) / len(values)
