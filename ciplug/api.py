"""Logging from Python. Every call appends a line to a file on local disk; nothing here waits for a network."""

from __future__ import annotations

import atexit
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from ciplug.capture import log
from ciplug.errors import UsageError
from ciplug.records.run import METRIC_NAME, Scalar, Status

_active: ActiveRun | None = None


class ActiveRun:
    """A run that is being logged. As a context manager it ends with the block, failed if the block raised."""

    def __init__(self, run_id: str, folder: Path, finish: Any = None) -> None:
        self.id = run_id
        self._folder = folder
        self._finish = finish
        self._process = os.getpid()

    def append(self, event: dict[str, Any]) -> None:
        log.append(self._folder, event)

    def end(self, status: Status = "finished") -> None:
        """Record and send the run. A run that `ciplug run` started is recorded by it, when the program ends."""
        global _active
        if _active is self:
            _active = None
        finish, self._finish = self._finish, None
        # A forked worker inherits the run, and must not end it.
        if finish is not None and os.getpid() == self._process:
            finish(status)

    def __enter__(self) -> ActiveRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end("finished" if kind is None else "killed" if kind is KeyboardInterrupt else "failed")


def start_run(
    *,
    model: str | None = None,
    name: str | None = None,
    seed: int | None = None,
    tags: Mapping[str, str] | None = None,
) -> ActiveRun:
    """Start a run, or join the one that `ciplug run` has started around this program.

    A program that starts a run of its own should use it as a context manager: at exit, `sys.exit(1)` cannot be
    told from a good end.

    Args:
        model: which model this is a run of; default: that of ciplug.yaml.
        seed: the random seed, kept with the run.

    Raises UsageError when a run is active already, ConfigError for a wrong ciplug.yaml.
    """
    global _active
    if _active is not None:
        raise UsageError(f"run {_active.id} is active", hint="end it first: ciplug.end_run()")
    run_id, folder = os.environ.get("CIPLUG_RUN_ID"), os.environ.get("CIPLUG_RUN_DIR")
    if run_id and folder and Path(folder).is_dir():
        if model is not None:
            from ciplug.steps.record import check_model_name

            check_model_name(model)
        _active = ActiveRun(run_id, Path(folder))
        if model is not None:
            _active.append({"model": model})
        if name is not None:
            _active.append({"name": name})
        if seed is not None:
            _active.append({"seed": int(seed)})
        for key, value in (tags or {}).items():
            _active.append({"tag": key, "value": str(value)})
        return _active
    _active = _own_run(model, name, seed, tags or {})
    atexit.register(_end_at_exit)
    return _active


def _own_run(model: str | None, name: str | None, seed: int | None, tags: Mapping[str, str]) -> ActiveRun:
    from ciplug import console
    from ciplug.errors import CiplugError, ConfigError, GitError, StoreError
    from ciplug.steps.record import Inputs, begin, finish, send
    from ciplug.steps.session import open_session

    inputs = Inputs(model=model, name=name, seed=seed, tags=dict(tags))
    try:
        session = open_session()
        entry = begin(session, inputs, command=(sys.executable, *sys.argv))
    except (ConfigError, GitError, StoreError) as problem:
        # A training does not end for where it runs.
        folder = Path(tempfile.mkdtemp(prefix="ciplug-"))
        console.complain(problem.message, problem.hint)
        console.complain(f"this run is not recorded; what it logs is in {folder / log.FILE}")
        return ActiveRun(folder.name, folder)

    def end(status: Status) -> None:
        try:
            recorded = finish(session, entry, inputs, status=status)
        except StoreError as unkept:
            console.complain(unkept.message, unkept.hint)
            return
        for problem in recorded.problems:
            console.complain(problem.message, problem.hint)
        if not session.context.trusted:
            console.say(f"a fork's job must not write the store: run {entry.id} is kept in {entry.folder}")
            return
        try:
            send(session, recorded.sealed)
        except CiplugError as problem:
            # The training went well; that its record waits on disk is no reason to fail it.
            console.complain(problem.message, problem.hint)
        else:
            console.say(f"run {entry.id} ({recorded.run.model}, {status}) recorded in {session.store.uri}")

    return ActiveRun(entry.id, entry.folder, end)


def _end_at_exit() -> None:
    if _active is not None:
        _active.end("failed" if hasattr(sys, "last_value") else "finished")


def active_run() -> ActiveRun | None:
    """The run that log calls go to, None when there is none yet."""
    return _active


def end_run(status: Status = "finished") -> None:
    """End the active run, if there is one."""
    if _active is not None:
        _active.end(status)


def _run() -> ActiveRun:
    return _active or start_run()


def log_metric(key: str, value: float, step: int | None = None) -> None:
    """Log a metric. The last value stands for the run; with steps, the whole series is kept.

    Args:
        value: a number; NaN and infinities are kept, and fail gates.
        step: epoch, iteration, …; at any spacing.

    Raises UsageError when the value is no number, or the step no whole number of 64 bits.
    """
    at = None if step is None else log.whole_step(key, step)
    if not isinstance(key, str) or not METRIC_NAME.fullmatch(key):
        raise UsageError(
            f"{key!r} is not a name for a metric",
            hint="up to 120 letters, digits spaces and . _ @ / % + - : , = # ( ) [ ]",
        )
    _run().append({"metric": key, "value": log.number(key, value), "step": at})


def log_metrics(metrics: Mapping[str, float], step: int | None = None) -> None:
    """Log several metrics of one step."""
    for key, value in metrics.items():
        log_metric(key, value, step)


def log_param(key: str, value: object) -> None:
    """Log a parameter: text, a number or a boolean; anything else by its str()."""
    scalar: Scalar = value if isinstance(value, (str, int, float, bool)) else str(value)
    _run().append({"param": _name(key), "value": scalar})


def log_params(params: Mapping[str, object]) -> None:
    """Log several parameters."""
    for key, value in params.items():
        log_param(key, value)


def log_artifact(path: str | os.PathLike[str]) -> None:
    """Keep a file or folder that the training wrote, as it is at the end of the run; or an address, like `s3://…`."""
    named = os.fspath(path)
    # A link stays the link that it is.
    _run().append({"artifact": named if "://" in named else os.path.abspath(named)})  # noqa: PTH100


def log_dataset(path: str | os.PathLike[str]) -> None:
    """Keep a file or folder that the training read, by its digest at the end of the run."""
    _run().append({"dataset": os.path.abspath(path)})  # noqa: PTH100


def set_tag(key: str, value: object) -> None:
    """Set a tag of the run; the last value counts."""
    _run().append({"tag": _name(key), "value": str(value)})


def _name(key: str) -> str:
    if not isinstance(key, str) or not key.strip():
        raise UsageError(f"{key!r} is no name: text is expected")
    return key
