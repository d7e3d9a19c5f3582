"""Policies for tests of the gates: read as from ciplug.yaml, from the keys alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ciplug.config.kinds import Mistakes, read_table
from ciplug.config.policy import Policy
from ciplug.stats.drift_tests import ColumnDrift, DataDrift
from ciplug.stats.intervals import Undecided


def policy_of(data: Mapping[str, Any]) -> Policy:
    """The policy of these keys. What they say of one another is not checked: there may be slices without samples."""
    mistakes: Mistakes = []
    given = {key: value for key, value in data.items() if key != "gates" or value}
    policy: Policy = read_table(Policy, given, (), mistakes)
    assert not mistakes
    return policy


def data_of(columns: Any) -> DataDrift | Undecided:
    """Two files with one test of each column."""
    if isinstance(columns, Undecided):
        return columns
    return DataDrift(columns={name: ColumnDrift(kind="numbers", tests=(test,)) for name, test in columns.items()})
