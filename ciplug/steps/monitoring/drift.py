"""The columns of the predictions beside those of the reference."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug.config.gate import Gate
from ciplug.errors import CiplugError
from ciplug.gates import checks
from ciplug.records.run import METRIC_NAME, metric_name
from ciplug.records.verdict import GateResult
from ciplug.stats.drift_tests import ColumnDrift, DataDrift, Drift
from ciplug.stats.intervals import Undecided
from ciplug.steps.monitoring.reference import default_reference, find_reference
from ciplug.steps.monitoring.watched_version import Watched
from ciplug.steps.monitoring.window import Window, evaluated, policy_of

if TYPE_CHECKING:
    from ciplug.capture.drift_files import Data

_SIZES = ("psi", "ks", "chi2")
"""The tests whose effect is recorded of each column."""
_EFFECTS_MOST = 500


def judge_drift(window: Window, gates: Mapping[str, Gate], scratch: Path) -> list[GateResult]:
    from ciplug.capture.drift_files import compare_data
    from ciplug.capture.prediction_files import reference_columns

    watched = window.watched
    drift: dict[str, DataDrift | Undecided] = {}
    default = default_reference(watched)
    for name, gate in gates.items():
        named = gate.reference or ""
        is_default = named == default and named != watched.settings.reference
        found = find_reference(watched, named, scratch / str(len(drift)), from_top=is_default)
        if isinstance(found, Undecided):
            drift[name] = found
            continue
        if found.note:
            window.notes.append(found.note)
        try:
            reference = _WithoutRoles(reference_columns(found.file), found.name, watched)
            drift[name] = compare_data(reference, window.found.columns, gate.columns, gate.test, _roles(watched))
        except CiplugError as problem:
            drift[name] = Undecided(problem.message)
    for data in drift.values():
        if isinstance(data, DataDrift):
            window.metrics.update(itertools.islice(_effects(data), _EFFECTS_MOST))
    policy = policy_of(watched, gates)
    results = list(evaluated(window, policy, {}, {}, drift))
    return [
        # A reference that cannot be had says nothing about the data in production.
        replace(one, outcome=checks.undecided(policy.resolved(one.gate)))
        if isinstance(drift[one.gate], Undecided)
        else one
        for one in results
    ]


def _roles(watched: Watched) -> tuple[str, ...]:
    """Columns of an id, a label and the like, in either file."""
    samples = watched.policy.samples
    return (*watched.roles.names, *((samples.id, samples.label) if samples else ()))


class _WithoutRoles:
    """A reference without its ids and labels, which predictions do not have. See `drift_files.Data`."""

    def __init__(self, data: Data, title: str, watched: Watched) -> None:
        left = {*_roles(watched)} - {watched.roles.prediction}
        self.title = title
        self.names = [name for name in data.names if name not in left]
        self.column = data.column


def _effects(data: DataDrift) -> Iterator[tuple[str, float]]:
    """The size of the drift of each column, as metrics."""
    for name, column in data.columns.items():
        if isinstance(column, ColumnDrift):
            for test in column.tests:
                metric = f"drift.{metric_name(name)}.{test.test}" if isinstance(test, Drift) else ""
                if isinstance(test, Drift) and test.test in _SIZES and METRIC_NAME.fullmatch(metric):
                    yield metric, test.effect
