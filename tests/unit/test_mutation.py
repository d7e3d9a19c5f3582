"""The sample of mutants by which the tests are measured: the same every time, and only changes that code can feel."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("cosmic_ray")
pytest.importorskip("coverage")

from benchmarks import mutation
from benchmarks.mutation import ROOT, sample

MODULE = Path("ciplug/gates/waivers.py")


def test_a_sample_is_fixed_and_has_one_mutant_a_place() -> None:
    first = sample([MODULE], 8, seed=1)
    assert first == sample([MODULE], 8, seed=1) != sample([MODULE], 8, seed=2)
    assert len({mutant.code for mutant in first}) == 8
    assert all(mutant.diff().count("\n    +") == 1 for mutant in first)


def test_signatures_and_annotations_are_no_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("def f(a: int | None, *, b: int = 1) -> int | None:\n    c: int | None = a\n    return c\n")
    monkeypatch.setattr("benchmarks.mutation.ROOT", tmp_path)
    lines = {mutant.code.splitlines()[0] for mutant in sample([Path("module.py")], 99, seed=1)}
    assert lines == {"def f(a: int | None, *, b: int = 2) -> int | None:"} or lines == {
        "def f(a: int | None, *, b: int = 0) -> int | None:"
    }


def test_every_listed_test_exists() -> None:
    assert all(
        (ROOT / test).is_file() for part in ("gates", "stats/holm", "stores/git") for test in mutation.tests_of(part)
    )
    with pytest.raises(SystemExit, match="no tests are listed for 'reports'"):
        mutation.tests_of("reports")
