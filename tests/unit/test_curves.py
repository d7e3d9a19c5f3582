"""The step curves of a report: which metrics share a chart, and what is drawn beside them."""

from __future__ import annotations

import math

import pytest

from ciplug.records.series import Series
from ciplug.reports import charts
from ciplug.reports.curves import Curve, curves


def series(*values: float) -> Series:
    return Series(steps=tuple(range(len(values))), values=values)


def drawn(names: list[str], theirs: list[str] | None = None, **bounds: list[tuple[str, float]]) -> list[Curve]:
    ours = {name: series(1.0, 0.6, 0.5) for name in names}
    baseline = {name: series(1.1, 0.7, 0.6) for name in theirs or []}
    return list(curves(ours, ours, baseline, baseline="merge base", bounds=bounds))


@pytest.mark.parametrize(
    ("names", "titles"),
    [
        (["loss", "val_loss"], ["loss, val_loss"]),
        (["val_loss", "loss"], ["loss, val_loss"]),
        (["loss/validation", "loss/train", "acc"], ["loss/train, loss/validation", "acc"]),
        (["train/auc", "eval/auc", "train/f1"], ["train/auc, eval/auc", "train/f1"]),
        (["Training.loss", "Validation.loss"], ["Training.loss, Validation.loss"]),
        (["loss", "train_loss", "val_loss"], ["loss", "train_loss", "val_loss"]),
        (["interval", "value", "val", "train"], ["interval", "value", "val", "train"]),
    ],
)
def test_training_and_validation_of_a_metric_share_a_chart(names: list[str], titles: list[str]) -> None:
    assert [curve.chart.title for curve in drawn(names)] == titles


def test_the_curve_of_the_baseline_is_under_that_of_the_run() -> None:
    (curve,) = drawn(["loss", "val_loss"], ["loss", "val_loss"])
    assert [line.kind for line in curve.chart.others] == ["baseline", "second baseline", "second"]
    assert dict(curve.legend) == {
        "": "loss",
        "second": "val_loss",
        "baseline": "loss, merge base",
        "second baseline": "val_loss, merge base",
    }
    picture = charts.svg(curve.chart, "x")
    order = [picture.index(f'class="line{kind}"') for kind in (" baseline", " second baseline", " second", "")]
    assert order == sorted(order)
    # All lines are within the axes.
    heights = [
        float(y)
        for part in picture.split('points="')[1:]
        for y in part.split('"')[0].replace(" ", ",").split(",")[1::2]
    ]
    assert min(heights) >= 0 and max(heights) <= charts.HEIGHT


def test_a_single_metric_without_a_baseline_needs_no_legend() -> None:
    (curve,) = drawn(["loss"])
    assert dict(curve.legend) == {} and not curve.chart.others
    (curve,) = drawn(["loss"], ["loss"])
    assert dict(curve.legend) == {"": "loss", "baseline": "merge base"}


def test_a_bound_is_drawn_where_it_does_not_flatten_the_curve() -> None:
    (curve,) = drawn(["loss"], loss=[("max", 0.9), ("max", 50.0)])
    assert curve.chart.bounds == [(0.9, "max")]
    assert 'class="bound"' in charts.svg(curve.chart, "x")


def test_what_has_no_finite_value_is_not_drawn() -> None:
    ours = {"loss": series(math.nan, math.inf), "val_loss": series(0.5, 0.4)}
    (curve,) = curves(ours, ours, {}, baseline="", bounds={})
    assert curve.chart.title == "val_loss"
