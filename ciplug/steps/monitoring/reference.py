"""The data that a version was trained or evaluated on, to compare its predictions with."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ciplug.capture.content import examine, name_of
from ciplug.capture.tables.formats import FORMATS
from ciplug.errors import CiplugError
from ciplug.records.run import File
from ciplug.stats.intervals import Undecided
from ciplug.steps.fetch import fetch
from ciplug.steps.monitoring.watched_version import Watched
from ciplug.steps.placing import own_place


class Reference(NamedTuple):
    """A table, and what the reader must know of it."""

    file: Path
    name: str
    note: str | None = None


def default_reference(watched: Watched) -> str | None:
    """The first dataset of the version's evaluation, else of its training, that is a table; None: there is none."""
    evaluation = [_from_top(watched, name) for name in watched.policy.evaluation or ()]
    recorded = {file.path: file for file in watched.run.datasets}
    names = dict.fromkeys((*(name for name in evaluation if name in recorded), *recorded))
    tables = (name for name in names if Path(name).suffix.lower() in FORMATS and recorded[name].kind is None)
    return next(tables, None)


def find_reference(watched: Watched, name: str, scratch: Path, *, from_top: bool = False) -> Reference | Undecided:
    """The table of this name, whose content is the recorded one where the version's run has recorded it.

    Args:
        scratch: where it is fetched to, if it is not here and the store has it.
        from_top: whether the name is as a run records it, and not relative to ciplug.yaml.
    """
    top = watched.session.top
    file = top / name if from_top else watched.folder / name
    recorded = name if from_top else name_of(file, top)
    known = next((one for one in (*watched.run.datasets, *watched.run.artifacts) if one.path == recorded), None)
    if known is None:
        note = f"{name} is not recorded with version {watched.version.number}: it is compared with as it is here"
        return Reference(file, name, note) if file.is_file() else Undecided(f"the reference {name} is not here")
    if file.is_file() and examine(file, top, by_pointer=True).file.digest == known.digest:
        return Reference(file, name)
    return _fetched(watched, known, name, scratch, is_here=file.is_file())


def _fetched(watched: Watched, known: File, name: str, scratch: Path, *, is_here: bool) -> Reference | Undecided:
    wrong = (
        f"the file {name} here is not the one that was recorded with version {watched.version.number}"
        if is_here
        else f"the reference {name} is not here"
    )
    if known not in watched.run.artifacts or known.store is None:
        return Undecided(f"{wrong}; fetch the one with the digest {known.digest[:19]} before this step")
    try:
        fetch(watched.session, watched.run, scratch, [known.path])
    except CiplugError as problem:
        return Undecided(f"{wrong}, and it cannot be fetched: {problem.message}")
    return Reference(scratch / own_place(known.path), name)


def _from_top(watched: Watched, name: str) -> str:
    return name_of(watched.folder / name, watched.session.top)
