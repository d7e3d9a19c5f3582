"""The verdict of the policy in force on a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ciplug._version import __version__
from ciplug.console import Note
from ciplug.errors import ConfigError
from ciplug.git.commits import commit_named
from ciplug.records.keys import verdict_object
from ciplug.records.run import Run
from ciplug.records.verdict import EFFECTS, outcomes_of
from ciplug.reports.report import ModelSection
from ciplug.steps.baselines import BaselineFinder, baselines_of
from ciplug.steps.branches import commits_around
from ciplug.steps.compare import compare, section, with_reruns
from ciplug.steps.gate_evidence import gather
from ciplug.steps.policy_in_force import Policies, PolicyInForce, is_changed_by, read_policies
from ciplug.steps.reruns import reruns_of
from ciplug.steps.send import store_objects
from ciplug.steps.session import Session, now, stamp
from ciplug.steps.trust import MUST_NOT_WRITE
from ciplug.steps.unrun_models import unrun_beside

if TYPE_CHECKING:
    from ciplug.records.verdict import Verdict
    from ciplug.tracking.runs import Runs

FailOn = Literal["fail", "warn", "never"]


@dataclass(frozen=True)
class Judged:
    """One model of one commit: its part of the report, and what else the gates lead to."""

    section: ModelSection
    policy_change: str | None = None
    """The verdict under the policy that the pull request proposes, as a sentence."""
    problem: ConfigError | None = None
    """The mistake in the policy because of which nothing was judged."""

    @property
    def run(self) -> Run:
        return self.section.run

    @property
    def verdict(self) -> Verdict | None:
        return self.section.verdict


def judge_runs(
    session: Session, runs: Runs, chosen: Sequence[Run], *, named: bool = False, dry_run: bool = False
) -> list[Judged]:
    """Compare each run and judge it; `named`: they were named by their ids.

    Raises ConfigError for a policy that is wrong or has no gate for a model.
    """
    policies = read_policies(session)
    judged = []
    for run in chosen:
        in_force = policies.of(run.model)
        finder = baselines_of(session, runs, run, in_force, named=named)
        compared = section(finder, compare(finder))
        verdict = judge(finder, in_force, dry_run=dry_run)
        compared = with_reruns(replace(compared, verdict=verdict), verdict.reruns)
        judged.append(Judged(compared, policy_change(finder, policies, verdict)))
    return judged


def judge_for_stage(session: Session, runs: Runs, run: Run, stage: str | None, judged_as: str | None = None) -> Verdict:
    """The verdict that a promotion needs today: by the gates of a stage, or by all gates where `stage` is None.

    Gates that read files of the machine that trained are left out: those files are not here, and the recorded verdict
    has judged them. Raises ConfigError where no gate judges the model.

    Args:
        judged_as: the registered name whose gates judge, where that is not the run's model.
    """
    in_force = read_policies(session).of(judged_as or run.model)
    in_force = replace(in_force, policy=in_force.policy.without_files())
    return judge(baselines_of(session, runs, run, in_force, named=True, judged_as=judged_as), in_force, stage=stage)


def judge(
    finder: BaselineFinder, in_force: PolicyInForce, *, stage: str | None = None, dry_run: bool = False
) -> Verdict:
    """The verdict of a policy on one run; `stage`: by what its promotion to that stage takes.

    Other runs of the commit that may count are judged by the same gates: what they add is part of the verdict.
    """
    verdict = _decide(finder, in_force, stage, dry_run)
    verdict = replace(verdict, judged=finder.runs.digests([*finder.candidates, *finder.failed_seeds]))
    return add_reruns(finder, in_force, verdict, stage)


def add_reruns(finder: BaselineFinder, in_force: PolicyInForce, verdict: Verdict, stage: str | None = None) -> Verdict:
    """Return the verdict with the other runs of the commit, as the store has them now.

    Gates that read files of the machine that trained are left out for those runs.
    """
    from ciplug.gates.reruns import with_reruns as weighed

    others = replace(in_force, policy=in_force.policy.without_files())
    alone = None if others.policy.reads_files else lambda other: _decide(other, others, stage, dry_run=True, rerun=True)
    reruns = reruns_of(finder, verdict, alone)
    return weighed(verdict, reruns, finder.gated)


def _decide(
    finder: BaselineFinder, in_force: PolicyInForce, stage: str | None, dry_run: bool, *, rerun: bool = False
) -> Verdict:
    """The verdict on a run by itself, without what was read; `rerun`: it is beside the one that is judged."""
    from ciplug.gates.evaluate import evaluate

    policy = in_force.policy.renamed(finder.renames.names)
    in_force = replace(in_force, policy=policy)
    return evaluate(
        policy.narrowed(policy.stages.get(stage)) if stage else policy,
        gather(finder, in_force),
        finder.run,
        created=stamp(now()),
        policy_source=in_force.source,
        policy_digest=in_force.digest,
        no_base_policy=in_force.no_base_policy,
        unrun=unrun_beside(finder.session, finder.runs, finder.given.commit, finder.given.model, in_force),
        stage=stage,
        dry_run=dry_run,
        rerun=rerun,
        ciplug=__version__,
    )


def policy_change(finder: BaselineFinder, policies: Policies, verdict: Verdict) -> str | None:
    """Describe the verdict under the policy that a pull request proposes; None if it does not change the policy."""
    model = finder.given.model
    proposed, in_force = policies.proposed(model), policies.find(model)
    if in_force is None or not policies.changed(model) or (proposed and proposed.digest == in_force.digest):
        return None
    if not is_changed_by(finder.session, model, _began_from(finder.session)):
        return None
    lead = f"this pull request changes the policy. {in_force.source} counts: {verdict.outcome}."
    if proposed is None:
        return f"{lead} With the proposed policy, no gate would judge '{model}'."
    try:
        other = judge(replace(finder, in_force=proposed), proposed, dry_run=True)
    except ConfigError as problem:
        return f"{lead} With the proposed policy, it would be an error: {problem.message}."
    return f"{lead} With the proposed policy: {other.outcome}{_moved(verdict, other)}."


def _began_from(session: Session) -> Iterator[str]:
    """Yield the commits of the target branch that a pull request is based on: its merge base, and what it merged."""
    workspace, context = session.need_workspace(), session.context
    parents = [commit_named(workspace.top, f"{context.merge_commit}^{n}") for n in (1, 2) if context.merge_commit]
    yield from (one for one in parents if one not in (None, session.head))
    if base := commits_around(session, session.need_head(), context.target_branch).merge_base:
        yield base


def _moved(verdict: Verdict, other: Verdict) -> str:
    """The gates that end differently: " (accuracy FAIL → PASS)"."""
    before, after = outcomes_of(verdict), outcomes_of(other)
    moved = [
        f"{name} {before.get(name, 'not there')} → {after.get(name, 'not there')}"
        for name in dict.fromkeys((*before, *after))
        if before.get(name) != after.get(name)
    ]
    return f" ({', '.join(moved[:8])})" if moved else ""


def keep_verdicts(session: Session, verdicts: Sequence[Verdict], bundle: Path | None = None) -> frozenset[str]:
    """Record the verdicts, as the evidence that a promotion asks for, or put them into `bundle`; returns their keys."""
    objects = dict(map(verdict_object, verdicts))
    if objects and (session.context.trusted or bundle is not None):
        store_objects(session, objects, bundle)
    elif objects:
        session.tell(Note(f"{MUST_NOT_WRITE}: the verdict is not recorded"))
    return frozenset(objects)


def exit_code(verdicts: Sequence[Verdict], fail_on: FailOn = "fail") -> int:
    """0 or 1. With "warn", a warning or an inconclusive gate fails too."""
    if fail_on == "never":
        return 0
    effects = [EFFECTS[verdict.outcome] for verdict in verdicts]
    return int(any(one.fails_job if fail_on == "fail" else one.fails_strict_job for one in effects))
