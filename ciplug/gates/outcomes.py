"""The outcome of a rule: what was found about it, by the severity of its gate and the policy's action. Pure.

What each outcome does to a job, a status and a promotion is in `ciplug.records.verdict.EFFECTS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from ciplug.records.verdict import Outcome

if TYPE_CHECKING:
    from ciplug.config.gate import Action, Severity

Finding = Literal["holds", "fails", "undecided", "missing", "no_baseline", "invalid"]
"""missing: the run has no such metric, or file. invalid: a value that is not a finite number, a broken reference."""

OUTCOMES: Mapping[Finding, Mapping[Severity, Mapping[Action, Outcome]]] = {
    "holds": {"error": {"fail": "PASS", "warn": "PASS"}, "warning": {"fail": "PASS", "warn": "PASS"}},
    "fails": {"error": {"fail": "FAIL", "warn": "FAIL"}, "warning": {"fail": "WARN", "warn": "WARN"}},
    # A gate that only warns where it fails must not block where nobody knows whether it does.
    "undecided": {"error": {"fail": "FAIL", "warn": "INCONCLUSIVE"}, "warning": {"fail": "WARN", "warn": "WARN"}},
    "missing": {"error": {"fail": "FAIL", "warn": "WARN"}, "warning": {"fail": "WARN", "warn": "WARN"}},
    "no_baseline": {"error": {"fail": "FAIL", "warn": "WARN"}, "warning": {"fail": "WARN", "warn": "WARN"}},
    "invalid": {"error": {"fail": "ERROR", "warn": "ERROR"}, "warning": {"fail": "ERROR", "warn": "ERROR"}},
}
"""Finding → severity of the gate → the policy's action on the finding → outcome."""


def outcome_of(finding: Finding, severity: Severity, action: Action = "fail") -> Outcome:
    """The outcome; a finding without an action in the policy takes any."""
    return OUTCOMES[finding][severity][action]
