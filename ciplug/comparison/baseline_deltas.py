"""The differences of a candidate from its baseline: metrics, parameters and datasets. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ciplug.records.comparison import (
    Comparison,
    DatasetDelta,
    MetricDelta,
    ParamDelta,
    Role,
    Side,
    Trend,
)
from ciplug.records.natural_order import natural
from ciplug.records.notice import Notice
from ciplug.records.run import Run

RTOL = 1e-9


def compare(
    candidate: Run,
    baseline: Run | None,
    *,
    sides: tuple[Side, Side, Side, Side],
    directions: Mapping[str, bool],
    history: Sequence[Run] = (),
    tolerances: Mapping[str, float] | None = None,
    notices: tuple[Notice, ...] = (),
) -> Comparison:
    """The comparison of two runs of a model.

    Args:
        sides: candidate, baseline, target, production.
        directions: metric → higher is better, for the metrics of which that is known.
        history: the last runs on the target branch, oldest first.
        tolerances: metric → absolute difference that still counts as unchanged, where the user sets one.
    """
    names = sorted({name for side in sides for name in side.metrics}, key=natural)
    return Comparison(
        model=candidate.model,
        candidate=sides[0],
        baseline=sides[1],
        target=sides[2],
        production=sides[3],
        metrics=tuple(
            _metric(name, sides, directions.get(name), history, (tolerances or {}).get(name, 0.0)) for name in names
        ),
        params=_params(candidate, baseline) if baseline else (),
        datasets=_datasets(candidate, baseline) if baseline else (),
        notices=notices,
    )


def _metric(
    name: str, sides: Sequence[Side], direction: bool | None, history: Sequence[Run], atol: float
) -> MetricDelta:
    values: dict[Role, float] = {side.role: side.metrics[name] for side in sides if name in side.metrics}
    new, old = values.get("candidate"), values.get("baseline")
    change = relative = None
    if new is not None and old is not None and math.isfinite(new) and math.isfinite(old):
        change = new - old
        relative = change / abs(old) if old != 0 else None
    return MetricDelta(
        metric=name,
        values=values,
        higher_is_better=direction,
        change=change,
        relative=relative,
        trend=_trend(new, old, direction, atol),
        history=tuple(run.metrics[name] for run in history if name in run.metrics),
    )


def _trend(new: float | None, old: float | None, direction: bool | None, atol: float) -> Trend:
    if new is None:
        return "missing"
    if old is None:
        return "new" if math.isfinite(new) else "undefined"
    if not (math.isfinite(new) and math.isfinite(old)):
        return "undefined"
    if abs(new - old) <= atol + RTOL * max(abs(new), abs(old)):
        return "unchanged"
    if direction is None:
        return "changed"
    return "better" if (new > old) == direction else "worse"


def _params(candidate: Run, baseline: Run) -> tuple[ParamDelta, ...]:
    """What differs. A parameter that is absent where a file could not be read may have stood there."""
    names = sorted(set(candidate.params) | set(baseline.params), key=natural)
    unread = [run.params for run in (candidate, baseline) if any(one.why == "file" for one in run.left_out)]
    return tuple(
        ParamDelta(name=name, before=baseline.params.get(name), after=candidate.params.get(name))
        for name in names
        if candidate.params.get(name) != baseline.params.get(name) and not any(name not in params for params in unread)
    )


def _datasets(candidate: Run, baseline: Run) -> tuple[DatasetDelta, ...]:
    before = {file.path: file.digest for file in baseline.datasets}
    after = {file.path: file.digest for file in candidate.datasets}
    return tuple(
        DatasetDelta(path=path, before=before.get(path), after=after.get(path))
        for path in sorted(set(before) | set(after))
        if before.get(path) != after.get(path)
    )
