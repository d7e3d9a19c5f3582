"""The sample of mutants by which the tests are measured: fixed, and without changes that no code can feel."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.mutation import sample

pytestmark = pytest.mark.e2e
MODULE = Path("ciplug/gates/waivers.py")


@pytest.fixture(autouse=True)
def _cosmic_ray() -> None:
    pytest.importorskip("cosmic_ray")


def test_a_sample_is_fixed_and_has_one_mutant_a_place() -> None:
    first = sample([MODULE], 8, seed=1)
    assert first == sample([MODULE], 8, seed=1) != sample([MODULE], 8, seed=2)
    assert len({mutant.code for mutant in first}) == 8
    assert all(mutant.diff().count("\n    +") == 1 for mutant in first)


def test_signatures_and_annotations_are_no_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("def f(a: int | None, *, b: int = 1) -> int | None:\n    c: int | None = a\n    return c\n")
    monkeypatch.setattr("benchmarks.mutation.ROOT", tmp_path)
    [line] = {mutant.code.splitlines()[0] for mutant in sample([Path("module.py")], 99, seed=1)}
    assert line.replace("= 0)", "= 2)") == "def f(a: int | None, *, b: int = 2) -> int | None:"
