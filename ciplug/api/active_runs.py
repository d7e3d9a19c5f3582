"""The runs that a program logs to: start one, join the one around it, end it."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING

from ciplug import console
from ciplug.capture.events import Event, seconds
from ciplug.capture.program_end import ProgramEnd
from ciplug.errors import UsageError
from ciplug.records.run import Status

if TYPE_CHECKING:
    from ciplug.capture.writer import RunWriter
    from ciplug.steps.inputs import Inputs
    from ciplug.steps.open_run import OpenRun

_stack: list[ActiveRun] = []
"""The active runs of this program, the innermost last. A forked worker inherits those of the process it comes from."""
_end = ProgramEnd()
_ending: list[str] = []
"""Of a program that has begun to end its runs at exit: its process, then each thread whose events were dropped."""


class ActiveRun:
    """A run that is being logged to. As a context manager it ends with the block, failed if the block raised."""

    def __init__(self, run: OpenRun) -> None:
        self._run = run
        self._process = os.getpid()
        self._ended = False

    @property
    def id(self) -> str:
        """32 hex digits. Another process opens the run by it, open or recorded: `ciplug.start_run(run_id=…)`."""
        return self._run.writer.id

    @property
    def parent_id(self) -> str | None:
        """The id of the run that this one is a child of."""
        return self._run.writer.parent

    @property
    def writer(self) -> RunWriter:
        return self._run.writer

    @property
    def is_inherited(self) -> bool:
        """Whether it belongs to the process that this worker was forked from."""
        return os.getpid() != self._process

    def append(self, *logged: Event) -> None:
        """Log events in one write. Raises UsageError when the run has ended, StoreError on a full disk."""
        _end.goes_on()
        self._run.writer.append(*logged)

    def keep(self, name: str, make: Callable[[bytes | None], bytes]) -> None:
        """Keep a file of the run: see `RunWriter.keep`."""
        self._run.writer.keep(name, make)

    def end(self, status: Status = "finished", end_time: datetime | int | None = None) -> None:
        """Record and send the run. A run that `ciplug run` started is recorded by it, when the program ends.

        Args:
            end_time: a datetime, or Unix milliseconds; default: now.
        """
        moment = seconds(end_time)
        if self in _stack:
            _stack.remove(self)
        if self._ended or self.is_inherited:
            return
        self._ended = True
        if moment is not None:
            self.append({"ended": moment})
        console.tell(self._run.end(status))

    def __enter__(self) -> ActiveRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end("finished" if kind is None else "killed" if kind is KeyboardInterrupt else "failed")


def start_run(
    *,
    run_id: str | None = None,
    nested: bool = False,
    start_time: datetime | int | None = None,
    model: str | None = None,
    name: str | None = None,
    seed: int | None = None,
    tags: Mapping[str, str] | None = None,
) -> ActiveRun:
    """Start a run, a child run, or join the run that `ciplug run` has started around this program.

    Under `ciplug run` the first call joins its run. Each later one, in any process of the training, starts a child run:
    a run of its own, which is sent with its parent. Without `ciplug run` each call starts a run that is recorded when
    it ends. Use it as a context manager then: at exit, `raise SystemExit(1)` cannot be told from `raise SystemExit(0)`.

    Args:
        run_id: resume this run, which a process of this machine has open, or which is recorded in the store: what is
            logged then is an amendment. The last process that leaves it ends it.
        nested: start a child run of the active run, which goes on.
        start_time: when the run started, if not now: a datetime, or Unix milliseconds.
        model: which model this is a run of; default: that of the parent or of ciplug.yaml.
        seed: the random seed, kept with the run.

    Raises UsageError when a run is active already, when no run has the id `run_id`, and once the program has ended its
    runs at exit; ConfigError for a wrong ciplug.yaml.
    """
    from ciplug.steps.inputs import Inputs

    if _is_exiting():
        raise UsageError(
            "the program is ending, and cannot start another run", hint="start runs before the program ends"
        )
    if _stack and not _stack[-1].is_inherited and not nested:
        raise UsageError(
            f"run {_stack[-1].id} is active", hint="end it first, ciplug.end_run(), or start a child: nested=True"
        )
    started = seconds(start_time)
    inputs = Inputs(
        model=model,
        model_is_asked=model is not None,
        name=name,
        seed=None if seed is None else int(seed),
        tags=_texts(tags or {}),
    )
    if run_id is not None:
        return _resume(run_id, inputs, started)
    return _start(inputs, started, nested=nested)


def _start(inputs: Inputs, started: float | None, *, nested: bool) -> ActiveRun:
    from ciplug.steps.joining import no_parent, run_of_parent
    from ciplug.steps.open_run import child_run, joined, own_run, run_around

    moment = None if started is None else datetime.fromtimestamp(started).astimezone()
    if nested and _stack:
        return _activate(child_run(_stack[-1].writer, inputs, moment))
    parent = run_of_parent(os.environ, of_any=True) if nested else None
    if parent is not None:
        run = child_run(parent, inputs, moment)
        parent.release()
        return _activate(run)
    around = run_around(os.environ)
    if around is None:
        if nested and (problem := no_parent()):
            raise problem
        return _activate(own_run(inputs, moment, console))
    if around.claim():
        return _into(joined(around), inputs, started)
    run = child_run(around, inputs, moment)
    around.release()
    return _activate(run)


def _resume(run_id: str, inputs: Inputs, started: float | None) -> ActiveRun:
    from ciplug.steps.open_run import joined, resumed_run, run_around

    around = run_around(os.environ)
    if around is not None and around.id == run_id:
        around.claim()
        return _into(joined(around), inputs, started)
    moment = None if started is None else datetime.fromtimestamp(started).astimezone()
    return _into(resumed_run(run_id, inputs, moment, os.environ, console), inputs, started)


def _into(run: OpenRun, inputs: Inputs, started: float | None) -> ActiveRun:
    """Make a run active that another process has begun, and log to it what is given here."""
    from ciplug.steps.joining import join

    try:
        joining = join(run.writer, inputs, started)
    except UsageError:
        run.writer.release()
        raise
    console.tell(joining.notes)
    run.writer.append(*joining.events)
    return _activate(run)


def _activate(run: OpenRun) -> ActiveRun:
    if not any(not active.is_inherited for active in _stack):
        atexit.unregister(_end_at_exit)
        atexit.register(_end_at_exit)
        _end.watch()
    console.tell(run.notes)
    _stack.append(ActiveRun(run))
    return _stack[-1]


def _end_at_exit() -> None:
    status = _end.status()
    if status == "unknown" and os.environ.get("CIPLUG_RUN_ID"):
        # The exit code of the command decides, and a child run is never better than its parent.
        status = "finished"
    if status == "unknown" and _stack:
        _tell_unknown(_stack[0].id)
    # A daemon thread may go on logging: a run that it started here would be ended here, and so on without end.
    _ending[:] = [str(os.getpid())]
    while _stack:
        _stack[-1].end(status)
    if threads := _ending[1:]:
        _tell_dropped(threads)


def _is_exiting() -> bool:
    return bool(_ending) and _ending[0] == str(os.getpid())


def _tell_unknown(run: str) -> None:
    console.complain(
        f"warning: the program ended by SystemExit, whose code is not known: run {run[:12]} has the status unknown",
        "start the run using `with`, end the program by sys.exit(…), or run it by `ciplug run`",
    )


def _tell_dropped(threads: Sequence[str]) -> None:
    console.complain(
        f"warning: {', '.join(threads)} logged after the program had ended its run: these calls are not recorded",
        "stop what logs, and end the run, before the program ends",
    )


def active_run() -> ActiveRun | None:
    """The run that log calls go to, None when there is none yet."""
    return _stack[-1] if _stack else None


def end_run(status: Status = "finished", end_time: datetime | int | None = None) -> None:
    """End the active run, if there is one; its parent is active again then.

    Args:
        end_time: a datetime, or Unix milliseconds; default: now.
    """
    if _stack:
        _stack[-1].end(status, end_time)


def _run() -> ActiveRun:
    """The active run. Without one: that of the process which this is a worker of, that of `ciplug run`, or our own."""
    # First, as a training asks for each number that it logs: even an import that is done takes as long as a write.
    if _stack:
        return _stack[-1]
    from ciplug.steps.joining import run_of_parent
    from ciplug.steps.open_run import joined, run_around

    if (parent := run_of_parent(os.environ, of_any=False)) is not None:
        return _activate(joined(parent))
    around = run_around(os.environ)
    if around is None:
        return start_run()
    around.claim()
    return _activate(joined(around))


def log(*logged: Event) -> None:
    """Log to the active run. What comes once the program has ended its runs at exit is left out, and no error."""
    with_run(lambda run: run.append(*logged))


def with_run(action: Callable[[ActiveRun], None]) -> None:
    """Do something with the active run, as `log` does."""
    try:
        action(_stack[-1] if _is_exiting() else _run())
    except (IndexError, UsageError):
        if not _is_exiting():
            raise
        thread = threading.current_thread()
        # The thread that ends the runs speaks for the others: a daemon thread may be stopped while it holds stderr.
        if thread is threading.main_thread():
            _tell_dropped(["a function called at exit"])
        elif thread.name not in _ending:
            _ending.append(thread.name)


def _texts(tags: Mapping[str, object]) -> dict[str, str]:
    return {key: str(value) for key, value in tags.items()}
