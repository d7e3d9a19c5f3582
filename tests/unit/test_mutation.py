"""The measure of the tests by mutants: which tests a part has, and which changes code can feel."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import mutation
from benchmarks.mutation import ROOT, TESTS, Mutant


def test_every_listed_test_exists() -> None:
    assert all((ROOT / test).is_file() for part in (*TESTS, "stats/holm") for test in mutation.tests_of(part))
    assert mutation.tests_of("stats/holm") == mutation.tests_of("stats")
    with pytest.raises(SystemExit, match="no tests are listed for 'reports'"):
        mutation.tests_of("reports")


def test_annotations_and_the_order_of_parameters_have_no_meaning() -> None:
    code = "def f(a: int, b: int | None = 1) -> int:\n    c: int = a\n    return c\n"
    assert mutation._meaning(code) == mutation._meaning(code.replace("int | None", "str").replace("c: int", "c: str"))
    assert mutation._meaning(code) != mutation._meaning(code.replace("= 1", "= 2"))
    assert mutation._meaning("def f(") is None


def test_the_tests_of_a_mutant_are_those_of_its_statement(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(
        "def f(a):\n    if (a and\n        not a):\n        return g(\n            a)\n    return 1\n"
    )
    monkeypatch.setattr("benchmarks.mutation.ROOT", tmp_path)
    lines = [mutation._statement(Mutant(Path("m.py"), line, "")) for line in (3, 4, 6)]
    assert lines == [range(2, 4), range(4, 6), range(6, 7)]
