"""Check everything that the store holds, record by record, and repair what can be repaired without losing data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ciplug.errors import RecordError
from ciplug.git.credentials import redact
from ciplug.records import beside
from ciplug.records.keys import (
    EVERY_AMENDMENT,
    EVERY_RUN,
    EVERY_VERDICT,
    is_described,
    parse_amendment,
    parse_late_inputs,
    parse_late_series,
    run_key,
)
from ciplug.registry import ledger
from ciplug.steps.kept_entries import kept_entries, put_back
from ciplug.steps.kept_files import KeptFile, kept_files, read_folders
from ciplug.steps.registry_checks import check_model
from ciplug.steps.session import Session
from ciplug.steps.set_aside import set_aside, unreadable
from ciplug.steps.trust import need_trusted
from ciplug.stores import Problem, Store
from ciplug.stores.files import OWN, ChecksItself
from ciplug.tracking.runs import Runs

_AT_ONCE = 1000
_OBJECTS = (EVERY_RUN, EVERY_AMENDMENT, EVERY_VERDICT)
_SERIES_AT_ONCE = 50
"""Objects beside records: each may have megabytes."""

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


def check(session: Session, *, repair: bool, restore: bool = False) -> Checked:
    """Read every record of the store.

    Raises ForkJob where a fork's job would repair.

    Args:
        restore: put back the entries that the registry has lost.
    """
    if repair or restore:
        need_trusted(session, hint="repair in the pipeline of a trusted branch")
    store = session.store
    kept = kept_entries(session)
    restored = [kept_entry.words for kept_entry in kept] if restore else []
    if restore:
        put_back(session, kept)
        kept = []
    problems = store.check(repair=repair)
    reported = {problem.where for problem in problems}
    runs = Runs(store)
    count, files = _read_runs(runs)
    problems += [Problem(key, why) for key, why in sorted(runs.problems.items()) if key not in reported]
    problems += [problem for problem in _beside_records(store) if problem.where not in reported]
    problems += _of_amendments(store, runs)
    known = {problem.where for problem in problems}
    verdicts = unreadable(store, store.keys(EVERY_VERDICT))
    problems += [Problem(key, why) for key, why in verdicts.items() if key not in known]
    if repair:
        problems = _set_aside(store, problems)
    own = {OWN, *(redact(uri) for uri in (session.artifact_store, session.store_uri) if uri)}
    problems += _of_files(session, {place: files[place] for place in sorted(own & files.keys())})
    models = ledger.models(session.log)
    notes: list[str] = []
    for model in models:
        checked = check_model(session, model)
        problems += checked.problems
        notes += checked.notes
    unchecked = {place: len(files[place]) for place in sorted(files.keys() - own)}
    return Checked(count, len(models), problems, notes, unchecked, [one.words for one in kept], restored)


def _set_aside(store: Store, problems: Sequence[Problem]) -> list[Problem]:
    """Set the objects aside that are damaged; the others of the problems stay as they are."""
    objects = {problem.where for problem in problems if problem.where.startswith(_OBJECTS)}
    moved = set_aside(store, unreadable(store, objects)) if objects else []
    return [problem._replace(repaired=problem.repaired or problem.where in moved) for problem in problems]


def accept_registry(session: Session) -> list[str]:
    """Take the logs as they are now; returns a sentence on each that went back behind what this clone has seen."""
    if session.witnessed is None:
        return []
    changed = list(session.witnessed.changes().values())
    session.witnessed.accept()
    return changed


def _read_runs(runs: Runs) -> tuple[int, Kept]:
    """Return the number of readable runs, and the artifacts whose content is kept; bad records go to `problems`."""
    count = 0
    kept: dict[str, list[KeptFile]] = {}
    keys = runs.recorded()
    for at in range(0, len(keys), _AT_ONCE):
        for record in runs.load(keys[at : at + _AT_ONCE]):
            count += 1
            for place, files in kept_files(record, run_key(record).key).items():
                kept.setdefault(place, []).extend(files)
    return count, kept


def _beside_records(store: Store) -> Iterator[Problem]:
    """Read what is beside the records: series, examples, schemas and profiles."""
    keys = sorted(key for key in store.keys(EVERY_RUN, EVERY_AMENDMENT) if beside.owner(key))
    for at in range(0, len(keys), _SERIES_AT_ONCE):
        for key, data in store.read(keys[at : at + _SERIES_AT_ONCE]).items():
            try:
                beside.check(key, data, key)
            except RecordError as problem:
                yield Problem(key, problem.message.removeprefix(f"{key}: "))


def _of_amendments(store: Store, runs: Runs) -> Iterator[Problem]:
    """Check amendments whose run does not exist. Other amendments are checked when their run is read."""
    recorded, listed = set(runs.recorded()), set(store.keys(EVERY_AMENDMENT))
    for key in sorted(listed):
        amendment = parse_amendment(key) or parse_late_series(key) or parse_late_inputs(key)
        if amendment is None:
            yield Problem(key, "not the key of an amendment")
        elif amendment.key not in listed:
            yield Problem(key, "its amendment is not in the store")
        elif amendment.run_key not in recorded and not is_described(amendment.run_key):
            yield Problem(key, "its run is not in the store")


def _of_files(session: Session, kept: Kept) -> Iterator[Problem]:
    """Artifacts, and files of their folders, whose bytes are missing: of each run that names them."""
    for place, artifacts in kept.items():
        files = session.files_at(place)
        missing = files.missing({file.digest for file in artifacts})
        if isinstance(files, ChecksItself):
            yield from files.check(lacks=bool(missing))
        lists, unread = read_folders(files, {file.digest for file in artifacts if file.is_folder} - missing)
        missing |= files.missing({digest for members in lists.values() for digest in members.values()})
        where = "the store" if place == OWN else place
        gone = (
            f"its bytes are missing from {where}: whoever has the file records it again, ciplug record --artifact PATH"
        )
        for file in sorted(artifacts, key=str):
            if file.digest in missing:
                yield Problem(str(file), gone)
            elif file.digest in unread:
                yield Problem(str(file), f"the list of its files cannot be read: {unread[file.digest]}")
            for path in sorted(path for path, digest in lists.get(file.digest, {}).items() if digest in missing):
                yield Problem(f"{file}/{path}", gone)
