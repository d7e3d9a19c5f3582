"""Check everything that the store holds, record by record, and repair what can be repaired without losing data."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ciplug.git.credentials import redact
from ciplug.records.keys import EVERY_AMENDMENT, EVERY_RUN, EVERY_VERDICT
from ciplug.registry import ledger
from ciplug.steps.fetch import Progress, silent
from ciplug.steps.kept_entries import kept_entries, put_back
from ciplug.steps.kept_files import KeptFile, read_folders
from ciplug.steps.object_checks import ObjectChecks
from ciplug.steps.registry_checks import check_model
from ciplug.steps.session import Session
from ciplug.steps.trust import need_trusted
from ciplug.steps.unreadable_objects import set_aside, unreadable
from ciplug.stores import Problem, Store
from ciplug.stores.base import NotesHeads
from ciplug.stores.files import OWN, ChecksItself, Files

_OBJECTS = (EVERY_RUN, EVERY_AMENDMENT, EVERY_VERDICT)

_REPAIR = "; record the file again from a machine that has it (in a bucket or folder, delete the object first)"

Kept = Mapping[str, Sequence[KeptFile]]
"""Place → the artifacts that are kept there."""


@dataclass(frozen=True)
class Checked:
    """The numbers of checked runs and models, and the problems."""

    runs: int
    models: int
    problems: Sequence[Problem]
    notes: Sequence[str]
    """Entries of the registry's logs that this version of ciplug skips."""
    unchecked: Mapping[str, int]
    """Places that this checkout does not use → how many artifacts are kept there."""
    kept: Sequence[str] = ()
    """A sentence on each entry that the registry has lost, and that `restore` would put back."""
    restored: Sequence[str] = ()
    """The same, of the entries that were put back."""

    @property
    def open_problems(self) -> list[Problem]:
        return [problem for problem in self.problems if not problem.repaired]


def check(session: Session, *, repair: bool, restore: bool = False, progress: Progress | None = silent) -> Checked:
    """Read every record of the store, and every file of its runs.

    Raises ForkJob where a fork's job would repair.

    Args:
        restore: put back the entries that the registry has lost.
        progress: sees the files that are read; None: no file is read, only looked up.
    """
    if repair or restore:
        need_trusted(session, hint="repair in the pipeline of a trusted branch")
    store = session.store
    kept = kept_entries(session)
    restored = [kept_entry.words for kept_entry in kept] if restore else []
    if restore:
        put_back(session, kept)
        kept = []
    objects = ObjectChecks()
    problems = store.check(repair=repair, visit=objects.take)
    if any(problem.repaired for problem in problems):
        # What was brought back has not been read.
        objects = ObjectChecks()
        store.refresh()
        store.check(visit=objects.take)
    problems += objects.problems({problem.where for problem in problems})
    if repair:
        problems = _set_aside(store, problems)
    files = objects.kept
    own = {OWN, *(redact(uri) for uri in (session.artifact_store, session.store_uri) if uri)}
    problems += _of_files(session, {place: files[place] for place in sorted(own & files.keys())}, progress)
    models = ledger.models(session.log)
    notes: list[str] = []
    for model in models:
        checked = check_model(session, model)
        problems += checked.problems
        notes += checked.notes
    unchecked = {place: len(files[place]) for place in sorted(files.keys() - own)}
    return Checked(objects.runs, len(models), problems, notes, unchecked, [one.words for one in kept], restored)


def _set_aside(store: Store, problems: Sequence[Problem]) -> list[Problem]:
    """Set the objects aside that are damaged; the others of the problems stay as they are."""
    objects = {problem.where for problem in problems if problem.where.startswith(_OBJECTS)}
    moved = set_aside(store, unreadable(store, objects)) if objects else []
    return [problem._replace(repaired=problem.repaired or problem.where in moved) for problem in problems]


def accept_registry(session: Session) -> list[str]:
    """Take the logs as they are now; returns a sentence on each that went back behind what was seen or noted of it."""
    if session.witnessed is None:
        return []
    changed = dict(session.witnessed.changes())
    session.witnessed.accept()
    if isinstance(session.store, NotesHeads) and (logs := session.store.lost_logs()):
        session.store.note_heads(*logs)
        changed = {log: f"{log} is not as its last writer has noted it" for log in logs} | changed
    return list(changed.values())


def _of_files(session: Session, kept: Kept, progress: Progress | None) -> Iterator[Problem]:
    """Artifacts, and files of their folders, whose bytes are missing or others: of each run that names them."""
    for place, artifacts in kept.items():
        files = session.files_at(place)
        missing = files.missing({file.digest for file in artifacts})
        if isinstance(files, ChecksItself):
            yield from files.check(lacks=bool(missing))
        lists, unread = read_folders(files, {file.digest for file in artifacts if file.is_folder} - missing)
        members = {digest for members in lists.values() for digest in members.values()}
        missing |= files.missing(members)
        single = {file.digest for file in artifacts if not file.is_folder} | members
        damaged = _damaged(files, single - missing, progress) if progress else {}
        where = "the store" if place == OWN else place
        gone = (
            f"its bytes are missing from {where}; where the file exists, record it again: ciplug record --artifact PATH"
        )
        for file in sorted(artifacts, key=str):
            if file.digest in missing:
                yield Problem(str(file), gone)
            elif file.digest in unread:
                yield Problem(str(file), f"the list of its files cannot be read: {unread[file.digest]}")
            elif file.digest in damaged:
                yield Problem(str(file), f"{where} has other bytes: {damaged[file.digest]}{_REPAIR}")
            for path, digest in sorted(lists.get(file.digest, {}).items()):
                if digest in missing:
                    yield Problem(f"{file}/{path}", gone)
                elif digest in damaged:
                    yield Problem(f"{file}/{path}", f"{where} has other bytes: {damaged[digest]}{_REPAIR}")


def _damaged(files: Files, digests: Collection[str], progress: Progress) -> dict[str, str]:
    if not digests:
        return {}
    with progress(len(digests), None) as tell:
        return files.damaged(digests, tell)
