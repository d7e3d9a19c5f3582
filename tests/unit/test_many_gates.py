"""A policy of a thousand gates: what it takes grows with the number of gates, and not with its square."""

from __future__ import annotations

import time
from pathlib import Path

from ciplug import config
from ciplug.gates.digest import digest_of
from tests.unit.test_gates import judge


def seconds(gates: int) -> float:
    """The processor time of reading, checking and applying so many gates."""
    text = "\n".join(f"  m{i}: {{higher_is_better: true, min: 0.1, max_regression: 0.01}}" for i in range(gates))
    rules = {f"m{i}": {"higher_is_better": True, "min": 0.1, "max_regression": 0.01} for i in range(gates)}
    numbers = {f"m{i}": 0.9 for i in range(gates)}
    start = time.process_time()
    policy = config.parse(f"gates:\n{text}", Path("ciplug.yaml")).policy
    assert len(policy.gates) == gates and digest_of(policy)
    assert judge(rules, numbers, numbers).outcome == "PASS"
    return time.process_time() - start


def test_many_gates_take_time_in_proportion() -> None:
    seconds(10)
    few, many = min(seconds(300) for _ in range(3)), seconds(1200)
    assert many < 8 * few
    assert many < 2
