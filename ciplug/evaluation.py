"""From what is recorded to a comparison and a verdict: the questions that compare, gate, report and promote share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from ciplug import __version__
from ciplug.comparison import baseline as choose
from ciplug.comparison import diff
from ciplug.errors import CiplugError, ConfigError, UsageError
from ciplug.records.comparison import Comparison, Side
from ciplug.records.run import Run
from ciplug.registry import ledger, models
from ciplug.session import Session, now, stamp
from ciplug.tracking import history
from ciplug.tracking.worktree import is_committed

if TYPE_CHECKING:
    from ciplug.gates.policy import Policy
    from ciplug.records.series import Series
    from ciplug.records.verdict import Verdict
    from ciplug.reports.report import ModelSection
    from ciplug.tracking.runs import Runs

ANCESTORS_MOST = 50
"""How many recorded ancestors are read to find the nearest with a run of the model."""
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

    def section(self) -> ModelSection:
        from ciplug.reports.report import ModelSection

        return ModelSection(
            model=self.run.model,
            comparison=self.comparison,
            verdict=self.verdict,
            run=self.run,
            series=self.series,
        )


def resolve_commit(session: Session, name: str | None) -> str:
    """The commit that the user means; None is the head. Raises UsageError."""
    if name is None:
        return session.need_head()
    commit = history.resolve(session.need_workspace(), name, session.env)
    if commit is None:
        hint = "fetch it first, or give its full id"
        if session.need_workspace().shallow:
            hint = "this clone is shallow: give the full commit id"
        raise UsageError(f"'{name}' is no commit, branch or tag here", hint=hint)
    return commit


def candidates(session: Session, runs: Runs, commit: str, model: str | None = None) -> list[Run]:
    """The latest run of each model on a commit, a fork's only if there is no other. Raises UsageError without any."""
    _read_ahead(session, runs, commit)
    found = runs.of_commits([commit], model).get(commit, [])
    if not found:
        what = f"no run of '{model}'" if model else "no run"
        raise UsageError(f"{what} is recorded on commit {commit[:12]}", hint="record one: ciplug run -- COMMAND")
    latest: dict[str, Run] = {}
    for run in sorted(found, key=lambda run: (run.provenance.context.trusted, run.started, run.id)):
        latest[run.model] = run
    return [latest[name] for name in sorted(latest)]


def evaluate(
    session: Session,
    runs: Runs,
    candidates: Sequence[Run],
    *,
    base: str | None = None,
    gate: bool = True,
    series: bool = False,
    dry_run: bool = False,
) -> list[Evaluation]:
    """Compare each candidate, and judge it where the policy has gates for its model.

    Args:
        base: what to compare with in place of the merge base: a commit, branch or tag.
        series: whether the step series are read, too.

    Raises ConfigError for a policy that is wrong or that matches nothing.
    """
    policy = read_policy(session)
    found = []
    for run in candidates:
        comparison = _compare(session, runs, run, policy, base)
        verdict = None
        if gate and has_gates(session, policy, run.model):
            verdict = judge(session, policy, comparison, run, dry_run=dry_run)
        found.append(Evaluation(run, comparison, runs.series(run) if series else {}, verdict))
    return found


def read_policy(session: Session) -> Policy:
    from ciplug.gates import policy

    return policy.read(session.config)


def has_gates(session: Session, policy: Policy, model: str) -> bool:
    """Whether the configuration judges this model: its gates are for the model that it names, if it names one."""
    return bool(policy.gates) and session.config.model in (None, model)


def need_gates(session: Session, policy: Policy, model: str) -> None:
    """Raises ConfigError where nothing would be judged: that is no pass."""
    source = policy_source(session)
    if not policy.gates:
        raise ConfigError(f"{source}: there is no gate", hint="add one: gates: {accuracy: {min: 0.9}}")
    if not has_gates(session, policy, model):
        raise ConfigError(
            f"{source}: its gates are for the model '{session.config.model}', and the run is of '{model}'",
            hint=f"run with --model {session.config.model}, or change 'model:'",
        )


def judge(session: Session, policy: Policy, comparison: Comparison, run: Run, *, dry_run: bool = False) -> Verdict:
    """The verdict of the policy on one run."""
    from ciplug.gates.evaluate import evaluate as evaluate_gates

    return evaluate_gates(
        policy,
        comparison,
        run,
        created=stamp(now()),
        policy_source=policy_source(session),
        dry_run=dry_run,
        ciplug=__version__,
    )


def policy_source(session: Session) -> str:
    """Where the policy was read, relative to the repository, and whether it is as it was committed."""
    path = session.config.path
    if path is None:
        return "ciplug.yaml"
    if not path.is_relative_to(session.top):
        return str(path)
    name = path.relative_to(session.top).as_posix()
    committed = session.workspace is not None and is_committed(session.workspace, path)
    return name if committed else f"{name} (not as committed)"


def _compare(session: Session, runs: Runs, run: Run, policy: Policy, base: str | None) -> Comparison:
    commit = run.commit or session.need_head()
    past = _past(session, commit)
    gated = {policy.metric_of(name) for name in policy.gates} if has_gates(session, policy, run.model) else set()
    asked = resolve_commit(session, base) if base else None
    asked_line = history.first_parents(session.need_workspace(), asked, session.env) if asked else ()

    recorded = runs.recorded_on([commit, *asked_line, *past.ancestors, *past.target_commits])
    wanted = [
        commit,
        *_first(asked_line if asked else past.ancestors, recorded),
        *_first(past.target_commits, recorded),
    ]
    recorded_runs = runs.of_commits(dict.fromkeys(wanted), run.model)
    # What a fork's job says of itself is compared with what is known, and nothing is compared with it.
    by_commit = {
        key: [r for r in found if r.provenance.context.trusted or r.id == run.id]
        for key, found in recorded_runs.items()
    }
    moment = now()

    candidate = choose.side("candidate", "this commit", "the run under review", run, moment)
    if asked and base:
        before = choose.asked_side(by_commit, asked_line, base, candidate=run, now=moment, gated=gated)
    else:
        before = choose.merge_base_side(
            by_commit,
            merge_base=past.merge_base,
            ancestors=past.ancestors,
            target=past.target,
            candidate=run,
            now=moment,
            gated=gated,
        )
    others = {key: [r for r in found if r.id != run.id] for key, found in by_commit.items()}
    tip = choose.target_side(others, past.target_commits, past.target, run, moment, gated)
    trail = [latest for c in past.target_commits if (latest := choose.latest(others.get(c, ()), run, gated))]
    by_id = {r.id: r for found in by_commit.values() for r in found}
    return diff.compare(
        run,
        by_id.get(before.run) if before.run else None,
        sides=(candidate, before, tip, _production(session, runs, run)),
        directions=policy.directions() if has_gates(session, policy, run.model) else {},
        tolerances={policy.metric_of(name): policy.tolerance(name) for name in policy.gates},
        history=trail[:HISTORY_MOST][::-1],
        notes=(
            *_notes(run, by_commit.get(commit, [])),
            *past.notes,
            # An unreadable baseline must not look like a first run.
            *(f"A record is left out, it cannot be read: {problem}" for problem in runs.problems.values()),
        ),
    )


@lru_cache(maxsize=8)
def _past(session: Session, commit: str) -> history.History:
    """The commits around this one, with the branch that it is compared with."""
    workspace, context = session.need_workspace(), session.context
    target = history.target_branch(
        workspace,
        session.env,
        asked=session.config.baseline,
        context_target=context.target_branch,
        context_default=context.default_branch,
    )
    return history.look(workspace, commit, target, session.env)


def _read_ahead(session: Session, runs: Runs, commit: str) -> None:
    """Have the store fetch at once what a comparison is going to ask for, in place of one request a question."""
    past = _past(session, commit)
    recorded = runs.recorded_on([commit, *past.ancestors, *past.target_commits])
    near = {commit, *_first(past.ancestors, recorded), *_first(past.target_commits, recorded)}
    keys = [key.key for found in near for key in recorded.get(found, ())]
    events = session.store.keys(*(f"{log}/" for log in session.store.logs("registry/")))
    # Of many models with many events, those that are asked for are few.
    session.store.read([*keys, *(events if len(events) <= EVENTS_MOST else ())])


def _first(commits: Iterable[str], recorded: Mapping[str, object]) -> list[str]:
    return [commit for commit in commits if commit in recorded][:ANCESTORS_MOST]


def _production(session: Session, runs: Runs, run: Run) -> Side:
    model = models.fold(run.model, ledger.read(session.store, run.model).events)
    holder = model.holder("Production")
    if holder is None:
        return Side(role="production", label="production", how=f"no version of '{run.model}' is in production")
    label = f"production (v{holder.number})"
    try:
        held = runs.at(holder.commit, holder.run)
    except CiplugError as problem:
        return Side(role="production", label=label, how=f"its run cannot be read: {problem}", version=holder.number)
    return choose.side("production", label, f"version {holder.number}", held, now(), version=holder.number)


def _notes(run: Run, same_commit: Sequence[Run]) -> tuple[str, ...]:
    notes = []
    if run.status != "finished":
        code = run.provenance.exit_code
        how = f"exit code {code}" if code is not None else "it was killed"
        notes.append(f"The training {run.status} ({run.provenance.signal or how}): its numbers may be incomplete.")
    if not run.provenance.context.trusted:
        notes.append("The run is of a fork's job: its numbers are what that job says.")
    if run.provenance.dirty:
        notes.append("The run was made from a dirty tree: tracked files differed from the commit.")
    if len(same_commit) > 1:
        notes.append(f"{len(same_commit)} runs of this commit are recorded; the one that started last is shown.")
    return tuple(notes)
