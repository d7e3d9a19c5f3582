"""The report of a job after it recorded a run: its own run in its files, the whole commit in the comment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug.capture.spool import read_bundle
from ciplug.errors import ConfigError
from ciplug.records.run import Run
from ciplug.reports.report import Report
from ciplug.steps.judge import Judged
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.reporting.report import judged_for_report, report_of
from ciplug.steps.reporting.snapshot import Snapshot
from ciplug.steps.select import NamedCommit, candidates
from ciplug.steps.session import Session
from ciplug.steps.signers import judged_runs
from ciplug.steps.unrun_models import unrun_models
from ciplug.steps.unverified_runs import unverified_runs

if TYPE_CHECKING:
    from ciplug.records.verdict import Verdict
    from ciplug.tracking.runs import Runs


@dataclass(frozen=True)
class JobRun:
    """The run that a job has recorded, and what its report needs to know beside it."""

    run: Run
    also: Sequence[Run] = ()
    """Runs of other models that the job has recorded, too, and answers for."""
    base: NamedCommit | None = None
    """The commit to compare with instead of the policy's baseline."""
    notes: Sequence[str] = ()
    """Sentences for this job's own files."""
    bundle: Path | None = None
    """The bundle with the run, if it is not in the store."""


@dataclass(frozen=True)
class Speaks:
    """The run of a model that a comment shows for a commit."""

    run: str
    counts: bool
    """False: none of the commit counts, and this one comes nearest to it."""


@dataclass(frozen=True)
class JobReport:
    """The report on a commit after one of its runs."""

    runs: Runs
    own: Judged
    """The run of this job. The other models of the commit have jobs of their own, which judge them."""
    also: Sequence[Judged]
    """Its runs of other models."""
    report: Report
    """For this job's files and its log: its own run, beside the latest of each other model."""
    snapshot: Snapshot
    """For the comment and the status: the latest run of every model, whichever job recorded it."""
    speaks: Speaks | None = None
    """The run of this job's model that the comment shows; None: all of them were withdrawn."""
    unjudged: ConfigError | None = field(default=None)
    """The reason why the gates did not judge a run of this job."""

    @property
    def verdicts(self) -> list[Verdict]:
        """Those on the runs of this job."""
        return [each.verdict for each in (self.own, *self.also) if each.verdict]


def report_on(session: Session, job: JobRun) -> JobReport:
    """Compare and judge this job's run and all that the store holds for its commit.

    Gates that cannot be asked are an error, and the comparison is worth seeing all the same.
    """
    runs = judged_runs(session, read_bundle(job.bundle) if job.bundle else None)
    commit = job.run.commit or session.need_head()
    speaking = candidates(session, runs, commit)
    ours = [job.run, *job.also]
    others = [run for run in speaking if run.id not in {one.id for one in ours}]
    judged = judged_for_report(session, runs, [*ours, *others], job.base)
    own, also = judged[0], judged[1 : len(ours)]
    models = {each.run.model for each in (own, *also)}
    problems = [(each, each.problem or _without_gates(session, each)) for each in (own, *also)]
    unjudged = next((problem for _, problem in problems if problem), None)
    notes = [*job.notes, *(f"Not judged: {why.message}." for each, why in problems if why and not each.problem)]
    unrun = unrun_models(session, runs, commit)
    shown = [each for each in judged if each.run.id in {run.id for run in speaking}]
    of_model = next((each.section for each in shown if each.run.model == own.run.model), None)
    unverified = unverified_runs(session, runs, commit, [each.section for each in judged])
    speaks = Speaks(of_model.run.id, of_model.comparison.candidate.reason is None) if of_model else None
    return JobReport(
        runs=runs,
        own=own,
        also=also,
        report=report_of(
            session, [own, *also, *(each for each in judged if each.run.model not in models)], notes, unrun, unverified
        ),
        snapshot=Snapshot.of(session, commit, report_of(session, shown, unrun=unrun, unverified=unverified)),
        speaks=speaks,
        unjudged=unjudged,
    )


def _without_gates(session: Session, own: Judged) -> ConfigError | None:
    """The mistake where gates are set, but none for this job's model."""
    policies = read_policies(session)
    if own.verdict is not None or not policies.any_gate:
        return None
    try:
        policies.of(own.run.model)
    except ConfigError as problem:
        return problem
    return None
