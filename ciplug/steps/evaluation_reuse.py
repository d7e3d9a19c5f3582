"""How many runs were measured on the same evaluation set, and what choosing the best of so many costs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ciplug.errors import StoreError
from ciplug.records.notice import Kind, Notice
from ciplug.tracking.query import MODEL, READ

if TYPE_CHECKING:
    from ciplug.steps.baselines import BaselineFinder

MANY = 10
"""Runs on one evaluation set from which on a report says so."""


def reuse_notices(finder: BaselineFinder) -> Iterator[Notice]:
    """A notice on each dataset that metrics are measured on, of whose content the model has many runs."""
    paths = finder.in_force.evaluation if finder.in_force else ()
    if not paths:
        return
    from ciplug.records.columns import short
    from ciplug.stats.selection_cost import luck

    digests = {file.path: short(file.digest) for file in finder.run.datasets if file.path in paths}
    for path, digest in digests.items():
        count = _count(finder, digest)
        if count < MANY:
            continue
        metric, deviation = _deviation(finder)
        yield Notice(
            kind=Kind.LOOKS,
            model=finder.given.model,
            path=path,
            count=count,
            metrics=(metric,) if metric and deviation else (),
            luck=luck(count, deviation) if deviation else None,
        )


def _count(finder: BaselineFinder, digest: str) -> int:
    """The runs of the model that read a file of this content, whatever became of them."""
    try:
        catalog = finder.runs.catalog
        models, read = catalog.column(MODEL), catalog.column(READ)
    except StoreError:
        return 0
    model = dict(zip(models.rows, models.values, strict=True))
    pairs = zip(read.rows, read.values, strict=True)
    return sum(digest in text.split() for row, text in pairs if text and model.get(row) == finder.given.model)


def _deviation(finder: BaselineFinder) -> tuple[str | None, float | None]:
    """The first metric of a gate with a known standard deviation of one measurement, and that deviation.

    By the number of examples where the metric is a share, else by the differences of successive runs on the branch.
    """
    policy = finder.policy
    if policy is None:
        return None, None
    from ciplug.stats.selection_cost import of_share
    from ciplug.stats.trend import LEAST, noise

    examples = finder.runs.examples(finder.run) if policy.samples else None
    trail = finder.trail(policy.baseline.branch)[::-1]
    for name, gate in policy.gates.items():
        metric = policy.metric_of(name)
        value = finder.run.metrics.get(metric)
        if gate.kind != "metric" or value is None or not math.isfinite(value):
            continue
        number = len(examples) if examples is not None else finder.run.metrics.get(gate.n or "", 0)
        if number >= 1 and 0 < value < 1:
            return metric, of_share(value, int(number))
        values = [one for run in trail if math.isfinite(one := run.metrics.get(metric, math.nan))]
        if len(values) > LEAST and (deviation := noise(values)):
            return metric, deviation
    return None, None
