from __future__ import annotations

import pytest

from ciplug.records.lineage import ancestors


@pytest.mark.parametrize(
    "parents, found",
    [
        ({}, []),
        ({"a": "b"}, ["b"]),
        ({"a": "b", "b": "c", "x": "y"}, ["b", "c"]),
        ({"a": "a"}, []),
        ({"a": "b", "b": "a"}, ["b"]),
        ({"a": "b", "b": "c", "c": "b"}, ["b", "c"]),
    ],
)
def test_the_nearest_comes_first_and_a_circle_ends(parents: dict[str, str], found: list[str]) -> None:
    assert list(ancestors("a", parents.get)) == found
