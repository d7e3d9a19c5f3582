"""Logging from Python. Every call appends a line to a file on local disk; nothing here waits for a network."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING

from ciplug import console
from ciplug.capture import events
from ciplug.capture.events import Event, seconds
from ciplug.capture.program_end import ProgramEnd
from ciplug.errors import CiplugError, UsageError
from ciplug.records.left_out import LeftOut, summary
from ciplug.records.run import METRIC_NAME_HINT, Status

if TYPE_CHECKING:
    from ciplug.capture.writer import RunWriter
    from ciplug.steps.inputs import Inputs
    from ciplug.steps.open_run import OpenRun

_odd_names: set[object] = set()
"""Names of metrics that a warning was given for."""
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
    from ciplug.steps.joining import run_of_parent
    from ciplug.steps.open_run import joined, run_around

    if _stack:
        return _stack[-1]
    if (parent := run_of_parent(os.environ, of_any=False)) is not None:
        return _activate(joined(parent))
    around = run_around(os.environ)
    if around is None:
        return start_run()
    around.claim()
    return _activate(joined(around))


def _log(*logged: Event) -> None:
    """Log to the active run. What comes once the program has ended its runs at exit is left out, and no error."""
    _with_run(lambda run: run.append(*logged))


def _with_run(action: Callable[[ActiveRun], None]) -> None:
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


def log_metric(key: str, value: float, step: int | None = None, timestamp: datetime | int | None = None) -> None:
    """Log a value of a metric. With steps, the whole series is kept.

    The run's value is that of the highest step, and of one step the latest. A value without a step is of step 0.

    Args:
        value: a number, also of numpy or torch, or a boolean; NaN and infinities are kept, and fail gates.
        step: epoch, iteration, …; at any spacing.
        timestamp: when it was measured, if not now: a datetime, or Unix milliseconds.

    A name that no metric can have is left out with a warning, and the training goes on. So is a value at a step that is
    not a whole number of 64 bits. A value that is not a number is NaN, with a warning and a note in the record.
    """
    log_metrics({key: value}, step, timestamp)


def log_metrics(metrics: Mapping[str, float], step: int | None = None, timestamp: datetime | int | None = None) -> None:
    """Log several metrics of one step, all or none: see `log_metric`. One with an impossible name is left out."""
    time = seconds(timestamp)
    taken = {key: value for key, value in metrics.items() if _is_taken(key)}
    batch = [event for key, value in taken.items() for event in events.measured(key, value, step, time)]
    _log(*batch)
    for event in batch:
        if "left_out" in event:
            _tell_left_out(LeftOut(name=event["left_out"], why=event["why"], found=event["found"]))


def _tell_left_out(one: LeftOut) -> None:
    if (one.name, one.why) not in _odd_names:
        _odd_names.add((one.name, one.why))
        after = "no gate looks at this file" if one.why == "artifact" else "a gate on a metric of this name is an error"
        console.complain(f"warning: {summary([one])}", f"the run goes on; {after}")


def _is_taken(name: str) -> bool:
    """Whether a metric can have this name. If not, or if it looks like a mistake, say so once: a training goes on."""
    taken = events.is_metric_name(name)
    if (not taken or name != name.strip()) and name not in _odd_names:
        _odd_names.add(name)
        problem = (
            "begins or ends with a space, and is kept unchanged"
            if taken
            else "cannot be used for a metric: not recorded"
        )
        console.complain(f"warning: the name {name!r} {problem}", METRIC_NAME_HINT)
    return taken


def log_param(key: str, value: object) -> None:
    """Log a parameter: text, a number or a boolean; anything else by its str(). The last value counts."""
    log_params({key: value})


def log_params(params: Mapping[str, object]) -> None:
    """Log several parameters, all or none."""
    batch = [events.param(key, value) for key, value in params.items()]
    _log(*batch)


def log_artifact(path: str | os.PathLike[str]) -> None:
    """Keep a file or folder that the training wrote, as it is at the end of the run; or an address, like `s3://…`."""
    named = os.fspath(path)
    # A link stays the link that it is.
    _log({"artifact": named if "://" in named else os.path.abspath(named)})  # noqa: PTH100


def log_figure(
    figure: object, artifact_file: str | os.PathLike[str], *, save_kwargs: Mapping[str, object] | None = None
) -> None:
    """Keep a figure of matplotlib, seaborn or plotly as an artifact; images are shown in the HTML report.

    Args:
        artifact_file: a path such as `plots/roc.png`; its extension determines the format.
        save_kwargs: for the method of the figure that writes it.

    A figure that cannot be drawn is left out, with a warning and a note in the record, and the training goes on.
    """
    from ciplug.capture.renderings import of_figure

    _keep(artifact_file, lambda name, before: of_figure(figure, name, save_kwargs or {}))


def log_image(
    image: object,
    artifact_file: str | os.PathLike[str] | None = None,
    key: str | None = None,
    step: int | None = None,
) -> None:
    """Keep an image as an artifact: an array of numpy or torch, an image of PIL or MLflow, or a path.

    Args:
        artifact_file: a path such as `plots/roc.png`; its extension determines the format.
        key: in its place the name of a series of images, of which each has a step.

    One that cannot be read is left out, with a warning and a note in the record, and the training goes on.
    """
    from ciplug.capture.renderings import of_image

    name = artifact_file if artifact_file is not None else f"images/{key or 'image'}-{step or 0}.png"
    _keep(name, lambda name, before: of_image(image, name))


def log_dict(dictionary: object, artifact_file: str | os.PathLike[str]) -> None:
    """Keep a mapping or a list as an artifact: as YAML if `artifact_file` ends in .yaml or .yml, else as JSON."""
    from ciplug.capture.renderings import of_mapping

    _keep(artifact_file, lambda name, before: of_mapping(dictionary, name))


def log_text(text: str, artifact_file: str | os.PathLike[str]) -> None:
    """Keep a text as an artifact, in UTF-8."""
    _keep(artifact_file, lambda name, before: str(text).encode(errors="backslashreplace"))


def log_table(data: object, artifact_file: str | os.PathLike[str]) -> None:
    """Keep a table as an artifact, `NAME.json`: a DataFrame, or a mapping of columns. Later calls append their rows."""
    from ciplug.capture.renderings import of_table

    _keep(artifact_file, lambda name, before: of_table(data, name, before))


def _keep(artifact_file: str | os.PathLike[str], make: Callable[[str, bytes | None], bytes]) -> None:
    """Keep a file of the active run. One that cannot be made is left out: the training goes on."""

    def keep(run: ActiveRun) -> None:
        try:
            name = _named(artifact_file)
            run.keep(name, lambda before: _made(make, name, before))
        except _NotMade as problem:
            noted = events.left_out(str(artifact_file)[:250], "artifact", str(problem)[:200])
            run.append(noted)
            _tell_left_out(LeftOut(name=noted["left_out"], why="artifact", found=noted["found"]))

    _with_run(keep)


class _NotMade(Exception):
    """Says why a file for people could not be made."""


def _named(artifact_file: str | os.PathLike[str]) -> str:
    from ciplug.capture.renderings import artifact_name

    try:
        return artifact_name(artifact_file)
    except UsageError as problem:
        raise _NotMade(problem.message) from None
    except TypeError as problem:
        raise _NotMade(str(problem)) from None


def _made(make: Callable[[str, bytes | None], bytes], name: str, before: bytes | None) -> bytes:
    try:
        return make(name, before)
    except CiplugError as problem:
        raise _NotMade(problem.message) from None
    except Exception as problem:  # Of the library that draws.
        raise _NotMade(f"{type(problem).__name__}: {problem}") from problem


def log_dataset(path: str | os.PathLike[str]) -> None:
    """Keep a file or folder that the training read, by its digest at the end of the run."""
    _log({"dataset": os.path.abspath(path)})  # noqa: PTH100


def log_input(dataset: object, context: str | None = None, tags: Mapping[str, object] | None = None) -> None:
    """Name a dataset that the training reads, as MLflow does. Nothing of it is checked, and no gate looks at it.

    Args:
        dataset: a dataset of MLflow, or a mapping of its name, digest, source_type and source, and perhaps its schema
            and profile, of up to 1 MiB each.
        context: training, validation, …

    Raises UsageError for anything else.
    """
    _log(events.dataset_input(dataset, context, tags))


def log_inputs(
    datasets: Sequence[object | None] | None = None,
    contexts: Sequence[str | None] | None = None,
    tags_list: Sequence[Mapping[str, object] | None] | None = None,
    models: Sequence[object | None] | None = None,
) -> None:
    """Name several datasets, and logged models that the training reads, all or none: see `log_input`.

    Args:
        contexts, tags_list: one for each dataset.
        models: ids, or MLflow's LoggedModelInput.
    """
    named = list(datasets or ())
    lists = [list(one) if one is not None else [None] * len(named) for one in (contexts, tags_list)]
    if any(len(one) != len(named) for one in lists):
        raise UsageError("datasets, contexts and tags_list differ in length")
    batch = [
        events.dataset_input(dataset, context, tags)
        for dataset, context, tags in zip(named, *lists, strict=True)
        if dataset is not None
    ]
    _log(*batch, *(events.model_input(model) for model in models or () if model is not None))


def log_outputs(models: Sequence[object]) -> None:
    """Name logged models that the training made: ids, or MLflow's LoggedModelOutput, which has a step."""
    _log(*(events.output(model) for model in models))


def set_tag(key: str, value: object) -> None:
    """Set a tag of the run; the last value counts."""
    _log(events.tag(key, value))


def set_tags(tags: Mapping[str, object]) -> None:
    """Set several tags of the run, all or none."""
    _log(*(events.tag(key, value) for key, value in tags.items()))


def _texts(tags: Mapping[str, object]) -> dict[str, str]:
    return {key: str(value) for key, value in tags.items()}
