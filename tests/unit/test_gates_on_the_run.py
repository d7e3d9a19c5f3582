"""The results on the run itself, beside those of the gates: whether it counts, finished, and left anything to judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from ciplug.gates.evaluate import evaluate
from ciplug.gates.evidence import Evidence
from ciplug.records.comparison import Side
from ciplug.records.notice import Kind, Notice
from ciplug.records.run import Run, Status
from ciplug.records.selection import PassedOver, Reason
from ciplug.records.verdict import Outcome, PolicySource, Verdict
from tests.policies import policy_of

RUN = "c" * 32
DIRTY = PassedOver(run=RUN, reason=Reason.DIRTY, files=("train.py",))
LAPTOP = PassedOver(run=RUN, reason=Reason.LAPTOP)
FAILED = Notice(kind=Kind.FAILED, run=RUN, exit_code=3)
WITHDRAWN = Notice(kind=Kind.WITHDRAWN, run=RUN, by="alice", reason="wrong labels")


def judged(
    *,
    metrics: Mapping[str, float] | None = None,
    status: Status = "finished",
    gate: Mapping[str, Any] | None = None,
    no_base_policy: Notice | None = None,
    unrun: Sequence[Notice] = (),
    **evidence: Any,
) -> Verdict:
    values = {"a": 0.9} if metrics is None else metrics
    run = Run(id=RUN, model="m", commit="1a2b3c4d" * 5, status=status, started="", ended="", metrics=values)
    side = Side(role="candidate", label="this commit", how="", run=RUN, metrics=values)
    before = Side(role="baseline", label="merge base", how="no run")
    return evaluate(
        policy_of({"gates": {"a": {"min": 0.8, **(gate or {})}}}),
        Evidence(candidate=side, baselines={"a": before}, **evidence),
        run,
        created="2026-11-29",
        policy_source=PolicySource(file="conf/ciplug.yaml", branch="main", commit="d" * 40, as_committed=False),
        policy_digest="sha256:1",
        no_base_policy=no_base_policy,
        unrun=unrun,
        stage="staging",
        dry_run=True,
        ciplug="9.9",
    )


COUNTS, FINISHES, LEAVES = "the run counts for its commit", "the training finishes", "the training leaves metrics"
CASES: list[tuple[str, Mapping[str, Any], str, Outcome, bool]] = [
    ("dirty", {"barred": DIRTY}, COUNTS, "INCONCLUSIVE", False),
    ("dirty, strict", {"barred": DIRTY, "gate": {"on_inconclusive": "fail"}}, COUNTS, "FAIL", False),
    ("dirty, and named by its id", {"barred": DIRTY, "named": True}, COUNTS, "WARN", True),
    ("a laptop's, where only pipelines count", {"barred": LAPTOP, "named": True}, COUNTS, "INCONCLUSIVE", False),
    ("failed", {"unfinished": [FAILED]}, FINISHES, "ERROR", True),
    ("killed", {"status": "killed"}, FINISHES, "ERROR", True),
    ("withdrawn", {"objections": [WITHDRAWN]}, "the run counts", "ERROR", True),
    ("without a metric", {"metrics": {}}, LEAVES, "FAIL", True),
]


@pytest.mark.parametrize("facts, rule, outcome, asked", [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_result_on_the_run(facts: Mapping[str, Any], rule: str, outcome: Outcome, asked: bool) -> None:
    """Whatever the gates say: they are asked unless the run's numbers decide nothing."""
    verdict = judged(**facts)
    result, *gates = verdict.gates
    assert (result.gate, result.metric, result.rule, result.outcome) == ("run", "run", rule, outcome)
    assert [gate.gate for gate in gates] == (["a"] if asked else []) and verdict.outcome == outcome
    assert result.advice
    if rule != LEAVES:
        assert ("decide nothing" in result.reason) == (outcome != "WARN")


def test_the_advice_on_a_dirty_run_names_the_file_from_the_folder_of_the_policy() -> None:
    (result,) = judged(barred=DIRTY).gates
    assert "clean: {ignore: [../train.py]}" in (result.advice or "") and "train.py differed" in result.reason


def test_a_run_that_left_no_metric_and_did_not_finish_has_one_result_for_that() -> None:
    assert [gate.rule for gate in judged(metrics={}, status="failed").gates if gate.gate == "run"] == [FINISHES]
    assert [gate.rule for gate in judged(metrics={}, barred=DIRTY).gates] == [COUNTS]


def test_a_withdrawn_run_is_named_once() -> None:
    barred = PassedOver(run=RUN, reason=Reason.WITHDRAWN, objection="withdrawn by alice: wrong labels")
    rules = [gate.rule for gate in judged(barred=barred, objections=[WITHDRAWN]).gates if gate.gate == "run"]
    assert rules == ["the run counts"]


def test_a_policy_of_the_pull_request_is_a_warning() -> None:
    notice = Notice(kind=Kind.NO_BASE_POLICY, name="main", path="ciplug.yaml")
    result, gate = judged(no_base_policy=notice).gates
    assert (result.gate, result.metric, result.outcome, result.reason) == ("policy", "policy", "WARN", notice.clause)
    assert result.advice == notice.remedy and gate.outcome == "PASS"


def test_another_name_is_no_way_around_the_gates_of_the_base() -> None:
    notice = Notice(kind=Kind.NO_BASE_POLICY, name="main", path="ciplug.yaml")
    dropped = Notice(kind=Kind.GATED_DROPPED, name="main", model="wine")
    _, result, _ = judged(no_base_policy=notice, unrun=[dropped]).gates
    assert (result.gate, result.outcome, result.reason) == ("policy", "FAIL", dropped.clause)
    verdict = judged(unrun=[dropped])
    assert ([gate.gate for gate in verdict.gates], verdict.outcome) == (["policy", "a"], "FAIL"), "gates for every name"


def test_the_verdict_says_what_was_judged_and_by_what() -> None:
    verdict = judged()
    assert (verdict.run, verdict.model, verdict.commit) == (RUN, "m", "1a2b3c4d" * 5)
    assert (verdict.policy_file, verdict.policy_branch, verdict.policy_commit) == ("conf/ciplug.yaml", "main", "d" * 40)
    assert (verdict.policy_digest, verdict.policy_as_committed) == ("sha256:1", False)
    assert (verdict.created, verdict.stage, verdict.dry_run, verdict.ciplug) == ("2026-11-29", "staging", True, "9.9")


def test_a_value_that_was_changed_after_the_end_of_the_run_passes_no_gate() -> None:
    (result,) = judged(changed={RUN: {"a": "mallory"}}).gates
    assert result.outcome == "ERROR" and "mallory" in result.reason
    assert judged(changed={"b" * 32: {"a": "mallory"}}).outcome == "PASS"


def test_each_bound_has_its_rule() -> None:
    assert [gate.rule for gate in judged(gate={"max": 1}).gates] == ["at least 0.8", "at most 1"]
