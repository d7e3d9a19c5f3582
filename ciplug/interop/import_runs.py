"""The loop that imports the runs of another system: each once, by its id, in writes of up to a thousand.

What is in the store already is left as it is, so that an import that was cut off goes on where it was, and a second one
adds nothing. A system is a module that yields candidates; the loop reads those that the store does not have.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from ciplug.capture.masking import Masks
from ciplug.config import DEFAULT_MODEL
from ciplug.errors import CiplugError, FileChanged, InputError, StoreError, UsageError
from ciplug.interop.import_files import ImportedFiles
from ciplug.interop.source_run import SourceRun, record_of
from ciplug.records.run import is_model_name
from ciplug.steps.record import masked_notes, objects_of
from ciplug.steps.session import Session
from ciplug.steps.sign import signed
from ciplug.steps.trust import need_trusted
from ciplug.tracking.query import RUN_ID, Key

RUNS_MOST, BYTES_MOST, FETCHED_MOST = 1_000, 64 * 1024 * 1024, 1024 * 1024 * 1024
"""The limits of one write: runs, bytes of their records, and bytes of artifacts that were fetched for them."""
STATE = Key("tag", "import.state")
"""The tag that says in which state the source was; of a run whose source may go on."""


@dataclass(frozen=True)
class Choice:
    """What is imported, and how."""

    model: str | None = None
    """The model of every run."""
    artifacts: bool = True
    unfinished: bool = False
    """Take runs that go on, as they are now."""


@dataclass(frozen=True)
class Taken:
    """A run that was read: what is to be written of it."""

    objects: Mapping[str, bytes]
    has_commit: bool = True
    is_deleted: bool = False
    is_unfinished: bool = False
    problems: tuple[CiplugError, ...] = ()
    """The parts of it that cannot be read, each with its path. The rest is in the objects."""


@dataclass(frozen=True)
class Candidate:
    """A run of another system that the store may have."""

    id: str
    """Of ciplug: it follows from the source, and is the same whenever and wherever that is read."""
    name: str
    """As the source knows it, for messages: `run 1a2b3c4d`, `runs/a.json`."""
    read: Callable[[], Taken]
    """Called only if the store does not have the run. Raises CiplugError naming the file that cannot be read."""
    other_id: str | None = None
    """The id of a run of ciplug that is the same run."""
    is_unfinished: bool = False
    state: str | None = None
    """Changes whenever the source has more of the run; None: the source does not change, or nobody can tell."""
    place: str | None = None
    """The file or folder that it is in, where the name does not say it."""


class Source(Protocol):
    """A place that holds the runs of another system."""

    def runs(self) -> Iterable[Candidate | CiplugError]:
        """Yield each run, or the error of a file that cannot be read: it stops nothing else.

        Raises UsageError, before the first run, for a part that the source does not have.
        """
        ...


@dataclass(frozen=True)
class Failure:
    """A run, or a file, that was not imported, or not wholly."""

    words: str
    exit_code: int
    hint: str | None = None


@dataclass
class Imported:
    """What an import has done."""

    new: int = 0
    known: int = 0
    """Runs that the store had."""
    unfinished: list[str] = field(default_factory=list)
    """Runs that go on in the other system, and were not taken."""
    failed: list[Failure] = field(default_factory=list)
    """Runs and files that could not be read, with the reason: the next import tries them again."""
    damaged: list[Failure] = field(default_factory=list)
    """Parts that could not be read of runs that were imported."""
    changed: list[str] = field(default_factory=list)
    """Runs that the store had, and that the source has more of by now."""
    without_commit: int = 0
    """Of the new ones."""
    deleted: int = 0
    """Of the new ones."""
    files: int = 0
    """That were sent with them."""

    @property
    def exit_code(self) -> int:
        """0, or that of the gravest failure."""
        return max((one.exit_code for one in (*self.failed, *self.damaged)), default=0)


class Importer:
    """Imports the runs of a source into the store of a session."""

    def __init__(self, session: Session, choice: Choice, tell: Callable[[int], None]) -> None:
        """Prepare an import.

        Args:
            tell: is called with numbers of runs that were dealt with.

        Raises UsageError in a job that must not write the store.
        """
        need_trusted(session, hint="import in the pipeline of a trusted branch, or on your machine")
        self.session, self.choice, self._tell = session, choice, tell
        self.masks = Masks.of(session.env, session.config.redact)
        self._done = Imported()
        self._beside: dict[str, bytes] = {}
        """What is to be written, of no run."""
        self._read: list[tuple[Candidate, Taken]] = []
        """Runs that are to be written."""
        self._bytes = 0
        self._folder = tempfile.TemporaryDirectory(prefix="ciplug-import-")
        self.folder = Path(self._folder.name)
        """Is deleted at the end."""
        self.files = ImportedFiles(session, self.folder)
        self.known: set[str] = set()
        """The ids of the runs that the store has."""
        self._states: dict[str, str] = {}

    def model_of(self, project: str | None) -> str:
        """Return the model of a run: the one asked for, that of ciplug.yaml, or the name of its project."""
        configured = self.choice.model or self.session.config.of(None).model
        return configured or (project if project and is_model_name(project) else DEFAULT_MODEL)

    def take(
        self,
        run: SourceRun,
        files: Mapping[str, Path] | None = None,
        *,
        within: Sequence[Path] = (),
        state: str | None = None,
        problems: Iterable[CiplugError] = (),
        is_unfinished: bool = False,
    ) -> Taken:
        """Return what is to be written of a run.

        Args:
            files: name → file or folder on this disk, its artifacts.
            within: the folders that they may not be outside of; the first is the source.
            state: of the source, as its candidate has it.
            problems: the parts of the run that cannot be read.
        """
        if is_unfinished and not self.choice.unfinished:
            return Taken({}, is_unfinished=True)
        kept, lost = self.files.take(files, within) if files and self.choice.artifacts else ((), ())
        tags = {**run.values.tags, **({STATE.name: state} if state is not None else {})}
        run = replace(run, values=replace(run.values, tags=tags))
        record = self.masks.run(
            record_of(run, self.choice.model or run.model or self.model_of(run.project), kept, lost)
        )
        refused: list[CiplugError] = []
        objects = objects_of(record, run.values.series, refused)
        return Taken(objects, run.commit is not None, is_unfinished=is_unfinished, problems=(*problems, *refused))

    def put(self, objects: Mapping[str, bytes]) -> None:
        """Write objects that are not a run's with the next runs."""
        self._beside.update(objects)

    def run(self, source: Source) -> Imported:
        """Import every run that the store does not have.

        Raises StoreError where the store cannot be reached: what was written until then stays.
        """
        with self._folder:
            self._read_known()
            for one in self._each(source):
                self._take(one)
                self._tell(1)
            self._write()
        self.session.tell(*masked_notes(self.masks))
        return self._done

    def _each(self, source: Source) -> Iterator[Candidate | CiplugError]:
        """What a source has, up to an error that ends its list: the runs until then are written."""
        try:
            yield from source.runs()
        except (UsageError, StoreError):
            self._write()
            raise
        except Exception as problem:
            self._done.failed.append(_failure(problem, "the list of runs ends here"))

    def _read_known(self) -> None:
        catalog = self.session.runs().catalog
        ids, states = catalog.column(RUN_ID), catalog.column(STATE)
        self.known = {str(one) for one in ids.values}
        if states.rows:
            by_row = dict(zip(ids.rows, ids.values, strict=True))
            self._states = {
                str(by_row[row]): str(state)
                for row, state in zip(states.rows, states.values, strict=True)
                if row in by_row
            }

    def _take(self, found: Candidate | CiplugError) -> None:
        done = self._done
        if isinstance(found, CiplugError):
            done.failed.append(_failure(found, ""))
            return
        if found.id in self.known or found.other_id in self.known:
            done.known += 1
            before = self._states.get(found.id)
            if before is not None and found.state is not None and before != found.state:
                done.changed.append(found.name)
            return
        if found.is_unfinished and not self.choice.unfinished:
            done.unfinished.append(found.name)
            return
        try:
            taken = found.read()
        except Exception as problem:  # Whatever a damaged run raises, it is named, and the others are imported.
            self.files.forget()
            done.failed.append(_failure(problem, found.name))
            return
        if taken.is_unfinished and not self.choice.unfinished:
            done.unfinished.append(found.name)
            return
        self.files.keep_for(found.id)
        self.known.add(found.id)
        self._add(found, taken)

    def _add(self, found: Candidate, taken: Taken) -> None:
        self._read.append((found, taken))
        self._bytes += sum(map(len, taken.objects.values()))
        if len(self._read) >= RUNS_MOST or self._bytes > BYTES_MOST or self.files.fetched > FETCHED_MOST:
            self._write()

    def _write(self) -> None:
        """Write what waits: the files first, so that no record names bytes that are not there."""
        done, session = self._done, self.session
        done.files += self._send_files()
        objects = dict(self._beside)
        for _, taken in self._read:
            objects.update(taken.objects)
        if objects:
            trusted = session.context.trusted
            session.store.add(signed(session.env, objects, trusted=trusted, repository=session.repository))
        for found, taken in self._read:
            done.new += 1
            done.damaged += (_failure(one, "") for one in taken.problems)
            done.deleted += taken.is_deleted
            done.without_commit += not taken.has_commit
            if found.state is not None:
                self._states[found.id] = found.state
        self._beside, self._read, self._bytes = {}, [], 0

    def _send_files(self) -> int:
        """Send the files of the runs that wait. A run with one that was changed since it was read waits no longer."""
        while True:
            try:
                return self.files.send()
            except FileChanged as problem:
                lost = self.files.lose(problem.digest)
                self._done.failed += (_failure(problem, found.name) for found, _ in self._read if found.id in lost)
                self._read = [one for one in self._read if one[0].id not in lost]
                self.known -= lost


def _failure(problem: Exception, name: str) -> Failure:
    if isinstance(problem, CiplugError):
        words, hint = problem.message, problem.hint
    else:
        words = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
        words, hint = f"{type(problem).__name__}: {words}", None
    code = InputError.exit_code if isinstance(problem, InputError) else StoreError.exit_code
    return Failure(words if words.startswith(name) else f"{name}: {words}", code, hint)


def each_once(found: Iterable[Candidate | CiplugError]) -> Iterator[Candidate | CiplugError]:
    """Yield the runs of a source, and an error for each whose id another one has had."""
    names: dict[str, str] = {}
    for one in found:
        if isinstance(one, Candidate):
            own = f"{one.name} in {one.place}" if one.place else one.name
            if first := names.get(one.id):
                yield InputError(
                    f"{own}: the same run as {first}", hint="keep one of them, or give it an id of its own"
                )
                continue
            names[one.id] = own
        yield one
