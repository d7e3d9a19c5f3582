"""The runs that a training makes with MLflow: it is given a store in the spool, and what it logged there is read back.

In every other store, its runs carry a tag: another process may log there at the same time. One run without a parent is
ciplug's run itself. Several are child runs of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug.capture.events import Event, left_out
from ciplug.capture.mlflow import places
from ciplug.capture.mlflow.events import events_of, left_out_of
from ciplug.capture.mlflow.places import FOLDER
from ciplug.capture.mlflow.run import TAG, with_children
from ciplug.capture.writer import RunWriter
from ciplug.console import Note, problem_note, warning
from ciplug.errors import CiplugError, counted
from ciplug.git.credentials import redact
from ciplug.records.left_out import some_names, summary
from ciplug.records.run import Status
from ciplug.steps.inputs import Inputs
from ciplug.steps.open_run import child_run
from ciplug.steps.record import skeleton_of

if TYPE_CHECKING:
    from ciplug.capture.mlflow.run import MlflowRun

_EVENTS_AT_ONCE = 5_000
_TEXT_MOST = 200
"""Characters of a store's name, and of what is wrong with it, that a record keeps."""
_STATUS: Mapping[str, Status] = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "killed"}


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
            return _logged(self._entry, _own(list(runs.values()), self._entry.id), status, notes)
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
                runs = places.open_store(str(path), self._cwd, self._env).runs(None)
                names = [run.name or run.id[:8] for run in _without_tag(runs) if run.id not in taken]
                if names:
                    yield _not_recorded(path.relative_to(self._cwd).as_posix(), names)


def recover(entry: RunWriter) -> Sequence[Note]:
    """Log what a killed training has left in the store that it was given."""
    folder = entry.folder / FOLDER
    if not folder.exists() or not entry.is_open:
        return ()
    try:
        return _logged(entry, places.open_store(str(folder), folder, {}).runs(None), "killed", []).notes
    except CiplugError as problem:
        return [warning(problem.message, problem.hint)]


def _own(runs: Sequence[MlflowRun], mark: str) -> list[MlflowRun]:
    """The runs without those of another `ciplug run`, which the command has called."""
    marked = {run.id for run in runs if run.tags.get(TAG, mark) != mark}
    others = with_children({run.id: run.parent for run in runs}, marked)
    return [run for run in runs if run.id not in others]


def _without_tag(runs: Sequence[MlflowRun]) -> list[MlflowRun]:
    """The runs that are neither tagged by a `ciplug run` nor below one that is."""
    tagged = with_children({run.id: run.parent for run in runs}, {run.id for run in runs if TAG in run.tags})
    return [run for run in runs if run.id not in tagged]


def _not_recorded(store: str, names: Sequence[str]) -> Note:
    words = f"{store}: {counted(len(names), 'run')} of MLflow without the tag '{TAG}' not recorded: {some_names(names)}"
    return warning(words, "MLflow's start_run() sets the tag of a run that the command makes; create_run(…) does not")


def _logged(entry: RunWriter, runs: Sequence[MlflowRun], status: Status, notes: Sequence[Note]) -> ReadBack:
    below: dict[str, list[MlflowRun]] = {}
    for run in runs:
        below.setdefault(run.parent or "", []).append(run)
    tops = _tops(runs, below)
    if len(tops) != 1 or tops[0].parent_is_deleted:
        notes = [*notes, *_why_children(tops), *_children(entry, tops, below, status)]
        return ReadBack(status, tuple(notes))
    (top,) = tops
    left_out = _append(entry, top)
    if top.name and skeleton_of(entry).name is None and entry.logged().name is None:
        entry.append({"name": top.name})
    own = _STATUS.get(top.status, status) if status == "finished" else status
    if own != status:
        words = f"the run is {top.status} in MLflow, although the command exited with 0: it is recorded as {own}"
        notes = [*notes, warning(words)]
    return ReadBack(own, (*notes, *left_out, *_children(entry, below.get(top.id, []), below, own)))


def _tops(runs: Sequence[MlflowRun], below: Mapping[str, Sequence[MlflowRun]]) -> list[MlflowRun]:
    """The runs that are not a child of another one here. Of a circle, the first is one."""
    ids = {run.id for run in runs}
    tops = [run for run in runs if run.parent not in ids]
    reached: set[str] = set()
    for run in (*tops, *runs):
        if run.id not in reached:
            tops += [] if run in tops else [run]
            waiting = [run]
            while waiting:
                one = waiting.pop()
                reached.add(one.id)
                waiting += [child for child in below.get(one.id, ()) if child.id not in reached]
    return tops


def _children(
    parent: RunWriter, runs: Sequence[MlflowRun], below: Mapping[str, Sequence[MlflowRun]], status: Status
) -> list[Note]:
    """Record runs as child runs. One that is there already was recorded by a ciplug that was killed later."""
    notes: list[Note] = []
    python = next(iter(skeleton_of(parent).provenance.command), None)
    for run in runs:
        if (parent.folder.parent / run.id).exists():
            continue
        started = None if run.started is None else datetime.fromtimestamp(run.started, timezone.utc)
        child = child_run(parent, Inputs(name=run.name), started, run_id=run.id, python=python)
        notes += _append(child.writer, run)
        if run.ended is not None:
            child.writer.append({"ended": run.ended})
        own = _STATUS.get(run.status, status)
        notes += [*_children(child.writer, below.get(run.id, []), below, own), *child.end(own)]
    return notes


def _append(entry: RunWriter, run: MlflowRun) -> list[Note]:
    """Log what a run holds; returns notes on what cannot be kept of it."""
    refused: list[str] = []
    events = events_of(run, refused)
    while some := list(itertools.islice(events, _EVENTS_AT_ONCE)):
        entry.append(*some)
    left = [one for one in left_out_of(run) if one.why != "elsewhere"]
    notes = [summary(left)] if left else []
    if away := [*run.elsewhere]:
        stay = "stays" if len(away) == 1 else "stay"
        notes.append(
            f"{counted(len(away), 'artifact')} {stay} in MLflow's store, recorded by address: {some_names(away)}"
        )
    return [Note(f"MLflow run {run.id[:8]}: {why}") for why in [*notes, *refused]]


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


def _why_children(tops: Sequence[MlflowRun]) -> list[Note]:
    """Why no run of MLflow is the run itself."""
    if not tops:
        return []
    if len(tops) == 1:
        words = f"the MLflow run {tops[0].id[:8]} is a child run, and its parent is deleted"
        return [warning(f"{words}: gates look at the metrics of the run above it")]
    words = f"the {counted(len(tops), 'run')} of MLflow are child runs: gates look at the metrics of the run above them"
    return [Note(words, "for one that counts: with mlflow.start_run(): with mlflow.start_run(nested=True): …")]
