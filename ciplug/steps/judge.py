"""From what is recorded to a comparison and a verdict: the questions that compare, gate, report and promote share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from ciplug._version import __version__
from ciplug.comparison import baseline as choose
from ciplug.comparison import diff
from ciplug.errors import CiplugError, ConfigError, NotFound, nearest
from ciplug.git import history, names
from ciplug.records.comparison import Comparison, Side
from ciplug.records.provenance import Context
from ciplug.records.run import Run
from ciplug.records.verdict import outcomes_of
from ciplug.registry import ledger
from ciplug.registry import state as models
from ciplug.steps.baselines import Around, first
from ciplug.steps.policy_in_force import Policies, Ruling, read_policies
from ciplug.steps.session import Session, now, stamp

if TYPE_CHECKING:
    from ciplug.gates.evidence import Evidence
    from ciplug.records.series import Series
    from ciplug.records.verdict import Verdict
    from ciplug.reports.report import ModelSection
    from ciplug.tracking.runs import Runs

EVENTS_MOST = 200
"""So many events of the registry, of all models together, are read before it is known which are needed."""
HISTORY_MOST = 20
"""Runs on the target branch that a sparkline shows."""


@dataclass(frozen=True)
class Evaluation:
    """One model of one commit: its run, beside what it is compared with, and what the gates say."""

    run: Run
    comparison: Comparison
    series: dict[str, Series]
    verdict: Verdict | None = None
    proposed: str | None = None
    """What the policy that the pull request proposes would have decided."""
    problem: ConfigError | None = None
    """The mistake in the policy for which nothing could be judged, where that is not raised."""
    origins: Mapping[str, Context] = field(default_factory=dict)
    """Id of a run that it is compared with → the job that recorded it."""
    versions: int = 0
    """How many versions of the model the registry holds."""

    def section(self) -> ModelSection:
        from ciplug.reports.report import ModelSection

        return ModelSection(
            model=self.run.model,
            comparison=self.comparison,
            verdict=self.verdict,
            run=self.run,
            problem=self.problem.message if self.problem else None,
            series=self.series,
            origins=self.origins,
            versions=self.versions,
        )


def resolve_commit(session: Session, name: str | None) -> str:
    """The commit that the user means; None is the head. Raises NotFound."""
    if name is None:
        return session.need_head()
    commit = names.resolve(session.need_workspace(), name, session.env)
    if commit is None:
        hint = "fetch it first, or give its full id"
        if session.need_workspace().shallow:
            hint = "this clone is shallow: give the full commit id"
        raise NotFound(f"no commit, branch or tag named '{name}'", hint=hint)
    return commit


class Base(NamedTuple):
    """What a user asks a comparison to be made with."""

    name: str
    commit: str


def resolve_base(session: Session, name: str | None) -> Base | None:
    """The commit, branch or tag to compare with; None where none was named. Raises UsageError."""
    return Base(name, resolve_commit(session, name)) if name else None


def candidates(session: Session, runs: Runs, commit: str, model: str | None = None) -> list[Run]:
    """The latest run of each model on a commit, a fork's only if there is no other. Raises NotFound without any."""
    _read_ahead(session, runs, commit)
    found = runs.of_commits([commit], model).get(commit, [])
    if not found:
        others = sorted({run.model for run in runs.of_commits([commit]).get(commit, [])}) if model else []
        what = f"no run of '{model}'" if model else "no run"
        hint = nearest(model, others) if model and others else "record one: ciplug run -- COMMAND"
        raise NotFound(f"{what} is recorded on commit {commit[:12]}", hint=hint)
    latest: dict[str, Run] = {}
    for run in sorted(found, key=lambda run: (run.provenance.context.trusted, run.started, run.id)):
        latest[run.model] = run
    return [latest[name] for name in sorted(latest)]


def evaluate(
    session: Session,
    runs: Runs,
    candidates: Sequence[Run],
    *,
    base: Base | None = None,
    gate: bool = True,
    series: bool = False,
    stage: str | None = None,
    again: bool = False,
    report: bool = False,
    dry_run: bool = False,
) -> list[Evaluation]:
    """Compare each candidate, and judge it where the policy has gates for its model.

    Args:
        base: what to compare with in place of the policy's baseline. The gates keep the policy's.
        series: whether the step series are read, too.
        stage: judge by what a promotion there takes.
        again: judge what was judged once, elsewhere: gates of kind drift need files that are not here.
        report: say the same in every job that reports on the commit: where gates read files of the machine that
            they judge on, the verdict of that machine counts as soon as it is recorded, and a policy that cannot
            judge one model is a problem of that one.

    Raises ConfigError for a policy that is wrong or that matches nothing.
    """
    policies = read_policies(session)
    found = []
    for run in candidates:
        ruling = policies.find(run.model)
        if again and ruling:
            ruling = replace(ruling, policy=ruling.policy.without_files())
        registered = models.fold(run.model, ledger.read(session.log, run.model).events)
        around = _around(session, runs, run, ruling, registered)
        comparison = _compare(around, base)
        if base and gate and ruling:
            note = f"Compared with '{base.name}' as asked for; the gates keep the baseline of the policy."
            comparison = replace(comparison, notes=(note, *comparison.notes))
        verdict = proposed = problem = None
        if gate and ruling:
            verdict = _recorded(session, runs, run, ruling) if report else None
            try:
                verdict = verdict or judge(ruling, around.evidence(), run, stage=stage, dry_run=dry_run)
                if policies.changed(run.model):
                    proposed = _proposed(session, runs, policies, run, registered, verdict)
            except ConfigError as mistake:
                if not report:
                    raise
                problem = mistake
        elif gate and report:
            # The gates of another project of the repository: its own job has judged by them.
            verdict = _recorded(session, runs, run, None)
        sides = ((side, around.record(side)) for side in comparison.sides if side.role != "candidate")
        found.append(
            Evaluation(
                run,
                comparison,
                runs.series(run) if series else {},
                verdict,
                proposed,
                problem,
                {side.run: of.provenance.context for side, of in sides if side.run and of},
                len(registered.versions),
            )
        )
    return found


def _recorded(session: Session, runs: Runs, run: Run, ruling: Ruling | None) -> Verdict | None:
    """The last verdict that only another job could give, where it is believed.

    That is one by a policy whose gates read files of the machine that judged, or, without a policy for the model
    here, by that of another ciplug.yaml. In a pull request it is by a policy of the branch that it goes into, as of a
    job of the pull request: a push is judged by thresholds of its own.
    """
    if (ruling and not ruling.policy.reads_files) or not run.provenance.context.trusted:
        return None
    verdicts = [v for v, _ in runs.verdicts(run).values() if v.stage is None and not v.dry_run]
    ours = [v for v in verdicts if ruling is None or v.policy_digest == ruling.digest]
    target = session.context.target_branch
    if target and not (ruling and ruling.missing):
        of_target = re.compile(rf".* of {re.escape(target)} \([0-9a-f]{{8}}\)")
        ours = [v for v in ours if of_target.fullmatch(v.policy_source)]
    return max(ours, key=lambda v: v.created, default=None)


def _proposed(
    session: Session, runs: Runs, policies: Policies, run: Run, registered: models.Model, verdict: Verdict
) -> str | None:
    """What the policy that a pull request proposes would have decided, beside the verdict."""
    ruling, judging = policies.proposed(run.model), policies.find(run.model)
    if judging is None or (ruling and ruling.digest == judging.digest):
        return None
    lead = f"this pull request changes the policy. {judging.source} counts: {verdict.outcome}."
    if ruling is None:
        return f"{lead} As it proposes, nothing would judge '{run.model}'."
    try:
        other = judge(ruling, _around(session, runs, run, ruling, registered).evidence(), run, dry_run=True)
    except ConfigError as problem:
        return f"{lead} As it proposes, it would be an error: {problem.message}."
    before, after = outcomes_of(verdict), outcomes_of(other)
    moved = [
        f"{name} {before.get(name, 'not there')} → {after.get(name, 'not there')}"
        for name in dict.fromkeys((*before, *after))
        if before.get(name) != after.get(name)
    ]
    differs = f" ({', '.join(moved[:8])})" if moved else ""
    return f"{lead} As it proposes: {other.outcome}{differs}."


def judge(ruling: Ruling, evidence: Evidence, run: Run, *, stage: str | None = None, dry_run: bool = False) -> Verdict:
    """The verdict of a policy on one run. `stage`: by what its promotion there takes."""
    from ciplug.gates.evaluate import evaluate as evaluate_gates

    policy = ruling.policy.narrowed(ruling.policy.stages.get(stage)) if stage else ruling.policy
    return evaluate_gates(
        policy,
        evidence,
        run,
        created=stamp(now()),
        policy_source=ruling.source,
        policy_digest=ruling.digest,
        policy_missing=ruling.missing,
        stage=stage,
        dry_run=dry_run,
        ciplug=__version__,
    )


def _around(session: Session, runs: Runs, run: Run, ruling: Ruling | None, registered: models.Model) -> Around:
    commit = run.commit or session.need_head()
    return Around(
        session=session,
        runs=runs,
        given=run,
        ruling=ruling,
        past=lambda branch: _past(session, commit, branch),
        in_production=lambda: _production(runs, run, registered),
    )


def _compare(around: Around, base: Base | None) -> Comparison:
    """The comparison that is shown."""
    run, runs, policy = around.given, around.runs, around.policy
    asked = policy.baseline if policy else None
    branch = asked.branch if asked else None
    if base:
        before = around.of_commit(base.name, base.commit, f"there is no commit '{base.name}'")
    elif asked and asked.ref not in ("best", "mean"):
        before = around.baseline(asked)
    else:
        before = around.merge_base(branch)
    line = around.line(branch)
    by_id = {r.id: r for found in line.by_commit.values() for r in found}
    baseline_run = by_id.get(before.run or "") or (around.record(before) if before.run else None)
    return diff.compare(
        around.run,
        baseline_run,
        sides=(around.candidate(), before, around.tip(branch), around.production()),
        directions=policy.directions() if policy else {},
        tolerances={policy.metric_of(name): policy.tolerance(name) for name in policy.gates} if policy else {},
        history=around.trail(branch)[:HISTORY_MOST][::-1],
        notes=(
            *_notes(run, line.by_commit.get(line.past.head, []), around.candidates),
            *([f"{before.unfit[0].upper()}{before.unfit[1:]}."] if before.found and before.unfit else []),
            *line.past.notes,
            # An unreadable baseline must not look like a first run.
            *(f"A record is left out, it cannot be read: {problem}" for problem in runs.problems.values()),
        ),
    )


@lru_cache(maxsize=8)
def _past(session: Session, commit: str, branch: str | None) -> history.History:
    """The commits around this one, with the branch that it is compared with."""
    workspace, context = session.need_workspace(), session.context
    target = history.target_branch(
        workspace,
        session.env,
        asked=branch,
        context_target=context.target_branch,
        context_default=context.default_branch,
    )
    return history.history_of(workspace, commit, target, session.env)


def _read_ahead(session: Session, runs: Runs, commit: str) -> None:
    """Have the store fetch at once what a comparison is going to ask for, in place of one request a question."""
    past = _past(session, commit, next(iter(read_policies(session).baseline_branches), None))
    recorded = runs.recorded_on([commit, *past.ancestors, *past.target_commits])
    near = {commit, *first(past.ancestors, recorded), *first(past.target_commits, recorded)}
    keys = [key.key for found in near for key in recorded.get(found, ())]
    events = session.store.keys(*(f"{log}/" for log in session.log.logs("registry/")))
    # Of many models with many events, those that are asked for are few.
    session.store.read([*keys, *(events if len(events) <= EVENTS_MOST else ())])


def _production(runs: Runs, run: Run, registered: models.Model) -> tuple[Side, Run | None]:
    holder = registered.holder("Production")
    if holder is None:
        how = f"no version of '{run.model}' is in production"
        remedy = "it comes with the first promotion to production"
        return Side(role="production", label="production", how=how, remedy=remedy), None
    label = f"production (v{holder.number})"
    try:
        held = runs.at(holder.commit, holder.run)
    except CiplugError as problem:
        how = f"its run cannot be read: {problem}"
        return Side(role="production", label=label, how=how, version=holder.number), None
    return choose.side("production", label, f"version {holder.number}", held, now(), version=holder.number), held


def _notes(run: Run, same_commit: Sequence[Run], together: Sequence[Run]) -> tuple[str, ...]:
    notes = []
    if run.status != "finished":
        code = run.provenance.exit_code
        why = run.provenance.signal or (f"exit code {code}" if code is not None else "")
        ended = ("was killed" if run.status == "killed" else run.status) + (f" ({why})" if why else "")
        notes.append(f"The training {ended}: its numbers may be incomplete.")
    if not run.provenance.context.trusted:
        notes.append("The run is of a fork's job: its numbers are what that job says.")
    if run.provenance.dirty:
        notes.append("The run was made from a dirty tree: tracked files differed from the commit.")
    if len(together) > 1:
        notes.append(f"{len(together)} runs of this commit, which differ in their seed, are judged as one.")
    elif len(same_commit) > 1:
        notes.append(f"{len(same_commit)} runs of this commit are recorded; the one that started last is shown.")
    return tuple(notes)
