"""What a program joins: the run of the process that started it, and what it may change of a run that it joins."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ciplug.capture.events import Event
from ciplug.capture.spool import Spool
from ciplug.capture.writer import RunWriter
from ciplug.config import DEFAULT_MODEL
from ciplug.console import Note
from ciplug.errors import UsageError
from ciplug.steps.inputs import Inputs
from ciplug.steps.record import check_model_name
from ciplug.steps.session import open_session


class Joining(NamedTuple):
    """What a program logs to a run because it joins it."""

    events: list[Event]
    notes: list[Note]


def join(writer: RunWriter, inputs: Inputs, started: float | None) -> Joining:
    """Return what a program states about a run that another one has begun.

    The name that was given first stays, and so does the model, unless it only came from ciplug.yaml.

    Raises UsageError for another model than the run was started for.
    """
    facts: list[Event] = [{"tag": key, "value": value} for key, value in inputs.tags.items()]
    notes: list[Note] = []
    begun, logged = dict(writer.facts.get("run") or {}), writer.logged()
    if inputs.model is not None:
        of = logged.model or begun.get("model") or inputs.model
        is_firm = logged.model is not None or dict(writer.facts.get("asked") or {}).get("model")
        if inputs.model != of and is_firm:
            raise UsageError(
                f"run {writer.id} is of the model '{of}', and cannot become one of '{inputs.model}'",
                hint="leave 'model' out, or start a run of its own: ciplug.start_run(nested=True, model=…)",
            )
        if inputs.model != of and of != DEFAULT_MODEL:
            notes.append(Note(f"the run is of the model '{inputs.model}', as the training says, not of '{of}'"))
        facts.append({"model": check_model_name(inputs.model)})
    if inputs.name is not None:
        name = logged.name or begun.get("name")
        if name in (None, inputs.name):
            facts.append({"name": inputs.name})
        else:
            notes.append(Note(f"run {writer.id} keeps its name '{name}'; '{inputs.name}' is ignored"))
    if inputs.seed is not None:
        facts.append({"seed": inputs.seed})
    if started is not None:
        facts.append({"started": started})
    return Joining(facts, notes)


def run_of_parent(env: Mapping[str, str], *, of_any: bool) -> RunWriter | None:
    """The innermost open run of the process that started this one as a worker, which shares its files but no memory.

    Args:
        of_any: look at the parent of a program that is not a worker of multiprocessing, joblib or the like, too.
    """
    parents = {worker} if (worker := _worker_of()) is not None else set()
    if of_any:
        parents.add(os.getppid())
    if not parents:
        return None
    around = env.get("CIPLUG_RUN_DIR")
    spool = Spool(Path(around).parent) if around else open_session(env=env, for_recording=True).spool
    return spool.open_of(parents)


def no_parent() -> UsageError | None:
    """The reason why a worker process cannot start a child run of its own; None in any other program."""
    worker = _worker_of()
    if worker is None:
        return None
    return UsageError(
        f"nested=True: process {worker}, which started this worker, has no open run",
        hint="start the parent run first; or pass its id to the worker, and start the child within it: "
        "with ciplug.start_run(run_id=ID): with ciplug.start_run(nested=True): …",
    )


def _worker_of() -> int | None:
    """The process that this one is a worker of: multiprocessing's, and joblib's, which is made like one."""
    # A worker has imported it, and any other program need not.
    module = sys.modules.get("multiprocessing.process")
    parent = module.parent_process() if module else None
    return parent.pid if parent is not None else None
