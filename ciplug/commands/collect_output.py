"""What `collect` and `ci --collect` say of the runs that were handed over."""

from __future__ import annotations

from collections.abc import Sequence

from ciplug import console
from ciplug.bundles.checked import Bundle
from ciplug.errors import counted
from ciplug.steps.collect import Collected
from ciplug.steps.session import Session


def tell_collected(session: Session, collected: Collected) -> None:
    """Say which runs were recorded, and which bundles were refused."""
    recording = collected.recording
    if not collected.trusted:
        console.say(f"{collected.source} is not trusted: its runs are recorded as a fork's, and are never promoted")
    for problem in recording.refused:
        console.complain(f"refused: {problem.message}", problem.hint)
    _tell_runs("recorded", recording.recorded)
    _tell_runs("already recorded", recording.repeated)
    line = f"{_counts(recording.recorded)} recorded in {session.store_name}"
    if recording.repeated:
        were = "was" if sum(len(bundle.runs) for bundle in recording.repeated) == 1 else "were"
        line += f"; {_counts(recording.repeated)} {were} already recorded"
    console.say(line + (f"; {counted(len(recording.refused), 'bundle')} refused" if recording.refused else ""))


def _tell_runs(what: str, bundles: Sequence[Bundle]) -> None:
    for bundle in bundles:
        for run in bundle.runs:
            commit = f" of commit {run.commit[:8]}" if run.commit else ""
            console.detail(f"{what}: run {run.id} ({run.model}, {run.status}){commit}, {bundle.name}")


def _counts(bundles: Sequence[Bundle]) -> str:
    """ "3 runs of 2 bundles"."""
    return f"{counted(sum(len(bundle.runs) for bundle in bundles), 'run')} of {counted(len(bundles), 'bundle')}"
