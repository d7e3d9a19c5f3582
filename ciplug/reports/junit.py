"""The verdicts as JUnit XML: a suite for each model, a case for each rule of a gate.

What is said of a case is its attribute `message`, and also begins its text: GitLab shows nothing but the text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ciplug.records.run import NO_TIME
from ciplug.records.verdict import UNRUN
from ciplug.reports import untrusted

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from ciplug.records.notice import Notice
    from ciplug.records.verdict import GateResult, Outcome
    from ciplug.reports.report import ModelSection, Report


def render(report: Report) -> str:
    """The XML document. FAIL is a failure, ERROR an error, WARN passes with its reason as output.

    INCONCLUSIVE is skipped, with its reason: a viewer must not count it as passed. For the same cause a model
    that nobody judged has one skipped case, not an empty suite.
    """
    from xml.etree import ElementTree

    root = ElementTree.Element("testsuites", name="ciplug")
    suites = [_suite(section) for section in report.sections]
    suites += [_without_run(notice) for notice in report.unrun]
    root.extend(suites)
    for counter in ("tests", "failures", "errors", "skipped"):
        root.set(counter, str(sum(int(suite.get(counter, "0")) for suite in suites)))
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _without_run(notice: Notice) -> Element:
    """The suite of a model that the target branch gates, and that has no run."""
    from xml.etree.ElementTree import Element, SubElement

    model, fails = untrusted.clean(notice.model or "", untrusted.NAME_LIMIT), UNRUN[notice.kind] == "FAIL"
    failures, skipped = str(int(fails)), str(int(not fails))
    suite = Element("testsuite", name=model, tests="1", failures=failures, errors="0", skipped=skipped)
    case = SubElement(suite, "testcase", classname=f"ciplug.{model}", name="it has a run on this commit", time="0")
    words = untrusted.clean(notice.line)
    if fails:
        _say(case, "failure", words, type="FAIL")
    else:
        _say(case, "skipped", words)
    return suite


def _suite(section: ModelSection) -> Element:
    from xml.etree.ElementTree import Element, SubElement

    gates = section.verdict.gates if section.verdict else ()
    model = untrusted.clean(section.model, untrusted.NAME_LIMIT)
    outcomes: list[Outcome | None] = [g.outcome for g in gates] or [section.outcome]
    suite = Element(
        "testsuite",
        name=model,
        tests=str(max(1, len(gates))),
        failures=str(outcomes.count("FAIL")),
        errors=str(outcomes.count("ERROR")),
        skipped=str(outcomes.count("INCONCLUSIVE") + outcomes.count(None)),
    )
    if section.run.started != NO_TIME:
        suite.set("timestamp", untrusted.clean(section.run.started).removesuffix("Z"))
    if not gates:
        case = SubElement(suite, "testcase", classname=f"ciplug.{model}", name="gates", time="0")
        if section.problem:
            _say(case, "error", untrusted.clean(section.problem.clause), type="ERROR")
        else:
            _say(case, "skipped", "no gate was evaluated")
    for gate in gates:
        _case(suite, model, gate)
    return suite


def _case(suite: Element, model: str, gate: GateResult) -> None:
    from xml.etree.ElementTree import SubElement

    part = f" [{untrusted.clean(gate.slice, untrusted.NAME_LIMIT)}]" if gate.slice else ""
    name = f"{untrusted.clean(gate.gate, untrusted.NAME_LIMIT)}{part}: {untrusted.clean(gate.rule)}"
    case = SubElement(suite, "testcase", classname=f"ciplug.{model}", name=name, time="0")
    reason = untrusted.clean(gate.reason)
    if gate.outcome == "FAIL":
        _say(case, "failure", reason, _numbers(gate), type="FAIL")
    elif gate.outcome == "ERROR":
        _say(case, "error", reason, _numbers(gate), type="ERROR")
    elif gate.outcome == "INCONCLUSIVE":
        _say(case, "skipped", f"inconclusive: {reason}", _numbers(gate))
    else:
        lead = "warning: " if gate.outcome == "WARN" else ""
        SubElement(case, "system-out").text = f"{lead}{reason}"


def _say(case: Element, tag: str, message: str, more: str = "", **attributes: str) -> None:
    from xml.etree.ElementTree import SubElement

    SubElement(case, tag, {"message": message, **attributes}).text = f"{message}\n\n{more}" if more else message


def _numbers(gate: GateResult) -> str:
    """The exact numbers behind the reason, one a line."""
    facts = {
        "metric": untrusted.clean(gate.metric, untrusted.NAME_LIMIT),
        "slice": untrusted.clean(gate.slice) if gate.slice else None,
        "candidate": gate.candidate,
        "baseline": gate.baseline,
        "baseline is": untrusted.clean(gate.baseline_label) if gate.baseline_label else None,
        "baseline run": untrusted.clean(gate.baseline_run) if gate.baseline_run else None,
        "change": gate.change,
        "limit": gate.limit,
        "interval of the change": None if gate.low is None else f"{gate.low} to {gate.high}",
        "confidence": gate.confidence,
        "p": gate.p,
        "n": gate.n,
        "method": untrusted.clean(gate.method) if gate.method else None,
        "to do": untrusted.clean(gate.advice) if gate.advice else None,
    }
    return "\n".join(f"{name}: {value}" for name, value in facts.items() if value is not None)
