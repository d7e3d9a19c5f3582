"""Put several runs side by side: what the store has of them, and what this clone has of their code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ciplug.comparison import run_diff
from ciplug.errors import GitError
from ciplug.git.changed_files import changed_files
from ciplug.git.commits import has_commit
from ciplug.records.run import Run
from ciplug.records.run_diff import CodeChange, CodeDiff, RunDiff
from ciplug.steps.session import Session

if TYPE_CHECKING:
    from ciplug.tracking.runs import Runs


def diff_runs(session: Session, runs: Runs, named: Sequence[tuple[str, Run]], *, all: bool = False) -> RunDiff:
    """Return what differs between runs; `named`: each with the name that a user gave it."""
    first, *others = (run for _, run in named)
    code = [_code(session, first.commit, other.commit) for other in others]
    series = [runs.series(run) for _, run in named]
    return run_diff.diff([name for name, _ in named], [run for _, run in named], series, code, all=all)


def _code(session: Session, before: str | None, after: str | None) -> CodeDiff:
    if before is None or after is None:
        return CodeDiff(before, after, problem=None if before == after else "one of the runs is of no commit")
    if before == after:
        return CodeDiff(before, after)
    if session.workspace is None:
        return CodeDiff(before, after, problem="this folder is not in a git repository")
    top = session.workspace.top
    for commit in (before, after):
        if not has_commit(top, commit):
            problem = f"commit {commit[:12]} is not in this clone: git fetch origin {commit}"
            return CodeDiff(before, after, problem=problem)
    try:
        found = changed_files(top, before, after)
    except GitError as error:
        return CodeDiff(before, after, problem=error.message)
    return CodeDiff(before, after, tuple(CodeChange(*file) for file in found))
