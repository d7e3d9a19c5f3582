"""Drop the files of runs that are dropped, from the git store that they are in, unless a run that stays names them.

Other places may be shared with other stores, whose runs are not known here: nothing is dropped there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ciplug.errors import counted
from ciplug.git.credentials import redact
from ciplug.records.keys import RunKey
from ciplug.steps.kept_files import kept_files, read_folders
from ciplug.steps.session import Session, now
from ciplug.stores import is_git
from ciplug.stores.files import OWN, DroppedFiles, DropsFiles
from ciplug.tracking.retention import RetainedRun
from ciplug.tracking.runs import Runs

_AT_ONCE = 1000


@dataclass(frozen=True)
class FilesToDrop:
    """The files that no run needs once the old runs are dropped."""

    unneeded: frozenset[str] = frozenset()
    needed: frozenset[str] = frozenset()
    """What all runs name, the old ones as well."""
    unknown: str | None = None
    """Why it is not known which files are needed: then none is dropped."""


def files_to_drop(session: Session, old: Sequence[RetainedRun]) -> FilesToDrop | None:
    """The files to drop; None where the store drops none, or there is nothing to do."""
    files = _files(session)
    if files is None or not (old or files.due(now())):
        return None
    going = {RunKey(run.commit, run.id).key for run in old}
    own = {OWN, redact(session.store_uri)}
    runs = Runs(session.store)
    keys = runs.recorded()
    named: dict[bool, set[str]] = {True: set(), False: set()}
    folders: dict[bool, set[str]] = {True: set(), False: set()}
    for at in range(0, len(keys), _AT_ONCE):
        some = keys[at : at + _AT_ONCE]
        for run in runs.load(some):
            key = RunKey(run.commit, run.id).key
            for place, kept in kept_files(run, key).items():
                # What stays counts wherever it is: one place may have two names.
                if place in own or key not in going:
                    named[key in going].update(file.digest for file in kept)
                if place in own:
                    folders[key in going].update(file.digest for file in kept if file.is_folder)
    if runs.problems or runs.newer:
        what = counted(len(runs.problems) + len(runs.newer), "record")
        return FilesToDrop(unknown=f"{what} cannot be read, so the files that they name are unknown: see `ciplug fsck`")
    if notes := session.store.notes:  # such as a segment that cannot be read
        return FilesToDrop(unknown=f"the runs may not be complete: {notes[0]}")
    lists, unread = read_folders(files, folders[True] | folders[False])
    if lost := unread.keys() & folders[False]:
        what = counted(len(lost), "list")
        return FilesToDrop(unknown=f"{what} of the files of a folder cannot be read: see `ciplug fsck`")
    for is_going, digests in folders.items():
        named[is_going].update(digest for one in digests & lists.keys() for digest in lists[one].values())
    return FilesToDrop(frozenset(named[True] - named[False]), frozenset(named[True] | named[False]))


def drop_files(session: Session, files: FilesToDrop) -> DroppedFiles:
    """Set the unneeded files aside, and drop those that were set aside long ago."""
    place = _files(session)
    if files.unknown or place is None:
        return DroppedFiles()
    return place.drop(files.unneeded, files.needed, now())


def _files(session: Session) -> DropsFiles | None:
    if not is_git(session.store_uri):
        return None
    files = session.files_at(OWN)
    return files if isinstance(files, DropsFiles) else None
