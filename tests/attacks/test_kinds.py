"""Each kind of attack has ten cases beside the one that was found first, and CONTRIBUTING.md has the figures."""

from __future__ import annotations

import pytest

from tests.attacks.kinds import PAGE, counts, table, written

pytestmark = pytest.mark.slow


def test_the_figures_are_those_of_the_tests() -> None:
    found = counts()
    assert min(found.values()) > 10, found
    assert written(PAGE.read_text(encoding="utf-8")) == table(found), "write it: python -m tests.attacks.kinds"
