"""A short version of benchmarks/watching.py: nights without drift open no issue, and a shift is found."""

from __future__ import annotations

import pytest

from benchmarks.watching import Setting, failures, issues, nights_to_find


def test_an_issue_takes_failures_in_a_row() -> None:
    assert issues([True, True, False, True, True, True, True, False, True, True, True], 3) == 2
    assert issues([True, False] * 9, 2) == 0


@pytest.mark.slow
def test_a_season_without_drift_is_quiet_and_a_shift_is_found() -> None:
    quiet = Setting(columns=20, nights=60, rows=500, reference=2000)
    nights = list(failures(quiet, seed=1))
    assert issues(nights, 2) == 0 and sum(nights) <= 12
    moved = Setting(columns=20, nights=10, rows=500, reference=2000, shift=0.3)
    assert nights_to_find(moved, seed=2) == 3
