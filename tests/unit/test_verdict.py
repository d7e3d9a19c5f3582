"""What a verdict says about the policy that it was made by."""

from __future__ import annotations

import json

import pytest

from ciplug.records import canonical, read
from ciplug.records.verdict import GateResult, PolicySource, Verdict

COMMIT = "1a2b3c4d" + "0" * 32


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        (PolicySource(file="ciplug.yaml"), "ciplug.yaml"),
        (PolicySource(file="ciplug.yaml", as_committed=False), "ciplug.yaml (not as committed)"),
        (PolicySource(file="a/ciplug.yaml", branch="main", commit=COMMIT), "a/ciplug.yaml of main (1a2b3c4d)"),
    ],
)
def test_where_a_policy_was_read(source: PolicySource, shown: str) -> None:
    verdict = Verdict(
        run="r", model="m", outcome="PASS", created="2026-11-23T19:24:00.123Z", policy_digest="sha256:0",
        policy_file=source.file, policy_branch=source.branch, policy_commit=source.commit,
        policy_as_committed=source.as_committed,
    )  # fmt: skip
    again = read.verdict(canonical.dumps(verdict), "verdicts/x")
    assert again.policy_source == source
    assert str(again.policy_source) == shown


def test_a_result_of_before_a_field_was_there_is_read() -> None:
    result = GateResult(gate="a", metric="a", rule="", outcome="FAIL", reason="")
    verdict = Verdict(
        run="r", model="m", outcome="FAIL", gates=(result,), created="", policy_digest="", policy_file="ciplug.yaml"
    )
    data = json.loads(canonical.dumps(verdict))
    data["gates"][0].pop("point", None)
    assert read.verdict(json.dumps(data).encode(), "verdicts/x") == verdict
