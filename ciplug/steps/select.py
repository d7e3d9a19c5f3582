"""Choose the commit, and the runs that represent it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ciplug.errors import NotFound, nearest
from ciplug.git import names
from ciplug.records.run import Run
from ciplug.steps.branches import read_ahead
from ciplug.steps.session import Session

if TYPE_CHECKING:
    from ciplug.tracking.runs import Runs


class NamedCommit(NamedTuple):
    """A commit, and the name under which a user asked for it."""

    name: str
    commit: str


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


def candidates(session: Session, runs: Runs, commit: str, model: str | None = None) -> list[Run]:
    """The latest run of each model on a commit that counts.

    A fork's run counts only if there is no other, and a child run only if the model has no run that is nobody's child.

    Raises NotFound where there is none, naming who withdrew or deleted what was recorded.
    """
    read_ahead(session, runs, commit)
    recorded = runs.of_commits([commit], model).get(commit, [])
    counting = [run for run in recorded if runs.changes(run).counts]
    if not counting:
        raise _nothing_recorded(runs, commit, model, recorded)
    latest: dict[str, Run] = {}
    for run in sorted(counting, key=_precedence):
        latest[run.model] = run
    return [latest[name] for name in sorted(latest)]


def _precedence(run: Run) -> tuple[bool, bool, str, str]:
    return run.provenance.context.trusted, run.parent is None, run.started, run.id


def _nothing_recorded(runs: Runs, commit: str, model: str | None, recorded: Sequence[Run]) -> NotFound:
    """The error for a commit with no run that counts; `recorded` are those that do not."""
    if recorded:
        named = "; ".join(f"run {run.id[:12]} was {runs.changes(run).objection}" for run in recorded)
        advice = runs.changes(max(recorded, key=_precedence)).advice
        return NotFound(f"no run on commit {commit[:12]} counts: {named}", hint=advice)
    others = sorted({run.model for run in runs.of_commits([commit]).get(commit, [])}) if model else []
    what = f"no run of '{model}'" if model else "no run"
    hint = nearest(model, others) if model and others else "record one: ciplug run -- COMMAND"
    return NotFound(f"{what} is recorded on commit {commit[:12]}", hint=hint)
