"""How good a gate has been: its rule replayed over the runs of the past. Pure.

Two kinds of comparisons are replayed. Between two runs of one commit with the same parameters, nothing has changed: a
failure is false. On the branch, each run is judged beside the one before it: a failure is a catch where the loss
lasted, and false where the next runs were as good as before.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ciplug.gates.checks import limit_of, tolerance
from ciplug.stats.distributions import normal_isf
from ciplug.stats.power import POWER
from ciplug.stats.proportions import wilson
from ciplug.stats.trend import LEAST, noise, spread

if TYPE_CHECKING:
    from ciplug.config.gate import ResolvedGate

AROUND = 8
"""Runs before and after a failure that show whether the loss lasted."""
FEWEST = 3
"""Runs after a failure without which it is open whether it did."""
_SURE = 2.33
"""Standard errors by which a loss is more than noise in 99% of cases."""
CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Past:
    """What was recorded of a metric: finite numbers only."""

    branch: Sequence[float] = ()
    """On the branch, one a commit, the oldest first."""
    again: Sequence[Sequence[float]] = ()
    """Of each commit with several runs of the same parameters, their values, the oldest first."""


@dataclass(frozen=True, kw_only=True)
class GateAudit:
    """The record of one gate."""

    gate: str
    metric: str
    runs: int
    """Runs of the branch, one a commit, with the metric."""
    checks: int
    """Replayed comparisons in which nothing got worse: those that may fail falsely."""
    false_fails: int
    rate_low: float | None
    """The 95% interval of the share of false failures; None without a check."""
    rate_high: float | None
    catches: int
    """Failures on the branch whose loss lasted."""
    open: int
    """Failures among the last runs: nobody knows yet whether the loss lasts."""
    repeated: int
    """Commits with several runs of the same parameters."""
    flips: int
    """Those of them that pass by one run and fail by another."""
    noise: float | None
    """The standard deviation of one run, in the metric's own unit; None where too few runs tell it."""
    sees: float | None
    """The smallest loss that the rule fails with a probability of 80%."""
    allowance: float | None
    """The allowance of today, in the metric's own unit; None for a gate that compares nothing."""
    proposed: float | None
    """The smallest allowance that fails an unchanged model at no more than the gate's α.

    None where the noise is not seen, as of a metric that rises evenly."""

    @property
    def rate(self) -> float | None:
        return self.false_fails / self.checks if self.checks else None


def audit(name: str, gate: ResolvedGate, past: Past) -> GateAudit:
    """Replay a gate, one number a run, whatever test it uses today."""
    deviation = _noise(past)
    fails = _rule(gate, past.branch[-1] if past.branch else None)
    false = checks = catches = unknown = 0
    for place in range(1, len(past.branch)):
        if not fails(past.branch[place], past.branch[place - 1]):
            checks += 1
            continue
        lasted = _lasted(past.branch, place, gate, deviation or 0.0)
        unknown += lasted is None
        catches += lasted is True
        false += lasted is False
        checks += lasted is False
    for values in past.again:
        for before, value in itertools.pairwise(values):
            checks += 1
            false += fails(value, before) and not _all_beyond(values, gate)
    flips = sum(_flips(values, fails) for values in past.again)
    allowance = _allowance(gate, past)
    compares = gate.max_regression is not None and deviation is not None
    error = (deviation or 0.0) * math.sqrt(2)
    is_constant = len(set(past.branch)) < 2
    low, high = wilson(false, checks, alpha=(1 - CONFIDENCE) / 2) if checks else (None, None)
    return GateAudit(
        gate=name,
        metric=gate.metric,
        runs=len(past.branch),
        checks=checks,
        false_fails=false,
        rate_low=low,
        rate_high=high,
        catches=catches,
        open=unknown,
        repeated=len(past.again),
        flips=flips,
        noise=deviation,
        sees=(allowance or 0.0) + normal_isf(1 - POWER) * error if compares and allowance is not None else None,
        allowance=allowance,
        proposed=_rounded_up(normal_isf(gate.alpha) * error) if compares and (error or is_constant) else None,
    )


Fails = Callable[[float, float], bool]
"""From a value and the one before it."""


def _rule(gate: ResolvedGate, level: float | None) -> Fails:
    """The rules of a gate as a fast function: it is called for every run of the past."""
    least = -math.inf if gate.min is None else gate.min
    most = math.inf if gate.max is None else gate.max
    allowed = gate.max_regression
    if allowed is None:
        return lambda value, before: not least <= value <= most
    sign = 1 if gate.higher_is_better else -1
    if allowed.rel is None and allowed.abs is not None:
        bound = -(allowed.abs + tolerance(gate, level or 0.0))
        return lambda value, before: not least <= value <= most or sign * (value - before) < bound

    def fails(value: float, before: float) -> bool:
        limit = limit_of(allowed, before)
        lost = limit is not None and sign * (value - before) < -limit - tolerance(gate, value, before)
        return lost or not least <= value <= most

    return fails


def _lasted(values: Sequence[float], place: int, gate: ResolvedGate, deviation: float) -> bool | None:
    """Whether a failure was a real loss; None where too few runs have come since.

    The two runs that were compared are left out: they were chosen by what they show.
    """
    since = values[place + 1 : place + 1 + AROUND]
    if len(since) < FEWEST:
        return None
    if (gate.min is not None or gate.max is not None) and _beyond(sorted(since)[len(since) // 2], gate):
        return True
    if gate.max_regression is None:
        return False
    sign = 1 if gate.higher_is_better else -1
    loss = sign * (values[place - 1] - values[place])
    before = values[max(0, place - 1 - AROUND) : place - 1] or values[place - 1 : place]
    lost = sign * (sum(before) / len(before) - sum(since) / len(since))
    # At least half of the loss is still there, and that is more than noise.
    return lost >= loss / 2 and lost > _SURE * deviation * math.sqrt(1 / len(before) + 1 / len(since))


def _beyond(value: float, gate: ResolvedGate) -> bool:
    return (gate.min is not None and value < gate.min) or (gate.max is not None and value > gate.max)


def _all_beyond(values: Sequence[float], gate: ResolvedGate) -> bool:
    """Whether a commit is beyond a bound by most of its runs: failing it is right then."""
    return _beyond(sorted(values)[len(values) // 2], gate)


def _flips(values: Sequence[float], fails: Fails) -> bool:
    """Whether runs of one commit differ in their outcome beside each other."""
    outcomes = {fails(value, other) for value, other in itertools.permutations(values[:AROUND], 2)}
    return len(outcomes) == 2


_ROUNDING = 1e-12
"""The share of a number that says nothing."""


def _noise(past: Past) -> float | None:
    """From runs of the same commit where there are enough of them, else from successive differences."""
    spare = sum(len(values) - 1 for values in past.again)
    if spare >= LEAST:
        squares = math.fsum((len(values) - 1) * spread(values)[1] ** 2 for values in past.again)
        return math.sqrt(squares / spare)
    if len(past.branch) <= LEAST:
        return None
    found = noise(past.branch)
    # What is left of numbers that rise evenly is the rounding of floats.
    return found if found > _ROUNDING * max(map(abs, past.branch)) else 0.0


def _allowance(gate: ResolvedGate, past: Past) -> float | None:
    if gate.max_regression is None:
        return None
    levels = past.branch[-AROUND:] or [value for values in past.again[-1:] for value in values]
    return limit_of(gate.max_regression, statistics.median(levels)) if levels else gate.max_regression.abs


def _rounded_up(value: float) -> float:
    """Two digits, never smaller."""
    if value == 0 or not math.isfinite(value):
        return value
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / unit - 1e-9) * unit:.2g}")


def in_order(audits: Sequence[GateAudit]) -> Iterator[GateAudit]:
    """The gates that fail falsely most often first."""
    yield from sorted(audits, key=lambda one: (-(one.rate or 0.0), one.gate))
