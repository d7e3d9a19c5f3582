"""Which of a metric's values by steps counts as its value: the last, or the one that the user asked for. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ciplug.errors import InputError
from ciplug.records.left_out import LeftOut
from ciplug.records.series import Series


@dataclass(frozen=True)
class Reading:
    """How the user wants a file to be read."""

    step: str | None = None
    """The column that gives the step."""
    take: str | int | None = None
    """last: that of the last row; best, min, max, or the number of a step. None: the last that was logged."""
    of: str | None = None
    """The metric that chooses the step from which every metric is taken."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Old name → present name, of metrics that were renamed; the file may have either."""
    directions: Mapping[str, bool] = field(default_factory=dict)
    """Metric → higher is better, as far as it is known."""


LAST = Reading()


def values_that_count(
    series: Mapping[str, Series], reading: Reading, file: str
) -> tuple[dict[str, float], list[LeftOut]]:
    """Return the value of each metric, and those that have none at the step that counts.

    Of the metrics that were not logged at that very step, the value before it counts.

    Raises InputError where the file lacks the metric `of`, or has no finite value of it; and for the best value of a
    metric whose direction is not known.
    """
    if reading.of is not None:
        return _at(series, _step_of(series, reading, _written(reading.of, series, reading.names), file), file)
    if isinstance(reading.take, int):
        return _at(series, reading.take, file)
    return {name: _own(one.values, name, reading) for name, one in series.items()}, []


def _own(values: Sequence[float], name: str, reading: Reading) -> float:
    """A metric's own best, least or largest value; the last, where no direction says which is best."""
    highest = reading.directions.get(name) if reading.take == "best" else reading.take == "max"
    finite = [value for value in values if math.isfinite(value)]
    if highest is None or not finite:
        return values[-1]
    return max(finite) if highest else min(finite)


def _written(name: str, series: Mapping[str, Series], names: Mapping[str, str]) -> str:
    """The name that the file has for a metric, which may be its old or its present one."""
    now = names.get(name, name)
    spellings = [name, now, *(old for old, new in names.items() if new == now)]
    return next((one for one in spellings if one in series), name)


def _step_of(series: Mapping[str, Series], reading: Reading, of: str, file: str) -> int:
    """The first step with the best, least or largest value of a metric."""
    if of not in series:
        names = ", ".join(f"'{name}'" for name in list(series)[:8]) or "none"
        raise _wrong(file, f"no metric '{of}' by steps, which chooses the step", hint=f"it has {names}")
    highest = reading.directions.get(of) if reading.take == "best" else reading.take == "max"
    if highest is None:
        hint = "give a gate on it 'higher_is_better', or write 'take: min' or 'take: max'"
        raise _wrong(file, f"which value of '{of}' is best is not known", hint=hint)
    points = [(v, s) for s, v in zip(series[of].steps, series[of].values, strict=True) if math.isfinite(v)]
    if not points:
        raise _wrong(file, f"'{of}', which chooses the step, has no finite value")
    best = max(value for value, _ in points) if highest else min(value for value, _ in points)
    return next(step for value, step in points if value == best)


def _wrong(file: str, what: str, hint: str | None = None) -> InputError:
    return InputError(f"{file}: {what}", hint=hint, what=what)


def _at(series: Mapping[str, Series], step: int, file: str) -> tuple[dict[str, float], list[LeftOut]]:
    values: dict[str, float] = {}
    left = []
    for name, one in series.items():
        before = [(s, number) for number, s in enumerate(one.steps) if s <= step]
        if before:
            values[name] = one.values[max(before)[1]]
        else:
            left.append(LeftOut(name=name, why="step", file=file))
    return values, left
