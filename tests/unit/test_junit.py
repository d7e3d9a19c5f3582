"""JUnit: what CI hosts count as passed, failed, in error and skipped."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ciplug.reports import junit
from ciplug.reports.report import Report
from tests import generated
from tests import report_samples as samples


def parse(report: Report) -> ElementTree.Element:
    return ElementTree.fromstring(junit.render(report).encode())


@pytest.mark.parametrize(
    ("outcome", "child"),
    [
        ("FAIL", "failure"),
        ("ERROR", "error"),
        ("INCONCLUSIVE", "skipped"),
        ("WARN", "system-out"),
        ("PASS", "system-out"),
    ],
)
def test_outcome(outcome: str, child: str) -> None:
    gates = (samples.gate("accuracy", outcome, "at least 0.9", "0.85 it is", candidate=0.85, limit=0.9),)
    section = replace(samples.failing().sections[0], verdict=samples.verdict(gates))
    root = parse(Report(sections=(section,)))
    (case,) = root.iter("testcase")
    assert case.get("name") == "accuracy: at least 0.9"
    assert case.get("classname") == "ciplug.wine-quality"
    assert [element.tag for element in case] == [child]
    said = (case[0].get("message") or "") + (case[0].text or "")
    assert "0.85 it is" in said
    # GitLab shows the text only.
    assert "0.85 it is" in (case[0].text or "").splitlines()[0]
    if outcome == "WARN":
        assert said.startswith("warning: ")
    if outcome in ("FAIL", "ERROR"):
        assert "candidate: 0.85" in said


def test_a_failure_has_all_that_is_known_of_it() -> None:
    (suite,) = parse(samples.failing())
    (failure,) = suite.iter("failure")
    for line in (
        "baseline is: merge base 9f8e7d6c",
        f"baseline run: {'b' * 32}",
        "interval of the change: -0.021 to -0.0094",
        "p: 0.0004",
        "method: paired bootstrap of examples",
        "to do: look at what changed beside it, or ask for a waiver of this commit",
    ):
        assert line in (failure.text or "").splitlines()


def test_counts() -> None:
    root = parse(samples.several())
    assert {k: root.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "15",
        "failures": "1",
        "errors": "1",
        "skipped": "2",
    }
    assert [suite.get("name") for suite in root] == ["wine-quality", "churn", "fraud"]
    for suite in root:
        assert int(suite.get("tests", "0")) == len(suite)


def test_what_was_not_judged_is_skipped_and_not_empty() -> None:
    (case,) = parse(samples.several())[2]
    assert (case[0].tag, case[0].text) == ("skipped", "no gate was evaluated")
    suites = parse(samples.mistaken())
    assert (suites[0][0][0].tag, suites.get("errors"), suites.get("skipped")) == ("error", "1", "0")


@settings(max_examples=generated.examples(60), deadline=None)
@given(st.lists(st.text(max_size=20) | st.sampled_from(samples.HOSTILE), min_size=2, max_size=4))
def test_any_text_gives_well_formed_xml(texts: list[str]) -> None:
    report = samples.hostile(tuple(texts))
    assert len(list(parse(report).iter("testcase"))) == 2 * len(texts) + 1
