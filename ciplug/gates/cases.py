"""Tests of a policy: given these numbers, this verdict is due. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Any

from ciplug.comparison.repeats import mean
from ciplug.errors import ConfigError, nearest
from ciplug.gates.evaluate import evaluate
from ciplug.gates.evidence import Evidence
from ciplug.records.comparison import Side
from ciplug.records.run import Run
from ciplug.records.verdict import SEVERITY, Outcome, PolicySource, outcomes_of

if TYPE_CHECKING:
    from ciplug.config.policy import Policy

_KEYS = ("name", "model", "metrics", "baseline", "baselines", "history", "stage", "branch", "commit", "today", "expect")
Numbers = Mapping[str, tuple[float, ...]]
"""Metric → its value, or one for each seed."""


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    where: str
    """File and line."""
    expect: Mapping[str, Outcome]
    """Gate → outcome; "verdict" is the outcome of all gates."""
    model: str | None = None
    metrics: Numbers = field(default_factory=dict)
    baseline: Numbers | None = None
    baselines: Mapping[str, Numbers | None] = field(default_factory=dict)
    """Gate → what it compares with, where that is not `baseline`."""
    history: Numbers = field(default_factory=dict)
    stage: str | None = None
    branch: str | None = None
    commit: str | None = None
    today: date | None = None


def read(data: Any, where: str, number: int) -> Case:
    """Read one case from YAML. Raises ConfigError naming file, line and key."""
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: a case is expected, like {{metrics: {{accuracy: 0.9}}, expect: PASS}}")
    for key in data:
        if key not in _KEYS:
            raise ConfigError(f"{where}: {key}: unknown key", hint=nearest(str(key), _KEYS))

    def fail(key: str, words: str) -> ConfigError:
        return ConfigError(f"{where}: {key}: {words}")

    def numbers(key: str, value: Any) -> Numbers:
        if not isinstance(value, dict):
            raise fail(key, "a mapping of metrics is expected, like {accuracy: 0.9}")
        by_metric = {}
        for metric, given in value.items():
            values = given if isinstance(given, list) else [given]
            if not values or any(isinstance(v, bool) or not isinstance(v, (int, float)) for v in values):
                raise fail(f"{key}.{metric}", f"a number, or one for each seed, is expected, not {given!r}")
            by_metric[metric] = tuple(map(float, values))
        return by_metric

    def text(key: str) -> str | None:
        value = data.get(key)
        if value is not None and not isinstance(value, str):
            raise fail(key, f"text is expected, not {value!r}")
        return value

    today = data.get("today")
    if today is not None and not isinstance(today, date):
        raise fail("today", f"a day like 2026-12-31 is expected, not {today!r}")
    if data.get("metrics") is None:
        raise fail("metrics", "the numbers of the candidate are missing")
    others = data.get("baselines") or {}
    if not isinstance(others, dict):
        raise fail("baselines", "a mapping of gates is expected")
    return Case(
        name=text("name") or f"case {number}",
        where=where,
        expect=_expected(data.get("expect"), fail),
        model=text("model"),
        metrics=numbers("metrics", data["metrics"]),
        baseline=None if data.get("baseline") is None else numbers("baseline", data["baseline"]),
        baselines={g: None if v is None else numbers(f"baselines.{g}", v) for g, v in others.items()},
        history=numbers("history", data.get("history") or {}),
        stage=text("stage"),
        branch=text("branch"),
        commit=text("commit"),
        today=today,
    )


def _expected(given: Any, fail: Any) -> dict[str, Outcome]:
    expected = {"verdict": given} if isinstance(given, str) else given
    if not isinstance(expected, dict) or not expected or any(o not in SEVERITY for o in expected.values()):
        raise fail("expect", f"one of {', '.join(SEVERITY)} is expected, or a mapping of gates to them, not {given!r}")
    return expected


def differences(policy: Policy, case: Case) -> list[str]:
    """Return the differences from the case's expected outcomes; empty if there are none.

    Slices, trends and gates of kind drift need more than a case has, and are left out. Raises ConfigError for a gate or
    stage that the policy does not have.
    """
    if case.stage is not None and case.stage not in policy.stages:
        raise ConfigError(f"{case.where}: stage: the policy has no rules for stage '{case.stage}'")
    for name in (*case.expect, *case.baselines):
        if name != "verdict" and name not in policy.gates:
            raise ConfigError(f"{case.where}: there is no gate '{name}'", hint=nearest(name, list(policy.gates)))
    judged = policy.for_branch(case.branch)
    judged = judged.narrowed(policy.stages[case.stage]) if case.stage else judged
    gates = {
        name: replace(gate, slices=None, trend=None)
        for name, gate in judged.gates.items()
        if gate.kind == "metric" and (gate.min, gate.max, gate.max_regression) != (None, None, None)
    }
    judged = replace(judged, gates=gates)
    candidate = _side("candidate", case.metrics)
    evidence = Evidence(
        candidate=candidate,
        baselines={name: _side("baseline", case.baselines.get(name, case.baseline)) for name in gates},
        history=case.history,
        today=case.today or date.min,
    )
    run = Run(id="0" * 32, model=case.model or "", commit=case.commit, status="finished", started="", ended="")
    verdict = evaluate(judged, evidence, run, created="", policy_source=PolicySource(file=case.where))
    outcomes = {"verdict": verdict.outcome, **outcomes_of(verdict)}
    wrong = []
    for name, due in case.expect.items():
        got = outcomes.get(name)
        if got != due:
            reasons = [g.reason for g in verdict.gates if g.outcome == got and name in ("verdict", g.gate)]
            why = f": {reasons[0]}" if reasons else ""
            wrong.append(f"{name}: {due} is expected, but it is {got or 'not judged'}{why}")
    return wrong


def _side(role: Any, numbers: Numbers | None) -> Side:
    if numbers is None:
        return Side(role=role, label="baseline", how="the case has no baseline")
    count = max(map(len, numbers.values()), default=1)
    return Side(
        role=role,
        label=role,
        how="as the case says",
        run=f"{role[0]}" * 32,
        metrics={metric: mean(values) for metric, values in numbers.items()},
        runs=tuple(f"{role[0]}{n}" for n in range(count)) if count > 1 else (),
        repeats={metric: values for metric, values in numbers.items() if len(values) > 1},
    )
