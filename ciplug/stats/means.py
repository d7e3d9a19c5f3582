"""Student's t-tests on means: of several seeds per side, or of one run against earlier ones. Standard library only."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

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
    estimate = rule.sign * (statistics.fmean(candidate) - statistics.fmean(baseline))
    # Standard errors and their shares, not variances: the square of a tiny number would be 0.
    parts = [(statistics.stdev(values) / math.sqrt(len(values)), len(values) - 1) for values in (candidate, baseline)]
    error = math.hypot(*(part for part, _ in parts))
    # Satterthwaite's degrees of freedom.
    df = 1 / sum((part / error) ** 4 / degrees for part, degrees in parts) if error > 0 else 1.0
    return student(
        estimate,
        error,
        df,
        rule,
        method="Welch's t-test on seed means",
        n=min(len(candidate), len(baseline)),
        unit="seed",
    )


def prediction(candidate: float, history: Sequence[float], rule: Rule) -> Interval | Undecided:
    """One new value beside the k values of earlier runs: their mean, ± t·s·√(1 + 1/k) with the sample SD s.

    For a metric that is only one number per run. It takes the runs of the history for draws of the same distribution:
    a history that drifts makes s larger, and the gate blunter.
    """
    if unusable := _unusable([candidate], "the candidate") or _unusable(history, "the history"):
        return unusable
    k = len(history)
    if k < 2:
        return Undecided(
            f"{counted(k, 'earlier run')} {'says' if k == 1 else 'say'} too little about the noise between runs"
        )
    estimate = rule.sign * (candidate - statistics.fmean(history))
    error = statistics.stdev(history) * math.sqrt(1 + 1 / k)
    return student(estimate, error, k - 1, rule, method=f"prediction interval of {k} earlier runs", n=k, unit="run")


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
    )


def _unusable(values: Sequence[float], whose: str) -> Undecided | None:
    bad = next((value for value in values if not abs(value) < LARGEST), None)
    return None if bad is None else Undecided(f"{whose} has the value {bad}, which cannot be judged")
