"""The report in one line of plain text."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ciplug.records.notice import Kind, Notice
from ciplug.reports import one_line
from ciplug.reports.report import ModelSection, Report
from tests import report_samples as samples


def section(*metrics: object, judged: bool = False) -> ModelSection:
    return ModelSection(
        model="wine",
        comparison=samples.comparison("wine", metrics=metrics),
        verdict=samples.verdict(model="wine", dry_run=True) if judged else None,
        run=samples.run("wine"),
    )


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (samples.failing(), "❌ wine-quality: FAIL, f1_macro 0.8873 (−0.0158)"),
        (Report(sections=()), "nothing is compared"),
        (Report(sections=(section(),)), "📊 wine: compared, no gates set"),
        (
            Report(sections=(section(samples.metric("f1_macro", None, 0.9)),)),
            "📊 wine: compared, no gates set, f1_macro missing",
        ),
        (
            Report(sections=(section(samples.metric("loss", float("nan"), 0.9)),)),
            "📊 wine: compared, no gates set, loss NaN",
        ),
        (
            Report(sections=(section(samples.metric("f1_macro", 0.8, 0.9, better=True), judged=True),)),
            "❌ wine: FAIL (dry run), f1_macro 0.8 (−0.1)",
        ),
    ],
)
def test_the_line(report: Report, said: str) -> None:
    assert one_line.render(report) == said + "\n"


def test_what_was_not_understood_is_said() -> None:
    made = section(samples.metric("loss", 0.5, 0.9))
    events = tuple(Notice(kind=Kind.SKIPPED_EVENT, model="wine", event=number, type="freeze") for number in (3, 4))
    comparison = replace(made.comparison, notices=(*events, Notice(kind=Kind.UNREADABLE)))
    said = one_line.render(Report(sections=(replace(made, comparison=comparison),)))
    assert said.endswith("loss 0.5 (−0.4), 2 registry events not understood: upgrade ciplug, a record cannot be read\n")


def test_the_worst_model_comes_first() -> None:
    icons = [part.split(" ")[0] for part in one_line.render(samples.several()).split("; ")]
    assert icons == sorted(icons, key=["⛔", "❌", "❓", "⚠️", "✅", "📊"].index) and len(set(icons)) > 1


@pytest.mark.parametrize("report", [samples.hostile(), samples.large()])
def test_it_is_one_short_line_and_no_html(report: Report) -> None:
    said = one_line.render(report)
    assert said.count("\n") == 1 and len(said) <= one_line.LIMIT + 1
    assert not set("<>&\"'`") & set(said)
    assert said[:-1].isprintable()
