"""Drop the files of runs that are dropped, from the store that they are in, unless a run that stays names them.

Other places may be shared with other stores, whose runs are not known here: nothing is dropped there, unless the team
says that no other store uses its `artifact_store` (`keep: {artifact_store: true}`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from ciplug.errors import ConfigError, RecordError, counted
from ciplug.git.credentials import redact
from ciplug.records import read
from ciplug.records.amendment import Amendment
from ciplug.records.keys import EVERY_AMENDMENT, RunKey, parse_amendments
from ciplug.records.run import File
from ciplug.registry import ledger
from ciplug.steps.kept_files import kept_files, read_folders
from ciplug.steps.registered_model import read_model
from ciplug.steps.session import NO_ARTIFACTS, Session, now
from ciplug.stores import Store, is_git
from ciplug.stores.files import OWN, DroppedFiles, DropsFiles
from ciplug.tracking.runs import Runs

_AT_ONCE = 1000


@dataclass(frozen=True)
class Place:
    """A place that drops files, and all its names in records."""

    files: DropsFiles
    names: frozenset[str]


@dataclass(frozen=True)
class FilesToDrop:
    """The files that no run needs once the old runs are dropped."""

    unneeded: Sequence[tuple[Place, frozenset[str]]] = ()
    """Of each place."""
    needed: frozenset[str] = frozenset()
    """What all runs name, the old ones as well, wherever it is."""
    unknown: str | None = None
    """Why it is not known which files are needed: then none is dropped."""

    @property
    def count(self) -> int:
        """The number of unneeded files."""
        return sum(len(digests) for _, digests in self.unneeded)


def files_to_drop(session: Session, old: Sequence[RunKey]) -> FilesToDrop | None:
    """The files to drop with these runs; None where the store drops none, or there is nothing to do."""
    places = _places(session)
    if not places or not (old or any(place.files.due(now()) for place in places)):
        return None
    named, unknown = _named_files(session, places, {run.key for run in old})
    if unknown:
        return FilesToDrop(unknown=unknown)
    staying = frozenset().union(*(named.staying.values()))
    going = {place: frozenset(named.going.get(place, ())) for place in places}
    needed = staying.union(*going.values())
    return FilesToDrop([(place, going[place] - staying) for place in places], needed)


@dataclass
class _Named:
    """The digests that runs name: of those that go by place, of those that stay wherever the files are."""

    going: dict[Place, set[str]] = field(default_factory=dict)
    staying: dict[Place | None, set[str]] = field(default_factory=dict)


def _named_files(session: Session, places: Sequence[Place], going: Collection[str]) -> tuple[_Named, str | None]:
    """The digests that runs name, with those in their folders; or why they are not known."""
    by_name = {name: place for place in places for name in place.names}
    runs = Runs(session.store)
    named = _Named()
    folders: dict[Place, dict[bool, set[str]]] = {place: {True: set(), False: set()} for place in places}

    def note(key: str, artifacts: Sequence[File]) -> None:
        for name, kept in kept_files(artifacts, key).items():
            place, digests = by_name.get(name), {file.digest for file in kept}
            if key not in going:
                # What stays counts wherever it is: one place may have two names.
                named.staying.setdefault(place, set()).update(digests)
            elif place:
                named.going.setdefault(place, set()).update(digests)
            if place:
                folders[place][key in going].update(file.digest for file in kept if file.is_folder)

    keys = runs.recorded()
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
    for name in ledger.models(session.log):
        model = read_model(session, name)
        named.staying.setdefault(None, set()).update(
            digest for version in model.by_number.values() for digest in version.files.values()
        )
    if unread:
        what = counted(unread, "record")
        return named, f"{what} cannot be read, so the files that they name are unknown: see `ciplug fsck`"
    if notes := session.store.notes:  # such as a segment that cannot be read
        return named, f"the runs may not be complete: {notes[0]}"
    for place, parts in folders.items():
        lists, lost = read_folders(place.files, parts[True] | parts[False])
        if unlisted := lost.keys() & parts[False]:
            return named, f"{counted(len(unlisted), 'list')} of the files of a folder cannot be read: see `ciplug fsck`"
        for is_going, digests in parts.items():
            members = {digest for one in digests & lists.keys() for digest in lists[one].values()}
            if is_going:
                named.going.setdefault(place, set()).update(members)
            else:
                named.staying.setdefault(place, set()).update(members)
    return named, None


def _amendments(store: Store) -> Iterator[Amendment | None]:
    """Every amendment of the store, of experiments and logged models, too; None for one that cannot be read."""
    keys = [key.key for key in parse_amendments(store.keys(EVERY_AMENDMENT))]
    for at in range(0, len(keys), _AT_ONCE):
        for key, data in store.read(keys[at : at + _AT_ONCE]).items():
            try:
                yield read.amendment(data, key)
            except RecordError:
                yield None


def drop_files(files: FilesToDrop) -> DroppedFiles:
    """Set the unneeded files aside, and drop those that were set aside long ago."""
    if files.unknown:
        return DroppedFiles()
    results = [place.files.drop(digests, files.needed, now()) for place, digests in files.unneeded]
    return DroppedFiles(
        sum(one.set_aside for one in results),
        sum(one.dropped for one in results),
        any(one.in_history for one in results),
    )


def _places(session: Session) -> list[Place]:
    """The store of the runs, and the `artifact_store` where the team says that it has no other user."""
    own = OWN if is_git(session.store_uri) else redact(session.store_uri)
    named = {own: {OWN, redact(session.store_uri)}}
    uri = session.artifact_store
    if session.config.keep and session.config.keep.artifact_store and uri and uri != NO_ARTIFACTS:
        named.setdefault(redact(uri), set()).add(redact(uri))
    places = []
    for name, names in named.items():
        # Such as archived builds, which keep no files.
        with suppress(ConfigError):
            if isinstance(files := session.files_at(name), DropsFiles):
                places.append(Place(files, frozenset(names)))
    return places
