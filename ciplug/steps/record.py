"""From a training to a record in the store: begin, finish, send. What was logged is on disk at every point."""

from __future__ import annotations

import errno
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ciplug import console
from ciplug._version import __version__
from ciplug.capture import log
from ciplug.capture.spool import OpenRun, Sealed
from ciplug.config import Samples
from ciplug.errors import Cause, CiplugError, ConfigError, InputError, RecordError, StoreError, UsageError
from ciplug.git.worktree import dirty_state
from ciplug.records.canonical import new_id, plain
from ciplug.records.provenance import Provenance
from ciplug.records.run import METRIC_NAME, File, Run, Scalar, Status, is_model_name
from ciplug.steps.session import DEFAULT_MODEL, Session, beside_runs, now, stamp
from ciplug.tracking.runs import run_objects

if TYPE_CHECKING:
    from ciplug.capture.content import Content
    from ciplug.capture.process import ChildResult
    from ciplug.records.series import Series


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What the user asked to have recorded, beside what the training itself logs."""

    model: str | None = None
    name: str | None = None
    seed: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[Path, ...] = ()
    params: tuple[Path, ...] = ()
    artifacts: tuple[Path, ...] = ()
    datasets: tuple[Path, ...] = ()
    samples: Samples | None = None
    """The examples of the evaluation; the file is relative to the folder that the command runs in."""
    addresses: tuple[str, ...] = ()
    """Artifacts that lie elsewhere already."""

    @property
    def outputs(self) -> tuple[Path, ...]:
        return (*self.metrics, *self.artifacts, *([Path(self.samples.file)] if self.samples else []))


@dataclass(frozen=True)
class Recorded:
    """A run that is safe on disk; `problems` are inputs that could not be taken."""

    run: Run
    sealed: Sealed
    problems: tuple[CiplugError, ...] = ()


def check_model_name(model: str) -> str:
    """A model's name, as MLflow allows it. Raises UsageError."""
    if not is_model_name(model):
        raise UsageError(f"{model!r} is no name for a model", hint="up to 120 characters, without / : and \\")
    return model


def begin(session: Session, inputs: Inputs, *, command: Sequence[str] = (), run_id: str | None = None) -> OpenRun:
    """Open a run in the spool, with all that is known before the training starts."""
    run_id = run_id or new_id()
    workspace = session.workspace
    spooled_for = session.spooled_for  # A wrong store is said as such, and not as one for artifacts.
    outputs = [session.cwd / path for path in inputs.outputs]
    if inputs.artifacts or session.artifact_store:
        # A place that cannot be is said before the training, not after it.
        _ = session.files
    dirty, diff = dirty_state(workspace, outputs) if workspace else (None, None)
    started = stamp(now())
    run = Run(
        id=run_id,
        model=check_model_name(inputs.model or session.config.of(None).model or DEFAULT_MODEL),
        status="killed",
        started=started,
        ended=started,
        commit=session.head,
        name=inputs.name,
        tags=inputs.tags,
        provenance=Provenance(
            context=session.context,
            command=tuple(command),
            seed=inputs.seed,
            dirty=dirty,
            diff_digest=diff,
            ciplug=__version__,
        ),
    )
    entry = session.spool.begin(run_id, {"run": plain(run), "store": spooled_for})
    if entry.notice:
        console.complain(f"warning: {entry.notice}")
    return entry


def finish(
    session: Session,
    entry: OpenRun,
    inputs: Inputs,
    *,
    status: Status,
    child: ChildResult | None = None,
    python: str | None = None,
    problems: Sequence[CiplugError] = (),
) -> Recorded:
    """Read what the training left, make the record and seal it.

    An input that cannot be taken does not stop the others: it is among the problems of the result. After
    a training that did not finish, files that it has not written are no problem.
    """
    from ciplug.capture import environment

    found = list(problems)
    logged = log.read(entry.folder)
    if logged.torn and status == "finished":
        console.complain("warning: a line of what was logged cannot be read, and is left out")
    skeleton = _skeleton(entry)
    metrics, series, params = _files(inputs, found if status == "finished" else None)
    for name, value in logged.metrics.items():
        stated = metrics.setdefault(name, value)
        if stated != value and not (math.isnan(stated) and math.isnan(value)):
            console.complain(
                f"warning: the metric '{name}' was logged last as {value!r}, and its file says {stated!r}: "
                "the file counts"
            )
    examples = _examples(inputs, session, metrics, found if status == "finished" else None)
    series = {**logged.series, **series}
    params.update(logged.params)
    version, packages = environment.python_environment(python, session.env)
    seed = skeleton.provenance.seed if skeleton.provenance.seed is not None else logged.seed
    if seed is None and isinstance(params.get("seed"), int) and not isinstance(params["seed"], bool):
        seed = int(params["seed"])
    provenance = replace(
        skeleton.provenance,
        exit_code=child.exit_code if child else None,
        signal=child.signal if child else None,
        wall_seconds=round(child.wall_seconds, 3) if child else None,
        cpu_seconds=round(child.cpu_seconds, 3) if child and child.cpu_seconds is not None else None,
        peak_memory_bytes=child.peak_memory_bytes if child else None,
        seed=seed,
        python=version,
        os=environment.operating_system(),
        packages=packages,
        lockfiles=environment.lockfiles(session.top),
        hardware=environment.hardware(),
    )
    run = replace(
        skeleton,
        model=logged.model or skeleton.model,
        name=logged.name or skeleton.name,
        status=status,
        ended=stamp(now()),
        params=params,
        metrics=metrics,
        datasets=tuple(
            content.file
            for content in _examined(
                (*inputs.datasets, *map(Path, logged.datasets)), session, found if status == "finished" else None
            )
        ),
        artifacts=_artifacts(session, entry, inputs, logged.artifacts, found if status == "finished" else None),
        tags={**skeleton.tags, **logged.tags},
        provenance=provenance,
    )
    objects = _objects(run, series, found, examples)
    return Recorded(run, entry.seal(session.spooled_for, objects), tuple(found))


def _examples(
    inputs: Inputs, session: Session, metrics: dict[str, float], problems: list[CiplugError] | None
) -> bytes | None:
    """What is kept of the examples. Their means are metrics, where no file says otherwise."""
    if inputs.samples is None:
        return None
    from ciplug.capture.example_files import read_examples
    from ciplug.capture.example_table import Columns
    from ciplug.records.examples import encode, means

    said = inputs.samples
    columns = Columns(
        id=said.id, label=said.label, prediction=said.prediction, cluster=said.cluster, slices=said.slices
    )
    try:
        examples = read_examples(session.cwd / said.file, columns, format=said.format)
        for name, value in means(examples).items():
            if METRIC_NAME.fullmatch(name):
                metrics.setdefault(name, value)
        return encode(examples)
    except (InputError, UsageError, RecordError) as problem:
        _note(problem, problems)
        return None


def _objects(
    run: Run, series: Mapping[str, Series], problems: list[CiplugError], examples: bytes | None = None
) -> dict[str, bytes]:
    """What is stored of a run. Series that are too long are a problem, and no reason to lose the run."""
    try:
        return run_objects(run, series, examples)
    except RecordError as problem:
        problems.append(problem)
        return run_objects(run, examples=examples)


def _skeleton(entry: OpenRun) -> Run:
    from ciplug.records.provenance import Context

    facts: dict[str, Any] = dict(entry.facts.get("run") or {})
    provenance = dict(facts.pop("provenance", {}))
    context = Context(**provenance.pop("context", {}))
    provenance["command"] = tuple(provenance.get("command", ()))
    return Run(**facts, provenance=Provenance(**provenance, context=context))


def _files(
    inputs: Inputs, problems: list[CiplugError] | None
) -> tuple[dict[str, float], dict[str, Series], dict[str, Scalar]]:
    metrics: dict[str, float] = {}
    series: dict[str, Series] = {}
    params: dict[str, Scalar] = {}
    if not (inputs.metrics or inputs.params):
        return metrics, series, params
    from ciplug.capture.metric_files import read_metrics, read_params

    sources: dict[str, Path] = {}
    texts: dict[Path, Mapping[str, str]] = {}

    def merge(into: dict[str, Any], new: Mapping[str, Any], path: Path, kind: str) -> None:
        for key, value in new.items():
            if key in into and into[key] != value:
                raise InputError(f"{path}: the {kind} '{key}' stands in {sources[key]} too, with another value")
            into[key], sources[key] = value, path

    for path in inputs.metrics:
        try:
            read = read_metrics(path)
            merge(metrics, read.values, path, "metric")
            series.update(read.series)
            if read.texts:
                texts[path] = read.texts
        except InputError as problem:
            _note(problem, problems)
    sources.clear()
    for path, found in texts.items():
        try:
            if both := metrics.keys() & found.keys():
                raise InputError(f"{path}: the metric '{min(both)}' is text here, and a number in another file")
            merge(params, found, path, "parameter")
            names = ", ".join(f"'{name}'" for name in found)
            console.say(f"{path}: recorded as parameters, since text is no metric: {names}")
        except InputError as problem:
            _note(problem, problems)
    for path in inputs.params:
        try:
            merge(params, read_params(path), path, "parameter")
        except InputError as problem:
            _note(problem, problems)
    return metrics, series, params


def _examined(paths: Sequence[Path], session: Session, problems: list[CiplugError] | None) -> list[Content]:
    from ciplug.capture.content import examine

    found: dict[str, Content] = {}
    for path in paths:
        try:
            content = examine(session.cwd / path, session.top)
            found[content.file.path] = content
        except InputError as problem:
            _note(problem, problems)
    return list(found.values())


def _artifacts(
    session: Session,
    entry: OpenRun,
    inputs: Inputs,
    logged: Sequence[str],
    problems: list[CiplugError] | None,
) -> tuple[File, ...]:
    """The artifacts by their content; the bytes of those that are to be kept wait in the spool entry from now on."""
    if not (inputs.artifacts or inputs.addresses or logged):
        return ()
    from ciplug.capture import artifacts

    addresses = [*inputs.addresses, *filter(artifacts.is_address, logged)]
    paths = [*inputs.artifacts, *(Path(text) for text in logged if not artifacts.is_address(text))]
    found: dict[str, File] = {}
    kept = []
    for content in _examined(paths, session, problems):
        found[content.file.path] = content.file
        if session.files is not None:
            if excess := artifacts.too_large(content, session.files.limit):
                _note(excess, problems)
            else:
                kept.append(content)
    if kept and session.files is not None:
        try:
            found.update((file.path, file) for file in artifacts.stage(entry.folder, session.files.uri, kept))
        except OSError as problem:
            _note(artifacts.not_staged(entry.folder, problem), problems)
    for address in addresses:
        try:
            found[address] = artifacts.elsewhere(address, session.env)
        except InputError as unread:
            _note(unread, problems)
    return tuple(found.values())


def _note(problem: CiplugError, problems: list[CiplugError] | None) -> None:
    if problems is not None:
        problems.append(problem)


def recover(session: Session) -> list[Recorded]:
    """Seal the runs whose owner was killed: they are recorded as killed, with all that they had logged."""
    found = []
    for entry in session.spool.abandoned():
        logged = log.read(entry.folder)
        try:
            skeleton = _skeleton(entry)
        except (TypeError, ValueError, AttributeError):
            entry.release()
            if logged == log.Logged():
                # Killed before it had begun: there is nothing to record.
                shutil.rmtree(entry.folder, ignore_errors=True)
            else:
                console.complain(
                    f"{entry.folder} holds a killed run that another version of ciplug has begun",
                    "recover it with that version; or move the folder away, what was logged is in its log.ndjson",
                )
            continue
        run = replace(
            skeleton,
            model=logged.model or skeleton.model,
            name=logged.name or skeleton.name,
            ended=_last_sign_of_life(entry.folder),
            metrics=logged.metrics,
            params=logged.params,
            tags={**skeleton.tags, **logged.tags},
        )
        problems: list[CiplugError] = []
        objects = _objects(run, logged.series, problems)
        found.append(Recorded(run, entry.seal(str(entry.facts.get("store")), objects), tuple(problems)))
    return found


def _last_sign_of_life(folder: Path) -> str:
    times = [path.stat().st_mtime for name in ("open.json", log.FILE) if (path := folder / name).exists()]
    return stamp(datetime.fromtimestamp(max(times)).astimezone())


def store_objects(session: Session, objects: Mapping[str, bytes], bundle: Path | None = None) -> None:
    """Keep objects that belong to a run (a verdict) by the same safe way: on disk, then sent, or put into `bundle`.

    Raises StoreError when they could not be sent; they stay spooled.
    """
    entry = session.spool.begin(new_id(), {})
    sealed = entry.seal(session.spooled_for, objects)
    if bundle is None:
        send(session, sealed)
    else:
        session.spool.hand_over([sealed], bundle, session.send_command)


def send(session: Session, own: Sealed | None = None, *, source: str | None = None) -> list[Sealed]:
    """Send everything of this store that waits in the spool; returns what was sent.

    Args:
        own: what this command has made: of several that are refused, it is the one that is named.
        source: the address of another store: what waits for that is sent to this one.

    Raises StoreError with a refusal, after trying all: nothing that was refused is discarded.
    """
    sent: list[Sealed] = []
    refused: list[tuple[Sealed, StoreError]] = []
    for sealed in session.spool.sealed(source or session.store.address):
        try:
            objects = _send_files(session, sealed, source)
            if not sealed.waits:
                # Another process has sent it meanwhile, and removed the files with it.
                continue
            session.store.add(objects)
        except StoreError as refusal:
            refused.append((sealed, refusal))
        except OSError as error:
            # A push takes some room on the disk.
            refused.append((sealed, _unwritable(error)))
        else:
            sealed.discard()
            sent.append(sealed)
    if refused:
        ours = (one for one in refused if own and one[0].folder == own.folder)
        sealed, reason = next(ours, refused[0])
        how = f"it is kept in {sealed.folder}; send it with: {session.send_command}"
        if len(refused) > 1:
            how = f"it is kept in {sealed.folder}, {len(refused)} wait in all; send them with: {session.send_command}"
        if source:
            import shlex

            how += f" --from {shlex.quote(source)}"
        raise reason.reworded(f"not sent: {reason.message}", f"{reason.hint}; {how}" if reason.hint else how)
    return sent


def _unwritable(error: OSError) -> StoreError:
    cause = Cause.FULL if error.errno == errno.ENOSPC else Cause.UNKNOWN
    return StoreError(error.strerror or str(error), hint="is the disk full?", cause=cause)


def _send_files(session: Session, sealed: Sealed, source: str | None) -> Mapping[str, bytes]:
    """Send the files of a spool entry, so that its record names no bytes that are not there; returns its objects."""
    from ciplug.capture import artifacts

    found = artifacts.waiting(sealed.folder)
    if found is None:
        return sealed.objects
    files, objects = session.files, sealed.objects
    if files is not None and source is not None and beside_runs(found.to, source):
        # They were to lie beside the runs of that store, and so they do in this one.
        objects = artifacts.moved(objects, found.to, files.uri)
    elif files is not None and files.uri != found.to:
        try:
            files = session.files_at(found.to)
        except ConfigError as problem:
            raise StoreError(problem.message, hint=problem.hint) from None
    if files is None:
        console.say(f"{sealed.folder.name}: sent without the bytes of its artifacts")
        return artifacts.without_files(sealed.folder, objects)
    with console.transfer("files sent", len(found.files), found.size) as tell:
        objects, lost = artifacts.send(sealed.folder, objects, files, tell)
    if lost and sealed.waits:
        console.complain(f"warning: {lost}", "its digest is recorded, and its bytes are not kept")
    return objects
