"""OpenMetrics: what its own parser reads back, and what GitLab makes of each line."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from ciplug.records.comparison import MetricDelta
from ciplug.records.run import METRIC_NAME, is_model_name
from ciplug.reports import openmetrics
from ciplug.reports.report import Report
from tests import generated
from tests import report_samples as samples


def report(**models: Mapping[str, float | None]) -> Report:
    """Model → metric → the candidate's value; None: only the baseline has it."""
    (like,) = samples.passing().sections
    sections = []
    for model, metrics in models.items():
        deltas = tuple(
            MetricDelta(
                metric=name,
                values={"baseline": 1.0} if value is None else {"candidate": value, "baseline": 1.0},
                higher_is_better=None,
                change=None,
                relative=None,
                trend="missing" if value is None else "changed",
            )
            for name, value in metrics.items()
        )
        sections.append(replace(like, model=model, comparison=replace(like.comparison, metrics=deltas)))
    return Report(sections=tuple(sections))


def parsed(text: str) -> list[tuple[str, dict[str, str], Any]]:
    families = list(text_string_to_metric_families(text))
    assert all(family.type == "gauge" for family in families)
    return [(sample.name, sample.labels, sample.value) for family in families for sample in family.samples]


def as_gitlab_reads(text: str) -> dict[str, str]:
    """Name as the widget shows it → value, as GitLab's parser of metric reports splits a line."""
    found = {}
    for line in text.splitlines():
        words = shlex.split(re.sub("#.*$", "", line))
        if len(words) > 1:
            assert words[0] not in found
            found[words[0]] = words[1]
    return found


def test_one_gauge_a_metric_one_line_a_model() -> None:
    text = openmetrics.render(report(wine={"accuracy": 0.91, "gone": None}, churn={"accuracy": 0.7, "epochs": 3.0}))
    assert text.splitlines() == [
        "# TYPE accuracy gauge",
        'accuracy{model="churn"} 0.7',
        'accuracy{model="wine"} 0.91',
        "# TYPE epochs gauge",
        'epochs{model="churn"} 3',
        "# EOF",
    ]
    assert text.endswith("# EOF\n")
    assert as_gitlab_reads(text) == {
        "accuracy{model=churn}": "0.7",
        "accuracy{model=wine}": "0.91",
        "epochs{model=churn}": "3",
    }


@pytest.mark.parametrize(
    ("metric", "line"),
    [
        ("val/loss", 'val_loss{model="wine",metric="val/loss"} 1'),
        ("5-fold f1", '_5_fold_f1{model="wine",metric="5-fold f1"} 1'),
        ("größe", 'gr__e{model="wine",metric="größe"} 1'),
        ("hit#1", 'hit_1{model="wine",metric="hit＃1"} 1'),
    ],
)
def test_a_name_that_is_none_of_openmetrics_stays_as_a_label(metric: str, line: str) -> None:
    text = openmetrics.render(report(wine={metric: 1.0}))
    assert text.splitlines()[1] == line
    assert [value for *_, value in parsed(text)] == [1.0]
    assert list(as_gitlab_reads(text).values()) == ["1"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.1 + 0.2, "0.30000000000000004"),
        (1e-7, "1e-07"),
        (12.0, "12"),
        (-0.0, "0"),
        (1e22, "1e+22"),
        (float("nan"), "NaN"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
    ],
)
def test_equal_numbers_are_equal_texts(value: float, shown: str) -> None:
    text = openmetrics.render(report(wine={"loss": value}))
    assert text.splitlines()[1] == f'loss{{model="wine"}} {shown}'
    ((_, _, read),) = parsed(text)
    assert read == value or value != value


def test_nothing_is_an_empty_exposition() -> None:
    assert openmetrics.render(report(wine={})) == openmetrics.render(Report(sections=())) == "# EOF\n"


_METRICS = st.from_regex(METRIC_NAME, fullmatch=True) | st.sampled_from(
    ["a_total", "a", "a_info", "a_bucket", "a#b", "a b"]
)
_MODELS = st.text(min_size=1, max_size=20).filter(is_model_name) | st.sampled_from(['"} 1', "a#b", "it's", "$x", "`x`"])


@settings(max_examples=generated.examples(40), deadline=None)
@given(st.dictionaries(_MODELS, st.dictionaries(_METRICS, st.floats(allow_nan=False), max_size=4), max_size=3))
def test_any_name_is_read_back(models: dict[str, dict[str, float]]) -> None:
    text = openmetrics.render(report(**models))
    wanted = sorted(value for metrics in models.values() for value in metrics.values())
    assert sorted(value for *_, value in parsed(text)) == wanted
    assert len(as_gitlab_reads(text)) == len(wanted)
