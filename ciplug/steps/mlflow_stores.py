"""The stores of MLflow that a training may log to: it is given one in the spool, and what it logged there is read back.

In every other store, its runs carry a tag: another process may log there at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug.capture.events import Event, left_out
from ciplug.capture.mlflow import places
from ciplug.capture.mlflow.places import FOLDER
from ciplug.capture.writer import RunWriter
from ciplug.console import Note, problem_note, warning
from ciplug.errors import CiplugError
from ciplug.git.credentials import redact
from ciplug.records.run import Status

if TYPE_CHECKING:
    from ciplug.capture.mlflow.run import MlflowRun

_TEXT_MOST = 200
"""Characters of a store's name, and of what is wrong with it, that a record keeps."""


@dataclass(frozen=True)
class ReadBack:
    """What a training's runs of MLflow add to the run that is recorded."""

    status: Status
    notes: tuple[Note, ...] = ()
    nothing_in: tuple[str, ...] = ()
    """The stores that were looked in, where none of them has a run of the command."""


class Tracking:
    """The stores of MLflow that a training may log to, from before it begins."""

    def __init__(self, entry: RunWriter, env: Mapping[str, str], cwd: Path) -> None:
        self._entry, self._env, self._cwd = entry, env, cwd
        self._given = None if places.names_store(env, cwd) else entry.folder / FOLDER
        self._before = set(places.stores_below(cwd))

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the training is given, besides its own."""
        return places.environment(self._env, self._entry.id, self._given)

    @property
    def has_begun(self) -> bool:
        """Whether MLflow has opened the store that it was given."""
        return self._given is not None and self._given.exists()

    def take(self, command: Sequence[str], status: Status) -> ReadBack:
        """Log the runs that the command has made to the run that is open, or to child runs of it.

        Args:
            status: how the command ended.
        """
        runs: dict[str, MlflowRun] = {}
        notes: list[Note] = []
        unread: list[Event] = []
        for store, read in self._readers(command):
            try:
                runs = {run.id: run for run in read()} | runs
            except CiplugError as problem:
                words = f"{problem.message}: the runs of MLflow that are there are not recorded here"
                notes.append(warning(words, problem.hint))
                unread.append(left_out(store, "file", problem.message[:_TEXT_MOST], problem.hint))
        notes += self._untagged(runs)
        try:
            self._entry.append(*unread)
        except CiplugError as problem:
            notes.append(problem_note(problem))
        if not runs:
            return ReadBack(status, tuple(notes), self._looked_in)
        try:
            from ciplug.steps.mlflow_runs import log_runs, own_runs

            own, more = log_runs(self._entry, own_runs(list(runs.values()), self._entry.id), status)
            return ReadBack(own, (*notes, *more))
        except CiplugError as problem:
            # A full disk, for instance: what was logged before is recorded.
            return ReadBack(status, (*notes, problem_note(problem)))

    @property
    def _looked_in(self) -> tuple[str, ...]:
        uri = self._env.get(places.URI)
        first = redact(uri) if uri else "the store that ciplug gave it" if self._given else None
        return (*([first] if first else []), "its folder")

    def _readers(self, command: Sequence[str]) -> Iterator[tuple[str, Callable[[], list[MlflowRun]]]]:
        """Yield the name and a reader of each store that may hold a run of the command."""

        def of(uri: str, marked: str | None) -> tuple[str, Callable[[], list[MlflowRun]]]:
            return self._shown(uri), lambda: places.open_store(uri, self._cwd, self._env).runs(marked)

        mark = self._entry.id
        if self.has_begun:
            yield of(str(self._given), None)
        named = [*([self._env[places.URI]] if self._env.get(places.URI) else []), *places.uris_in(command, self._cwd)]
        yield from (of(uri, mark) for uri in dict.fromkeys(named) if places.may_exist(uri, self._cwd))
        yield from (of(str(path), mark) for path in places.stores_below(self._cwd))

    def _shown(self, uri: str) -> str:
        """The name of a store in records: an address without credentials, or a path from this folder."""
        path = Path(uri)
        shown = path.relative_to(self._cwd).as_posix() if path.is_relative_to(self._cwd) else redact(uri)
        return f"MLflow's store {shown}"[:_TEXT_MOST]

    def _untagged(self, taken: Collection[str]) -> Iterator[Note]:
        """Yield a note on each new store with runs that nobody has tagged: the command or another process made them."""
        for path in places.stores_below(self._cwd):
            if path in self._before:
                continue
            with suppress(CiplugError):  # Already noted: the store cannot be read.
                from ciplug.steps.mlflow_runs import not_recorded, without_tag

                runs = places.open_store(str(path), self._cwd, self._env).runs(None)
                names = [run.name or run.id[:8] for run in without_tag(runs) if run.id not in taken]
                if names:
                    yield not_recorded(path.relative_to(self._cwd).as_posix(), names)


def nothing_found(taken: ReadBack, env: Mapping[str, str]) -> Note:
    """Say, of a training without metrics, where its runs of MLflow were looked for."""
    words = f"if the training logs with MLflow: no run of it was found in {' or '.join(taken.nothing_in)}"
    if env.get(places.URI, "").partition(":")[0] == "ciplug":
        hint = "have it start a run of its own: one that it goes on with, as by MLFLOW_RUN_ID, keeps what it logs"
    elif env.get(places.URI):
        hint = (
            "have it start its run with mlflow.start_run: MlflowClient().create_run does not mark it as a run of ciplug"
        )
    else:
        hint = f"set {places.URI} for the command to the store that the training logs to"
    return Note(words, hint)
