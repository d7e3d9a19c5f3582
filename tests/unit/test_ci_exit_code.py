"""The exit code of `ciplug ci`: what failed first decides."""

from __future__ import annotations

import pytest

from ciplug.steps.ci_exit_code import exit_code_of_ci


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ({"training": 0, "recording": 0}, 0),
        ({"training": 0, "recording": 0, "gates": 1}, 1),
        ({"training": 0, "recording": 0, "keeping": 3, "gates": 1}, 3),
        ({"training": 0, "recording": 0, "report": 2, "keeping": 3, "gates": 1}, 2),
        ({"training": 0, "recording": 3, "report": 2, "gates": 1}, 3),
        ({"training": 9, "recording": 3, "report": 2, "keeping": 3, "gates": 1}, 9),
    ],
)
def test_the_first_failure_decides(codes: dict[str, int], expected: int) -> None:
    assert exit_code_of_ci(**codes) == expected
