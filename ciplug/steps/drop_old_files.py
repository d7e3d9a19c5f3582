"""Drop the files of runs that are dropped, from the git store that they are in, unless a run that stays names them.

Other places may be shared with other stores, whose runs are not known here: nothing is dropped there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ciplug.errors import RecordError, counted
from ciplug.git.credentials import redact
from ciplug.records import read
from ciplug.records.amendment import Amendment
from ciplug.records.keys import EVERY_AMENDMENT, RunKey, parse_amendments
from ciplug.records.run import File
from ciplug.steps.kept_files import kept_files, read_folders
from ciplug.steps.session import Session, now
from ciplug.stores import Store, is_git
from ciplug.stores.files import OWN, DroppedFiles, DropsFiles
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


def files_to_drop(session: Session, old: Sequence[RunKey]) -> FilesToDrop | None:
    """The files to drop with these runs; None where the store drops none, or there is nothing to do."""
    files = _files(session)
    if files is None or not (old or files.due(now())):
        return None
    going = {run.key for run in old}
    own = {OWN, redact(session.store_uri)}
    runs = Runs(session.store)
    keys = runs.recorded()
    named: dict[bool, set[str]] = {True: set(), False: set()}
    folders: dict[bool, set[str]] = {True: set(), False: set()}

    def note(key: str, artifacts: Sequence[File]) -> None:
        for place, kept in kept_files(artifacts, key).items():
            # What stays counts wherever it is: one place may have two names.
            if place in own or key not in going:
                named[key in going].update(file.digest for file in kept)
            if place in own:
                folders[key in going].update(file.digest for file in kept if file.is_folder)

    for at in range(0, len(keys), _AT_ONCE):
        for run in runs.load(keys[at : at + _AT_ONCE]):
            note(RunKey(run.commit, run.id).key, run.artifacts)
    # Files that were logged after the end of a run, and those of logged models without a run.
    unread = 0
    for amendment in _amendments(session.store):
        if amendment is None or amendment.is_newer:
            unread += 1
        else:
            note(RunKey(amendment.commit, amendment.run).key, amendment.artifacts)
    unread = max(unread, len(runs.newer)) + len(runs.problems)
    if unread:
        what = counted(unread, "record")
        return FilesToDrop(unknown=f"{what} cannot be read, so the files that they name are unknown: see `ciplug fsck`")
    if notes := session.store.notes:  # such as a segment that cannot be read
        return FilesToDrop(unknown=f"the runs may not be complete: {notes[0]}")
    lists, lost = read_folders(files, folders[True] | folders[False])
    if unlisted := lost.keys() & folders[False]:
        what = counted(len(unlisted), "list")
        return FilesToDrop(unknown=f"{what} of the files of a folder cannot be read: see `ciplug fsck`")
    for is_going, digests in folders.items():
        named[is_going].update(digest for one in digests & lists.keys() for digest in lists[one].values())
    return FilesToDrop(frozenset(named[True] - named[False]), frozenset(named[True] | named[False]))


def _amendments(store: Store) -> Iterator[Amendment | None]:
    """Every amendment of the store, of experiments and logged models, too; None for one that cannot be read."""
    keys = [key.key for key in parse_amendments(store.keys(EVERY_AMENDMENT))]
    for at in range(0, len(keys), _AT_ONCE):
        for key, data in store.read(keys[at : at + _AT_ONCE]).items():
            try:
                yield read.amendment(data, key)
            except RecordError:
                yield None


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
