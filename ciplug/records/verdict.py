"""The verdict of the gates on one run, with its reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ciplug.records.notice_facts import Kind
from ciplug.records.run import Scalar, Status
from ciplug.records.selection import Reason

SCHEMA = 1

Outcome = Literal["PASS", "WARN", "FAIL", "INCONCLUSIVE", "ERROR"]
SEVERITY: dict[Outcome, int] = {"PASS": 0, "WARN": 1, "INCONCLUSIVE": 2, "FAIL": 3, "ERROR": 4}


@dataclass(frozen=True)
class Effect:
    """What an outcome does in each of its uses."""

    fails_job: bool
    """Whether `ciplug gate`, and `ciplug ci` by default, exit with 1."""
    fails_strict_job: bool
    """The same with `ciplug ci --fail-on warn`."""
    status: Literal["success", "failure"]
    """The status of the commit."""
    promotes: bool


EFFECTS: Mapping[Outcome, Effect] = {
    "PASS": Effect(fails_job=False, fails_strict_job=False, status="success", promotes=True),
    "WARN": Effect(fails_job=False, fails_strict_job=True, status="success", promotes=True),
    "INCONCLUSIVE": Effect(fails_job=False, fails_strict_job=True, status="success", promotes=False),
    "FAIL": Effect(fails_job=True, fails_strict_job=True, status="failure", promotes=False),
    "ERROR": Effect(fails_job=True, fails_strict_job=True, status="failure", promotes=False),
}


UNRUN: Mapping[Kind, Outcome] = {Kind.GATED_NOT_RUN: "INCONCLUSIVE", Kind.GATED_DROPPED: "FAIL"}
"""The outcome of a pull request without a run of a model that the target branch gates, by the kind of its notice."""


def worst(outcomes: list[Outcome]) -> Outcome:
    """Return the worst outcome. Raises ValueError for an empty list: no outcome is not a pass."""
    return max(outcomes, key=SEVERITY.__getitem__)


@dataclass(frozen=True, kw_only=True)
class Waived:
    """Somebody has agreed to a failure, up to a limit."""

    limit: float
    expires: str
    """The last day on which the waiver holds: 2026-12-31."""
    approved_by: str
    reason: str
    issue: str | None = None


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """One rule of one gate."""

    gate: str
    """The gate's id: its key in ciplug.yaml."""
    metric: str
    rule: str
    """The rule in words: "at least 0.85", "at most 0.01 worse than the baseline"."""
    outcome: Outcome
    reason: str
    """One sentence with the numbers."""
    advice: str | None = None
    """Advice for a gate that did not pass."""
    slice: str | None = None
    """The part of the examples that was judged: "country = fr"."""
    candidate: float | None = None
    baseline: float | None = None
    baseline_run: str | None = None
    baseline_label: str | None = None
    """The baseline in words: "merge base 1a2b3c4d", "production (v3)"."""
    change: float | None = None
    """candidate − baseline."""
    limit: float | None = None
    """The bound, or the allowed regression in the metric's own unit."""
    method: str | None = None
    """The method of the comparison: "exact McNemar test", "one number per run"."""
    point: bool = False
    """Whether one number of each side was compared, without uncertainty: the reason of a failure states that."""
    confidence: float | None = None
    """The confidence of the interval, 1 − 2α."""
    low: float | None = None
    """The lower end of the interval of `change`."""
    high: float | None = None
    p: float | None = None
    """P(data this bad or worse | exactly at the limit), one-sided, after the correction for several tests."""
    n: int | None = None
    """Examples, or runs of the smaller side."""
    notes: tuple[str, ...] = ()
    waived: Waived | None = None


@dataclass(frozen=True, kw_only=True)
class PolicySource:
    """The place where a policy was read."""

    file: str
    branch: str | None = None
    commit: str | None = None
    as_committed: bool = True

    def __str__(self) -> str:
        """`ciplug.yaml of main (1a2b3c4d)`, `ciplug.yaml (not as committed)`."""
        if self.branch is not None:
            return f"{self.file} of {self.branch} ({(self.commit or '')[:8]})"
        return self.file if self.as_committed else f"{self.file} (not as committed)"


@dataclass(frozen=True, kw_only=True)
class SpreadMetric:
    metric: str
    least: float
    """NaN where a run has a NaN."""
    most: float


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Something that was not the same for several runs: "Python", "package numpy", "command"."""

    what: str
    values: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Runs of one commit with the same parameters and seed whose numbers differ."""

    flaky: bool
    """Nothing that is recorded explains it: the command, the data and the environment were the same as well."""
    seed: str | None = None
    """None: no seed is recorded."""
    runs: tuple[str, ...]
    metrics: tuple[SpreadMetric, ...]
    differs: tuple[Difference, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """One of several runs of a commit that may count for it."""

    run: str
    commit: str | None = None
    """The commit that it is of, where that is an earlier one with the same files."""
    host: str
    status: Status
    seed: Scalar | None = None
    outcome: Outcome | None = None
    """The outcome by the policy, without regard to the other runs; None: it was not judged."""
    failed: tuple[str, ...] = ()
    """The gates that failed on its numbers."""
    without_number: tuple[str, ...] = ()
    """The gates that failed since it has no number for them."""
    weighs: bool = False
    """Whether it takes part in the verdict: its numbers are as good as those of the run that was judged."""
    same_command: bool = False
    """Whether it ran the command of the run that was judged, and should have given the same metrics."""
    behind: Reason | None = None
    """Why it could not have counted in the place of the run that was judged; None: it could."""


@dataclass(frozen=True, kw_only=True)
class Reruns:
    """The runs of a commit beside the one that was judged, or beside those that were judged as one."""

    total: int
    """All runs that could count for the commit, with those that were judged."""
    judged: Rerun
    others: tuple[Rerun, ...] = ()
    """The last first."""
    more: int = 0
    """Earlier ones, which are not among `others`."""
    unjudged: int = 0
    """Those of `more` that would take part in the verdict."""
    behind: int = 0
    """Runs that could not count beside the one that was judged: they did not finish, say, or lack a metric."""
    withdrawn: tuple[Rerun, ...] = ()
    """Runs that were as good, and that somebody withdrew or deleted, the last first."""
    spreads: tuple[Spread, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The worst outcome of the gates, tied to its run, policy and baseline."""

    run: str
    model: str
    outcome: Outcome
    gates: tuple[GateResult, ...] = ()
    created: str
    policy_digest: str
    """sha256 of the policy as it was read."""
    policy_file: str
    """The path of ciplug.yaml, from the top of the repository."""
    policy_branch: str | None = None
    """The branch whose tip the policy was read at, as in a pull request; None if it was read in the checkout."""
    policy_commit: str | None = None
    """The commit that has the policy: that tip, or the checkout's; None if no commit has it."""
    policy_as_committed: bool = True
    """False for a file of the checkout that differs from what was committed."""
    commit: str | None = None
    baseline_run: str | None = None
    runs: tuple[str, ...] = ()
    """All the runs that were judged as one, where several seeds make one candidate."""
    reruns: Reruns | None = None
    """Other runs of the commit that could have been judged in its place; None: there was none."""
    judged: Mapping[str, str] = field(default_factory=dict)
    """Key → sha256 of each record and amendment of the candidate that the gates used."""
    stage: str | None = None
    """The stage that it was made for, if it was made for a promotion."""
    notes: tuple[str, ...] = ()
    """Sentences that the reader must see: a waiver that has expired."""
    dry_run: bool = False
    ciplug: str | None = None
    schema: int = SCHEMA

    @property
    def policy_source(self) -> PolicySource:
        return PolicySource(
            file=self.policy_file,
            branch=self.policy_branch,
            commit=self.policy_commit,
            as_committed=self.policy_as_committed,
        )

    @property
    def passed(self) -> bool:
        """Whether it allows a promotion: by its outcome, of a verdict that was not a dry run."""
        return EFFECTS[self.outcome].promotes and not self.dry_run

    @property
    def waived(self) -> tuple[str, ...]:
        """The gates that pass by a waiver, each with the approver and the reason."""
        return tuple(
            f"{gate.gate} up to {gate.waived.limit:g} until {gate.waived.expires} by {gate.waived.approved_by}: "
            + ", ".join(filter(None, (gate.waived.reason, gate.waived.issue)))
            for gate in self.gates
            if gate.waived
        )

    @property
    def needs(self) -> set[str]:
        """Ids of the other runs that it was made from."""
        compared = {self.baseline_run, *(gate.baseline_run for gate in self.gates)}
        return {run for run in (*compared, *self.runs) if run and run != self.run}


def outcomes_of(verdict: Verdict) -> dict[str, Outcome]:
    """Gate → the worst of its rules, in the order of the gates."""
    outcomes: dict[str, Outcome] = {}
    for result in verdict.gates:
        outcomes[result.gate] = worst([result.outcome, outcomes.get(result.gate, result.outcome)])
    return outcomes
