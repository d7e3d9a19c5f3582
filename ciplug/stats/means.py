"""Student's t-tests: of several seeds per side, or of one run per side with the noise of a history. No numpy."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from ciplug.errors import counted
from ciplug.stats.distributions import t_isf, t_sf
from ciplug.stats.intervals import LARGEST, Interval, Rule, Undecided, Unit


def welch(candidate: Sequence[float], baseline: Sequence[float], rule: Rule) -> Interval | Undecided:
    """Means of several runs with different seeds (B. L. Welch, 1947), one value per seed on each side."""
    if unusable := _unusable(candidate, "the candidate") or _unusable(baseline, "the baseline"):
        return unusable
    if len(candidate) < 2 or len(baseline) < 2:
        return Undecided(
            "noise between seeds cannot be estimated: at least two seeds are needed on each side "
            f"(candidate {len(candidate)}, baseline {len(baseline)})"
        )
    baseline = [rule.scale * value for value in baseline]
    estimate = rule.sign * (statistics.fmean(candidate) - statistics.fmean(baseline))
    # Standard errors and their shares, not variances: the square of a tiny number would be 0.
    parts = [(statistics.stdev(values) / math.sqrt(len(values)), len(values) - 1) for values in (candidate, baseline)]
    error = math.hypot(*(part for part, _ in parts))
    df = freedom([((part / error) ** 2, degrees) for part, degrees in parts]) if error > 0 else 1.0
    interval = student(
        estimate,
        error,
        df,
        rule.margin,
        method="Welch's t-test on seed means",
        n=min(len(candidate), len(baseline)),
        unit="seed",
    )
    return rule.of_margin(interval)


def freedom(parts: Sequence[tuple[float, int]]) -> float:
    """The degrees of freedom of a sum of variances, each with its own (F. E. Satterthwaite, 1946).

    No more than if every side had as few seeds as the smallest: beside many seeds of the baseline, two of the candidate
    may agree by chance, and their noise then looks known. Without this, 2 beside 20 seeds err in 8% of cases.
    """
    total = sum(part for part, _ in parts)
    df = total * total / sum(part * part / degrees for part, degrees in parts)
    return min(df, len(parts) * min(degrees for _, degrees in parts))


def successive(
    candidate: float,
    baseline: float,
    history: Sequence[float],
    rule: Rule,
    *,
    averaged: int = 1,
    repeated: int = 1,
) -> Interval | Undecided:
    """One run beside its baseline, with the noise that the runs of a branch show from one to the next.

    The variance is half the mean square of successive differences (J. von Neumann and others, 1941): a trend or a level
    that changed long ago adds little to it, and where the noise of neighbours goes together, it is the part that they
    do not share. Jumps, which are changes and no noise, are left out. The degrees of freedom are those of
    independent normal noise, 2(k − 1)² / (3k − 4).

    Args:
        history: values of earlier runs, oldest first; the baseline may be among them.
        repeated: runs that the candidate is the mean of.
        averaged: runs that the baseline is the mean of. Its distance to the candidate's neighbourhood counts as noise.
    """
    if unusable := _unusable([candidate, baseline], "the comparison") or _unusable(history, "the history"):
        return unusable
    k = len(history)
    if k < 3:
        return Undecided(
            f"{counted(k, 'earlier run')} {'says' if k == 1 else 'say'} too little about the noise between runs"
        )
    steps, jumps = _steps(history)
    deviation = noise(history)
    if averaged > 1:
        deviation = max(deviation, statistics.stdev(history))
    scale = rule.scale
    estimate = rule.sign * (candidate - scale * baseline)
    interval = student(
        estimate,
        deviation * math.sqrt(1 / repeated + scale * scale / averaged),
        2 * (len(steps)) ** 2 / (3 * len(steps) - 1),
        rule.margin,
        method=f"noise from the successive differences of {k} earlier runs",
        n=k,
        unit="run",
    )
    if jumps:
        interval = replace(
            interval, notes=(*interval.notes, f"the history has {counted(jumps, 'jump')}, which is not noise")
        )
    return rule.of_margin(interval)


def noise(history: Sequence[float]) -> float:
    """The standard deviation of one run from another of the same model, from at least two runs of a history."""
    steps, _ = _steps(history)
    return math.hypot(*steps) / math.sqrt(2 * len(steps))


JUMP = 4.0
"""Standard deviations of a difference, taken from the median, beyond which it is a change: 1 of 16,000 by chance."""


def _steps(history: Sequence[float]) -> tuple[list[float], int]:
    """The successive differences without jumps, and how many jumps there are: two, or a tenth, at most."""
    steps = [later - earlier for earlier, later in pairwise(history)]
    usual = statistics.median(map(abs, steps)) / 0.6745
    most = JUMP * usual

    def is_jump(at: int) -> bool:
        """Whether a step is large, and the level stays there: one bad run, from which the next comes back, is noise."""
        beside = steps[max(0, at - 1) : at] + steps[at + 1 : at + 2]
        return abs(steps[at]) > most and all(abs(steps[at] + other) > most for other in beside)

    kept = [step for at, step in enumerate(steps) if not is_jump(at)]
    jumps = len(steps) - len(kept)
    if len(history) < 8 or not usual or jumps > max(2, len(steps) // 10):
        return steps, 0
    return kept, jumps


def of_run(value: float, limit: float, history: Sequence[float], rule: Rule) -> Interval | Undecided:
    """One run beside a bound that it must keep to, with the noise of `successive`."""
    if unusable := _unusable([value], "the candidate") or _unusable(history, "the history"):
        return unusable
    if len(history) < 3:
        return Undecided(f"{counted(len(history), 'earlier run')} say too little about the noise between runs")
    steps, _ = _steps(history)
    return student(
        rule.sign * (value - limit),
        noise(history),
        2 * len(steps) ** 2 / (3 * len(steps) - 1),
        rule,
        method=f"noise from the successive differences of {len(history)} earlier runs",
        n=len(history),
        unit="run",
    )


def of_reruns(candidate: Sequence[float], baseline: float, rule: Rule) -> Interval | Undecided:
    """Several runs of one commit beside one run of the baseline, whose noise is taken to be the same."""
    if unusable := _unusable([*candidate, baseline], "the comparison"):
        return unusable
    n = len(candidate)
    if n < 2:
        return Undecided("noise between runs cannot be estimated from one run")
    estimate = rule.sign * (statistics.fmean(candidate) - rule.scale * baseline)
    error = statistics.stdev(candidate) * math.sqrt(1 / n + rule.scale * rule.scale)
    interval = student(
        estimate, error, n - 1, rule.margin, method=f"noise between {n} runs of the commit", n=n, unit="run"
    )
    return rule.of_margin(interval)


def of_seeds(values: Sequence[float], limit: float, rule: Rule) -> Interval | Undecided:
    """The mean of several seeds beside a bound that it must keep to, by Student's t."""
    if unusable := _unusable(values, "the candidate"):
        return unusable
    if len(values) < 2:
        return Undecided("noise between seeds cannot be estimated from one seed")
    k = len(values)
    estimate = rule.sign * (statistics.fmean(values) - limit)
    error = statistics.stdev(values) / math.sqrt(k)
    return student(estimate, error, k - 1, rule, method="Student's t-test on seed means", n=k, unit="seed")


def student(estimate: float, error: float, df: float, rule: Rule, *, method: str, n: int, unit: Unit) -> Interval:
    """An interval by Student's t from d, its standard error and the degrees of freedom.

    Values that do not vary at all leave no room for noise: the interval is the point, and says so.
    """
    distance = estimate - rule.bound
    if error == 0:
        return Interval(
            estimate=estimate,
            low=estimate,
            high=estimate,
            p=0.0 if distance < 0 else 1.0,
            method=method,
            n=n,
            unit=unit,
            rule=rule,
            notes=("the values do not vary at all: any change counts as real",),
        )
    reach = t_isf(rule.alpha, df) * error
    return Interval(
        estimate=estimate,
        low=estimate - reach,
        high=estimate + reach,
        p=t_sf(-distance / error, df),
        method=method,
        n=n,
        unit=unit,
        rule=rule,
        error=error,
    )


def _unusable(values: Sequence[float], whose: str) -> Undecided | None:
    bad = next((value for value in values if not abs(value) < LARGEST), None)
    return None if bad is None else Undecided(f"{whose} has the value {bad}, which cannot be judged")
