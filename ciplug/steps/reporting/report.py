"""The report of a commit: the same in every job, whichever job judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ciplug import ci
from ciplug.comparison.renames import present
from ciplug.errors import ConfigError
from ciplug.records import forge_pages
from ciplug.records.keys import log_of
from ciplug.records.notice import Kind, Notice
from ciplug.records.run import Run
from ciplug.records.verdict import SEVERITY
from ciplug.reports.report import ModelSection, Report
from ciplug.steps.baselines import BaselineFinder, baselines_of
from ciplug.steps.compare import compare, section, with_base_named, with_reruns
from ciplug.steps.judge import Judged, add_reruns, judge, policy_change
from ciplug.steps.policy_in_force import Policies, PolicyInForce, read_policies
from ciplug.steps.reruns import reruns_of
from ciplug.steps.select import NamedCommit
from ciplug.steps.session import Session
from ciplug.steps.signers import signers_of
from ciplug.stores import is_git

if TYPE_CHECKING:
    from ciplug.ci.base import Level
    from ciplug.records.verdict import Verdict
    from ciplug.reports.unverified import Unverified
    from ciplug.tracking.runs import Runs

ANNOTATIONS_MOST = 10
"""GitHub shows no more of a step."""


def judged_for_report(
    session: Session, runs: Runs, chosen: Sequence[Run], base: NamedCommit | None = None, *, named: bool = False
) -> list[Judged]:
    """Each run compared and judged, or with the verdict that its own job has recorded; `named`: somebody named them.

    A policy that cannot judge one model is a problem of that model. `base` takes the place of the policy's baseline in
    the comparison that is shown; the gates keep the policy's. Raises ConfigError for a policy that is wrong.
    """
    policies = read_policies(session)
    return [_judged(session, runs, run, base, policies, named) for run in chosen]


def _judged(
    session: Session, runs: Runs, run: Run, base: NamedCommit | None, policies: Policies, named: bool
) -> Judged:
    in_force = policies.find(run.model)
    # Read first: a record that is left out is named in the comparison.
    verdict = _recorded_verdict(session, runs, run, in_force)
    finder = baselines_of(session, runs, run, in_force, named=named)
    comparison = compare(finder, base)
    if base and in_force:
        comparison = with_base_named(comparison, base)
    compared = _with_series(runs, finder, section(finder, comparison))
    if in_force is None:
        # The gates of another project of the repository: its own job has judged by them.
        return Judged(with_reruns(replace(compared, verdict=verdict), reruns_of(finder, verdict)))
    try:
        verdict = add_reruns(finder, in_force, verdict) if verdict else judge(finder, in_force)
        change = policy_change(finder, policies, verdict)
    except ConfigError as problem:
        not_judged = Notice(kind=Kind.NOT_JUDGED, model=run.model, detail=problem.message, advice=problem.hint)
        return Judged(replace(compared, verdict=verdict, problem=not_judged), problem=problem)
    return Judged(with_reruns(replace(compared, verdict=verdict), verdict.reruns), change)


def _with_series(runs: Runs, finder: BaselineFinder, compared: ModelSection) -> ModelSection:
    """The part with the steps of the run, and of the run that it is compared with."""
    baseline = finder.record(compared.comparison.baseline)
    ours, *theirs = runs.series_of([finder.given, *([baseline] if baseline else [])])
    names = finder.renames.names
    return replace(compared, series=present(ours, names), compared_series=present(theirs[0], names) if theirs else {})


def _recorded_verdict(session: Session, runs: Runs, run: Run, in_force: PolicyInForce | None) -> Verdict | None:
    """Return the last trusted verdict that this job cannot compute itself; None if there is none.

    Only another job can judge if gates read files of its machine, or if the model belongs to another ciplug.yaml.
    In a pull request, the verdict must come from a job of the pull request, by a policy of the target branch,
    since a push is judged by its own thresholds.
    """
    if (in_force and not in_force.policy.reads_files) or not run.provenance.context.trusted:
        return None
    signers = signers_of(session)
    verdicts = [
        verdict
        for key, (verdict, digest) in runs.verdicts(run).items()
        if verdict.stage is None and not verdict.dry_run
        if not signers or signers.of_verdict(runs, key, digest)
    ]
    ours = [v for v in verdicts if in_force is None or v.policy_digest == in_force.digest]
    target = session.context.target_branch
    if target and not (in_force and in_force.no_base_policy):
        ours = [v for v in ours if v.policy_branch == target]
    return max(ours, key=lambda v: v.created, default=None)


def report_of(
    session: Session,
    judged: Sequence[Judged],
    notes: Sequence[str] = (),
    unrun: Sequence[Notice] = (),
    unverified: Unverified | None = None,
) -> Report:
    """The report of these models. A comment is made of what the store holds; the rest is of this job."""
    linked = (replace(each.section, registry_url=_registry_page(session, each.section)) for each in judged)
    report = report_without_links(session, judged, unrun, unverified)
    return replace(report, sections=tuple(linked), notes=tuple(notes))


def report_without_links(
    session: Session, judged: Sequence[Judged], unrun: Sequence[Notice] = (), unverified: Unverified | None = None
) -> Report:
    """The same for a terminal, which has no room for links."""
    return Report(
        sections=tuple(each.section for each in judged),
        context=session.context,
        policy_note=_policy_note(judged),
        unrun=tuple(unrun),
        unverified=unverified,
    )


def _policy_note(judged: Sequence[Judged]) -> str | None:
    """Return the note on a pull request's change of the policy; None if the policy is unchanged."""
    notes = [(each.run.model, each.policy_change) for each in judged if each.policy_change]
    lead = len(judged) > 1
    return " ".join(f"{model}: {note}" if lead else note for model, note in notes) or None


def _registry_page(session: Session, of: ModelSection) -> str | None:
    """Return the page of a model's log, if the store is a branch of the repository on the forge."""
    contexts = (of.run.provenance.context, *of.origins.values())
    place = next((c for c in contexts if c.trusted and forge_pages.repository_page(c)), None)
    remote, _, branch = session.store.address.rpartition("#")
    if not (of.versions and place and is_git(session.store_uri) and forge_pages.is_same_repository(remote, place)):
        return None
    return forge_pages.folder_page(place, branch, log_of(of.model))


def job_annotations(session: Session, sections: Sequence[ModelSection]) -> Iterator[str]:
    """Yield the lines by which the CI host shows what did not pass, the worst first, where it has a place for that."""
    if session.context.host == "local":
        return
    host = ci.host_module(session.context.host)
    bad = [(s.model, gate) for s in sections if s.verdict for gate in s.verdict.gates if gate.outcome != "PASS"]
    bad.sort(key=lambda item: -SEVERITY[item[1].outcome])
    for model, gate in bad[:ANNOTATIONS_MOST]:
        level: Level = "error" if gate.outcome in ("FAIL", "ERROR") else "warning"
        words = f"{model}: {gate.gate}: {gate.outcome}: {gate.reason}"
        yield host.annotate(level, f"{words}. {gate.advice}" if gate.advice else words)
