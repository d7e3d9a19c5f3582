"""Which value of a series counts."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from ciplug.capture.metric_choice import Reading
from ciplug.capture.metric_files import read_metrics
from ciplug.errors import InputError

CSV = "epoch,loss,val_loss,acc,late\n0,0.9,0.8,0.5,\n1,0.7,0.6,0.8,\n2,0.5,,0.7,1\n3,0.4,0.9,0.6,2\n4,0.3,nan,0.65,3\n"
DOWN = {"val_loss": False, "acc": True}


@pytest.mark.parametrize(
    ("reading", "values"),
    [
        (Reading(), {"loss": 0.3, "val_loss": math.nan, "acc": 0.65, "late": 3}),
        (Reading(take="best", of="val_loss", directions=DOWN), {"loss": 0.7, "val_loss": 0.6, "acc": 0.8}),
        (Reading(take="min", of="val_loss"), {"loss": 0.7, "val_loss": 0.6, "acc": 0.8}),
        (Reading(take="max", of="val_loss"), {"loss": 0.4, "val_loss": 0.9, "acc": 0.6, "late": 2}),
        (Reading(take=2), {"loss": 0.5, "val_loss": 0.6, "acc": 0.7, "late": 1}),
        (Reading(take="min"), {"loss": 0.3, "val_loss": 0.6, "acc": 0.5, "late": 1}),
        (Reading(take="best", directions=DOWN), {"loss": 0.3, "val_loss": 0.6, "acc": 0.8, "late": 3}),
        (Reading(step="late", take=2), {"loss": 0.4, "val_loss": 0.9, "acc": 0.6}),
    ],
)
def test_the_value_that_counts(tmp_path: Path, reading: Reading, values: dict[str, float]) -> None:
    (tmp_path / "m.csv").write_text(CSV)
    found = read_metrics(tmp_path / "m.csv", "m.csv", reading=reading)
    assert repr(dict(sorted(found.values.items()))) == repr({n: float(values[n]) for n in sorted(values)})
    assert [(one.name, one.why) for one in found.left_out] == [
        ("late", "step") for _ in range("late" not in values and reading.step is None)
    ]
    assert len(found.series["loss"].values) == 5


@pytest.mark.parametrize(
    ("reading", "words"),
    [
        (Reading(take="best", of="f1"), "no metric 'f1' by steps, which chooses the step"),
        (Reading(take="best", of="val_loss"), "which value of 'val_loss' is best is not known"),
        (Reading(step="batch"), "no column 'batch', which is to give the step"),
        (Reading(step="loss"), "'loss': the step 0.9 is not a whole number"),
    ],
)
def test_what_cannot_be_taken(tmp_path: Path, reading: Reading, words: str) -> None:
    (tmp_path / "m.csv").write_text(CSV)
    with pytest.raises(InputError, match=words) as caught:
        read_metrics(tmp_path / "m.csv", "m.csv", reading=reading)
    assert caught.value.message.startswith(str(tmp_path / "m.csv"))
