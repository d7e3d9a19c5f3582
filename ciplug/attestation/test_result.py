"""in-toto's test result v0.1: what the gates decided."""

from __future__ import annotations

from typing import Any

from ciplug.attestation.facts import VersionFacts
from ciplug.attestation.statement import hex_of, statement
from ciplug.records.verdict import Outcome, outcomes_of

PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
_LISTS: dict[Outcome, str] = {"PASS": "passedTests", "WARN": "warnedTests"}
_RESULTS: dict[Outcome, str] = {"PASS": "PASSED", "WARN": "WARNED"}


def test_result(facts: VersionFacts) -> dict[str, Any] | None:
    """Return the statement on the verdict; None where there is none.

    in-toto knows three results: what is undecided, or an error, has FAILED.
    """
    stored = facts.verdict
    if stored is None:
        return None
    verdict = stored.verdict
    gates: dict[str, list[str]] = {"passedTests": [], "warnedTests": [], "failedTests": []}
    for gate, outcome in outcomes_of(verdict).items():
        gates[_LISTS.get(outcome, "failedTests")].append(gate)
    policy: dict[str, Any] = {"name": verdict.policy_file, "digest": {"ciplugPolicy": hex_of(verdict.policy_digest)}}
    if verdict.policy_commit:
        branch = {"branch": verdict.policy_branch} if verdict.policy_branch else {}
        policy["annotations"] = {**branch, "commit": verdict.policy_commit}
    record = {"name": stored.key, "digest": {"sha256": hex_of(stored.digest)}}
    predicate: dict[str, Any] = {
        "result": _RESULTS.get(verdict.outcome, "FAILED"),
        "configuration": [policy, record],
        **gates,
    }
    if url := facts.run.provenance.context.run_url:
        predicate["url"] = url
    return statement(facts, PREDICATE, predicate)
