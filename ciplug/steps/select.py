"""Choose the commit, and the runs that represent it, by `ciplug.comparison.run_that_counts`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from ciplug.comparison.facts import with_facts
from ciplug.comparison.renames import renamed
from ciplug.comparison.run_that_counts import Facts, Rules, Selection, baseline_rules, facts_of, select, with_parents
from ciplug.errors import NotFound, counted, nearest
from ciplug.git import history, names
from ciplug.records.keys import RunKey, run_key, runs_on
from ciplug.records.run import Run
from ciplug.records.selection import Reason
from ciplug.steps.branches import read_ahead
from ciplug.steps.policy_in_force import PolicyInForce, read_policies
from ciplug.steps.renames import renames_for
from ciplug.steps.session import Session, now, stamp
from ciplug.steps.signers import signers_of

if TYPE_CHECKING:
    from ciplug.tracking.runs import Runs

_MODELS_OF_FORKS = 10
"""Models that a report shows of a commit that only forks have recorded runs of."""
RECORD_THERE = "record one there, or name another commit"
"""What to do where a commit that was named has no run."""
_NAMED_MOST = 5
"""Runs that an error names."""


class NamedCommit(NamedTuple):
    """A commit, and the name under which a user asked for it."""

    name: str
    commit: str


class NamedBase(NamedTuple):
    """A run to compare with, and the name under which a user asked for it."""

    name: str
    run: Run


def resolve_commit(session: Session, name: str | None) -> str:
    """The id of the commit that the user means; None is the head. Raises NotFound."""
    if name is None:
        return session.need_head()
    commit = names.resolve(session.need_workspace(), name, session.env)
    if commit is None:
        hint = "fetch it first, or give its full id"
        if session.need_workspace().shallow:
            hint = "this clone is shallow: give the full commit id"
        raise NotFound(f"no commit, branch or tag named '{name}'", hint=hint)
    return commit


def resolve_base(session: Session, name: str | None) -> NamedCommit | None:
    """The commit, branch or tag to compare with; None where none was named. Raises NotFound."""
    return NamedCommit(name, resolve_commit(session, name)) if name else None


def facts_on(
    session: Session,
    runs: Runs,
    recorded: Iterable[Run],
    gated: Collection[str] = (),
    names: Mapping[str, str] | None = None,
) -> dict[str, Facts]:
    """Return run → the facts that decide whether it counts for its commit.

    Args:
        recorded: all runs of these commits, of whatever model.
        gated: the metrics that gates look at, time and memory among them.
        names: old name → present name, of metrics that were renamed.
    """
    signers = signers_of(session)
    recorded = list(recorded)
    by_signer = signers.of_runs(runs, recorded) if signers else {}
    tomorrow = stamp(now() + timedelta(days=1))
    all_facts = []
    for run in recorded:
        facts = facts_of(
            with_facts(renamed(runs.evidence(run).run, names or {}), gated),
            runs.changes(run).objection,
            lambda one: set_aside(session, one),
        )
        # A time that is still to come orders nothing: it is what the writer says.
        started = facts.started if facts.started < tomorrow else ""
        all_facts.append(replace(facts, started=started, signed=not signers or by_signer[run_key(run)] is not None))
    return with_parents(all_facts)


def set_aside(session: Session, run: Run, model: str | None = None) -> tuple[str, ...]:
    """Return the files that a run did not count as changed, and that the policy in force does.

    Args:
        model: whose policy; None: that of the run's model.
    """
    return read_policies(session).counted(run, model) if run.provenance.ignored_files else ()


def candidate_rules(session: Session, model: str, in_force: PolicyInForce | None, names: Mapping[str, str]) -> Rules:
    """Return the rules for the run that a report, gate or promotion takes for a commit."""
    gated = in_force.policy.renamed(names).gated if in_force else frozenset[str]()
    return Rules(pipelines_only=read_policies(session).only_pipelines(model), gated=gated)


def select_runs(session: Session, runs: Runs, commit: str, model: str | None = None) -> dict[str, Selection]:
    """Return model → which of its runs on a commit counts; models without a run are absent."""
    read_ahead(session, runs, commit)
    recorded = runs.of_commits([commit]).get(commit, [])
    models = sorted({run.model for run in recorded if model in (None, run.model)})
    selections = {}
    for name in models:
        in_force = read_policies(session).find(name)
        names = renames_for(session, runs, commit, name, in_force).names
        rules = candidate_rules(session, name, in_force, names)
        facts = facts_on(session, runs, recorded, rules.gated, names)
        selections[name] = select([facts[run.id] for run in recorded if run.model == name], rules)
    return selections


def first_counting(session: Session, runs: Runs, model: str, keys: Iterable[RunKey]) -> Run | None:
    """The first of these runs of a model that counts for its commit, among trusted and finished ones."""
    in_force = read_policies(session).find(model)
    names = in_force.metrics.rename if in_force else {}
    rules = replace(candidate_rules(session, model, in_force, names), forks=False, unfinished=False)
    chosen: dict[str | None, str | None] = {}
    for key in keys:
        if key.commit not in chosen:
            recorded = [run for of in runs.of_commits([key.commit]).values() for run in of]
            facts = facts_on(session, runs, recorded, rules.gated, names)
            chosen[key.commit] = select([facts[run.id] for run in recorded if run.model == model], rules).chosen
        if chosen[key.commit] == key.id:
            return runs.of_key(key)
    return None


def counting_on(session: Session, runs: Runs, commits: Collection[str]) -> dict[str, dict[str, set[str]]]:
    """Return commit → model → the runs that count for it: as the one that is judged, and as baselines.

    A baseline is chosen among all runs, or among those of pipelines, by the metrics of what is compared with it.
    """
    by_commit = runs.of_commits(commits)
    return {commit: _counting(session, runs, by_commit.get(commit, [])) for commit in commits}


def _counting(session: Session, runs: Runs, recorded: Sequence[Run]) -> dict[str, set[str]]:
    by_model = {}
    for model in {run.model for run in recorded}:
        in_force = read_policies(session).find(model)
        names = in_force.metrics.rename if in_force else {}
        rules = candidate_rules(session, model, in_force, names)
        facts = facts_on(session, runs, recorded, rules.gated, names)
        of_model = [facts[run.id] for run in recorded if run.model == model]
        compared = frozenset(name for one in of_model for name in one.metrics)
        baselines = (
            baseline_rules(gated=rules.gated, compared=compared, aside=frozenset(), children=True, pipelines_only=only)
            for only in (False, True)
        )
        chosen = (select(of_model, one).chosen for one in (rules, *baselines))
        by_model[model] = {run for run in chosen if run}
    return by_model


def candidates(session: Session, runs: Runs, commit: str, model: str | None = None) -> list[Run]:
    """The run of each model to report on for a commit: the one that counts, else the one that comes nearest to it.

    Where a trusted run speaks for the commit, a model that has only runs of forks is left out (see `unverified_runs`):
    whoever opens a pull request from the same commit would decide about it.

    Of the latter, a report and a gate say why it does not count. A model whose runs were all withdrawn or deleted is
    left out. Raises NotFound where nothing is left, naming who withdrew or deleted what was recorded.
    """
    selections = select_runs(session, runs, commit, model)
    shown = [selection.chosen or _shown(selection) for selection in selections.values()]
    if not any(shown):
        raise _nothing_counts(runs, commit, model, selections)
    runs_shown = [runs.at(commit, run) for run in shown if run]
    trusted = [run for run in runs_shown if run.provenance.context.trusted]
    return trusted or _bounded(session, runs_shown)


def nearest_candidates(session: Session, runs: Runs, named: NamedCommit, model: str | None) -> tuple[int, list[Run]]:
    """The runs to report on of a commit that a person named, else of its nearest recorded ancestor; and how far it is.

    Raises NotFound where there is none: what is wrong with the runs of the commit itself, if it has any.
    """
    try:
        return 0, candidates(session, runs, named.commit, model)
    except NotFound as problem:
        own = problem
    if session.workspace:
        parents = history.first_parents(session.workspace, named.commit, session.env)[1:]
        recorded = runs.recorded_on(parents)
        for distance, commit in enumerate(parents, 1):
            if commit in recorded:
                with suppress(NotFound):
                    return distance, candidates(session, runs, commit, model)
    if runs.recorded_on([named.commit]):
        raise own
    known = model or session.config.model
    of = f" of '{known}'" if known else ""
    raise NotFound(f"no run{of} on {named.name} or its ancestors", hint=RECORD_THERE)


def _bounded(session: Session, of_forks: Sequence[Run]) -> list[Run]:
    """Those of a fork's models that gates judge, and some of the others: a fork names as many as it likes."""
    gated = [run for run in of_forks if read_policies(session).find(run.model)]
    others = [run for run in of_forks if run not in gated]
    return gated[:_MODELS_OF_FORKS] + others[: max(0, _MODELS_OF_FORKS - len(gated))]


def counting(session: Session, runs: Runs, commit: str, model: str | None = None) -> list[Run]:
    """The run of each model that counts for a commit. Raises NotFound where there is none, with the reasons."""
    selections = select_runs(session, runs, commit, model)
    chosen = [selection.chosen for selection in selections.values() if selection.chosen]
    if not chosen:
        raise _nothing_counts(runs, commit, model, selections)
    return [runs.at(commit, run) for run in chosen]


def _shown(selection: Selection) -> str | None:
    return next((run.run for run in selection.passed_over if run.reason is not Reason.WITHDRAWN), None)


def _nothing_counts(runs: Runs, commit: str, model: str | None, selections: Mapping[str, Selection]) -> NotFound:
    """The error for a commit of which no run counts."""
    against = [run for selection in selections.values() for run in selection.passed_over]
    if against:
        named = "; ".join(f"run {run.run[:12]} {run.words}" for run in against[:_NAMED_MOST])
        more = f"; and {counted(len(against) - _NAMED_MOST, 'more run')}" if len(against) > _NAMED_MOST else ""
        first = against[0]
        if first.reason is Reason.WITHDRAWN:
            advice = runs.changes(runs.at(commit, first.run)).advice
        elif first.reason is Reason.LAPTOP:
            # By its id it would be refused as well.
            advice = "record one in a pipeline: with 'record: ci' no other run counts"
        else:
            # By its id it would not be promoted either.
            advice = "record another run of this commit, from a clean checkout"
        return NotFound(f"no run on commit {commit[:12]} counts: {named}{more}", hint=advice)
    others = sorted({run.model for run in runs.of_commits([commit]).get(commit, [])}) if model else []
    what = f"no run of '{model}'" if model else "no run"
    unreadable = [why for key, why in runs.problems.items() if key.startswith(runs_on(commit))]
    if unreadable:
        return NotFound(
            f"{what} on commit {commit[:12]} can be read: {unreadable[0]}",
            hint="see the problem in detail: ciplug fsck",
        )
    hint = nearest(model, others) if model and others else "record one: ciplug run -- COMMAND"
    return NotFound(f"{what} is recorded on commit {commit[:12]}", hint=hint)
