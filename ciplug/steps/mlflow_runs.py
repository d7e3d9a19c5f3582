"""The runs that a training has made with MLflow. One run without a parent is ciplug's run itself. Several are child
runs of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ciplug.capture.mlflow import places
from ciplug.capture.mlflow.events import events_of, left_out_of
from ciplug.capture.mlflow.marks import TAG
from ciplug.capture.mlflow.places import FOLDER
from ciplug.capture.mlflow.run import with_children
from ciplug.capture.writer import RunWriter
from ciplug.console import Note, warning
from ciplug.errors import CiplugError, counted
from ciplug.records.left_out import some_names, summary
from ciplug.records.run import Status
from ciplug.steps.inputs import Inputs
from ciplug.steps.open_run import child_run
from ciplug.steps.record import skeleton_of

if TYPE_CHECKING:
    from ciplug.capture.mlflow.run import MlflowRun

_EVENTS_AT_ONCE = 5_000
_STATUS: Mapping[str, Status] = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "killed"}


def recover(entry: RunWriter) -> Sequence[Note]:
    """Log what a killed training has left in the store that it was given."""
    folder = entry.folder / FOLDER
    if not folder.exists() or not entry.is_open:
        return ()
    try:
        return log_runs(entry, places.open_store(str(folder), folder, {}).runs(None), "killed")[1]
    except CiplugError as problem:
        return [warning(problem.message, problem.hint)]


def own_runs(runs: Sequence[MlflowRun], mark: str) -> list[MlflowRun]:
    """The runs without those of another `ciplug run`, which the command has called."""
    marked = {run.id for run in runs if run.tags.get(TAG, mark) != mark}
    others = with_children({run.id: run.parent for run in runs}, marked)
    return [run for run in runs if run.id not in others]


def without_tag(runs: Sequence[MlflowRun]) -> list[MlflowRun]:
    """The runs that are neither tagged by a `ciplug run` nor below one that is."""
    tagged = with_children({run.id: run.parent for run in runs}, {run.id for run in runs if TAG in run.tags})
    return [run for run in runs if run.id not in tagged]


def not_recorded(store: str, names: Sequence[str]) -> Note:
    """The note on runs that nobody has tagged."""
    words = f"{store}: {counted(len(names), 'run')} of MLflow without the tag '{TAG}' not recorded: {some_names(names)}"
    return warning(words, "MLflow's start_run() sets the tag of a run that the command makes; create_run(…) does not")


def log_runs(entry: RunWriter, runs: Sequence[MlflowRun], status: Status) -> tuple[Status, list[Note]]:
    """Log runs to the run that is open, or to child runs of it; returns the status of the run.

    Args:
        status: how the command ended.
    """
    below: dict[str, list[MlflowRun]] = {}
    for run in runs:
        below.setdefault(run.parent or "", []).append(run)
    tops = _tops(runs, below)
    if len(tops) != 1 or tops[0].parent_is_deleted:
        return status, [*_why_children(tops), *_children(entry, tops, below, status)]
    (top,) = tops
    left_out = _append(entry, top)
    if top.name and skeleton_of(entry).name is None and entry.logged().name is None:
        entry.append({"name": top.name})
    notes: list[Note] = []
    own = _STATUS.get(top.status, status) if status == "finished" else status
    if own != status:
        words = f"the run is {top.status} in MLflow, although the command exited with 0: it is recorded as {own}"
        notes.append(warning(words))
    return own, [*notes, *left_out, *_children(entry, below.get(top.id, []), below, own)]


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


def _why_children(tops: Sequence[MlflowRun]) -> list[Note]:
    """Why no run of MLflow is the run itself."""
    if not tops:
        return []
    if len(tops) == 1:
        words = f"the MLflow run {tops[0].id[:8]} is a child run, and its parent is deleted"
        return [warning(f"{words}: gates look at the metrics of the run above it")]
    words = f"the {counted(len(tops), 'run')} of MLflow are child runs: gates look at the metrics of the run above them"
    return [Note(words, "for one that counts: with mlflow.start_run(): with mlflow.start_run(nested=True): …")]
