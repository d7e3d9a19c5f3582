"""What of a run and its amendments counts: a value is added, and never replaced."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ciplug.records.amendment import Amendment
from ciplug.records.changes import Changes
from ciplug.records.run import Run


@dataclass(frozen=True)
class RunEvidence:
    """A run as gates and comparisons use it: the record, with the metrics that were added later, and its present tags.

    Parameters, inputs, outputs and times are the record's. It is finished only if it ended so every time.
    """

    run: Run
    changed: Mapping[str, Amendment] = field(default_factory=dict)
    """Metric → the amendment that gave it another value than it had: such a metric decides nothing."""


def replaced_metrics(recorded: Mapping[str, float], amendments: Iterable[Amendment]) -> dict[str, Amendment]:
    """Return metric → the last of the amendments that gave it another value than it had, in the record or before."""
    metrics = dict(recorded)
    replaced: dict[str, Amendment] = {}
    for amendment in amendments:
        for name, value in amendment.metrics.items():
            before = metrics.setdefault(name, value)
            if before != value and not (math.isnan(before) and math.isnan(value)):
                replaced[name] = amendment
    return replaced


def evidence_of(record: Run, changes: Changes) -> RunEvidence:
    """Return the values of a run that count. A recorded value is never replaced: an amendment that tries to is named.

    Of what a resumed run logged, its metrics alone count. A fork's amendments count for a fork's run alone.
    """
    metrics = dict(record.metrics)
    counted = [one for one in changes.amendments if one.context.trusted or not record.provenance.context.trusted]
    changed = replaced_metrics(metrics, counted)
    for amendment in counted:
        for name, value in amendment.metrics.items():
            metrics.setdefault(name, value)
    shown = changes.applied_to(record)
    status = changes.status_of(record.status)
    return RunEvidence(replace(record, name=shown.name, tags=shown.tags, metrics=metrics, status=status), changed)
