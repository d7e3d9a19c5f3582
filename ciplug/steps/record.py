"""Begin a run and finish it as a sealed record. What was logged is on disk at every moment."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ciplug.capture import provenance
from ciplug.capture.logged import Logged
from ciplug.capture.masking import Masks
from ciplug.capture.program_end import uncaught
from ciplug.capture.sealed import Sealed
from ciplug.capture.writer import RunWriter
from ciplug.capture.written_files import Stamp
from ciplug.config import DEFAULT_MODEL
from ciplug.console import Note, warning
from ciplug.errors import CiplugError, RecordError, UsageError, counted, listed
from ciplug.records.canonical import new_id, plain
from ciplug.records.last_point import series_to_store
from ciplug.records.provenance import Context, Provenance
from ciplug.records.run import Run, Status, is_model_name
from ciplug.steps.dirty_files import DIRTY, TO_WRITE, dirt_at_start, origin_at_end
from ciplug.steps.first_job import REPOSITORY
from ciplug.steps.inputs import Inputs, Surroundings
from ciplug.steps.logged_artifacts import SINCE, allowance, take_logged
from ciplug.steps.read_artifacts import read_artifacts, read_datasets
from ciplug.steps.read_values import Values, read_values
from ciplug.steps.session import Session, now, stamp
from ciplug.steps.sign import signed
from ciplug.tracking.run_objects import run_objects

if TYPE_CHECKING:
    from ciplug.capture.process import ChildResult
    from ciplug.records.series import Series

REDACT = "redact"
"""Of the facts about an open run: the names whose values are masked."""
_MASKED = "masked"
"""Of these facts: what was masked when the run began, such as an option of its command."""
_MASKED_MOST = 20
"""Names of what was masked, in the message."""


@dataclass(frozen=True)
class Recorded:
    """A run that is safe on disk."""

    run: Run
    sealed: Sealed
    problems: tuple[CiplugError, ...] = ()
    """The inputs that could not be taken."""
    notes: tuple[Note, ...] = ()


def check_model_name(model: str) -> str:
    """A model's name, as MLflow allows it. Raises UsageError."""
    if not is_model_name(model):
        raise UsageError(f"{model!r} cannot be the name of a model", hint="up to 120 characters, without / : and \\")
    if model != model.strip():
        # Nobody sees it, and it would be another model.
        raise UsageError(f"the model's name {model!r} begins or ends with a space", hint=f"write {model.strip()!r}")
    return model


def begin(
    session: Session,
    inputs: Inputs,
    *,
    command: Sequence[str] = (),
    run_id: str | None = None,
    started: datetime | None = None,
    process: int | None = None,
    since: int | None = None,
    cloned: str | None = None,
) -> RunWriter:
    """Open a run in the spool, with all that is known before the training starts.

    Args:
        process: the program that logs to the run by itself: its workers find the run by it.
        since: when the program began that writes the run's files, in nanoseconds since 1970; default: now.
        cloned: the commit of a clone elsewhere whose code runs, so that the files of this checkout say nothing of it.

    Raises ConfigError for a place of artifacts that does not exist, StoreError when the disk does not take it.
    """
    spooled_for = session.spooled_for  # Opened first, so that a wrong store is not reported as one for artifacts.
    if inputs.artifacts or session.artifact_store:
        # A place that cannot be is reported before the training, not after it.
        _ = session.files
    began = stamp(started or now())
    dirt = dirt_at_start(session, inputs, is_followed=bool(command)) if cloned is None else None
    context = session.context if cloned is None else replace(session.context, commit=cloned, branch=None)
    run = Run(
        id=run_id or new_id(),
        model=check_model_name(inputs.model or session.config.of(None).model or DEFAULT_MODEL),
        status="killed",
        started=began,
        ended=began,
        commit=cloned or session.head,
        name=inputs.name,
        tags=inputs.tags,
        provenance=provenance.at_start(context, dirt, command=command, seed=inputs.seed),
    )
    masks = Masks.of(session.env, session.config.redact)
    run = masks.run(run)
    to_write = dirt.outputs if dirt else ()
    differing = (*run.provenance.dirty_files, *run.provenance.ignored_files, *to_write)
    dirty = {path: Stamp.of(session.top / path) for path in differing}
    facts = facts_of(run, inputs, session, spooled_for, process, dirty)
    allowed = allowance(session, inputs) if command and process is None else {}
    facts |= {**allowed, TO_WRITE: to_write, SINCE: since or time.time_ns()}
    facts |= {REDACT: list(session.config.redact), _MASKED: list(masks.masked)}
    return session.spool.create(run.id, facts)


def tell_beside(session: Session, entry: RunWriter) -> None:
    """Say which runs that are going on are to write the same files, and mark each of them as beside the others."""
    for other in session.spool.mark_beside(entry):
        session.tell(
            warning(
                f"run {other[:12]} is still going on and writes the same files: each may record the other's numbers",
                "wait for its end; or train in another checkout (git worktree add), or write to other files: --metrics",
            )
        )


def facts_of(
    run: Run,
    inputs: Inputs,
    job: Surroundings,
    spooled_for: str,
    process: int | None = None,
    dirty: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the facts to keep at the start of a run: enough to record it, and its child runs, from any process.

    Args:
        dirty: path → stamp, of the files that differ from the commit, set aside or not.
    """
    return {
        "run": plain(run),
        "asked": {"model": inputs.model_is_asked, "seed": inputs.seed},
        "process": process,
        "outputs": [str((job.cwd / path).absolute()) for path in inputs.outputs],
        "store": spooled_for,
        "cwd": str(job.cwd.absolute()),
        "top": str(job.top.absolute()),
        "destination": plain(job.destination) if job.destination else None,
        REPOSITORY: job.repository,
        DIRTY: dict(dirty or {}),
    }


def finish(
    job: Surroundings,
    entry: RunWriter,
    inputs: Inputs,
    *,
    status: Status,
    child: ChildResult | None = None,
    python: str | None = None,
    head_after: str | None = None,
    problems: Sequence[CiplugError] = (),
    notes: Sequence[Note] = (),
) -> Recorded:
    """Read what the training left, make the record and seal it. From here on nothing can be logged to the run.

    An input that cannot be taken does not stop the others: it is among the problems of the result. After
    a training that did not finish, files that it has not written are not a problem.
    """
    ended, complete = now(), status in ("finished", "unknown")
    with entry.ending() as logged:
        input_problems: list[CiplugError] = []
        pointers: list[Note] = []
        values = read_values(job, inputs, logged, input_problems)
        seed = _asked_seed(entry, logged)
        own = take_logged(job, entry, inputs, logged, finished=complete)
        artifacts = read_artifacts(job, entry.folder, own.inputs, own.logged, input_problems)
        refused = (*values.refused, *own.lost, *artifacts.lost) if complete else ()
        run = replace(
            _with_logged(skeleton_of(entry), logged, values),
            status=status,
            left_out=(*values.left_out, *refused),
            ended=stamp(ended) if logged.ended is None else stamp_of(logged.ended),
            params=_with_seed(values.params, seed, inputs.seed_key),
            datasets=read_datasets(job, [*inputs.datasets, *map(Path, logged.datasets)], input_problems, pointers),
            artifacts=artifacts.files,
            provenance=provenance.at_end(
                origin_at_end(job, entry, logged, skeleton_of(entry).provenance),
                env=job.env,
                top=job.top,
                seed=seed_of(entry, logged, values.params),
                unchanged=own.inputs.unchanged,
                committed=own.committed,
                older=inputs.older,
                beside=entry.beside(),
                child=child,
                python=python,
                head_after=head_after,
            ),
        )
        masks = masks_of(job.env, entry)
        run = masks.run(run)
        if not complete and (output := child.output if child else uncaught()):
            run = replace(run, provenance=provenance.with_output(run.provenance, output, masks))
        notes = [
            *([warning(entry.notice)] if entry.notice else []),
            *masked_notes(masks),
            *(lines_left_out(logged) if complete else []),
            *own.notes,
            *notes,
            *values.notes,
            *pointers,
            *_other_seeds(seed, logged, values.params, inputs.seed_key),
        ]
        reported = [*problems, *own.problems, *(input_problems if complete else [])]
        series = masks.names(values.series, "metric")
        objects = objects_of(run, series, reported, values.examples, logged.texts)
        objects = signed(job.env, objects, trusted=run.provenance.context.trusted, repository=job.repository)
        sealed = entry.seal(job.spooled_for, objects, incomplete=bool(own.problems))
        return Recorded(run, sealed, tuple(reported), tuple(notes))


def masks_of(env: Mapping[str, str], entry: RunWriter) -> Masks:
    """The masks of an open run."""
    masks = Masks.of(env, [name for name in entry.facts.get(REDACT) or () if isinstance(name, str)])
    masks.masked.update(dict.fromkeys(map(str, entry.facts.get(_MASKED) or ())))
    return masks


def masked_notes(masks: Masks) -> list[Note]:
    """Name what was masked."""
    if not masks.masked:
        return []
    return [
        warning(
            f"masked in the record, since it looks like a secret: {listed(list(masks.masked), most=_MASKED_MOST)}",
            "give secrets to the training by variables of the job, not as parameters or options",
        )
    ]


def _with_logged(skeleton: Run, logged: Logged, values: Values) -> Run:
    """The run as it began, with what its training logged, and the numbers of its files."""
    return replace(
        skeleton,
        model=logged.model or skeleton.model,
        name=logged.name or skeleton.name,
        started=skeleton.started if logged.started is None else stamp_of(logged.started),
        metrics=values.metrics,
        last=values.last,
        inputs=logged.inputs,
        model_inputs=logged.model_inputs,
        outputs=logged.outputs,
        tags={**values.texts, **tags_of(skeleton, logged)},
    )


def tags_of(skeleton: Run, logged: Logged) -> dict[str, str]:
    """The tags that a run began with, as far as they were not removed, and those that were logged."""
    return {**{name: text for name, text in skeleton.tags.items() if name not in logged.untagged}, **logged.tags}


def objects_of(
    run: Run,
    series: Mapping[str, Series],
    problems: list[CiplugError],
    examples: bytes | None = None,
    texts: Sequence[str] = (),
) -> dict[str, bytes]:
    """Return the objects of a run. Series or texts that are too long are a problem, but the run is kept."""
    objects = run_objects(run, examples=examples)
    for beside in ({"series": series_to_store(series, run.last)}, {"texts": texts}):
        try:
            objects.update(run_objects(run, **beside))
        except RecordError as problem:
            problems.append(problem)
    return objects


def skeleton_of(entry: RunWriter) -> Run:
    """The run as it began. Raises TypeError, ValueError or AttributeError when another version has begun it."""
    return begun_run(entry.facts.get("run") or {})


def begun_run(begun: Mapping[str, Any]) -> Run:
    """The run in the facts of its beginning. Raises TypeError, ValueError or AttributeError for another version's."""
    facts = dict(begun)
    start = dict(facts.pop("provenance", {}))
    context = Context(**start.pop("context", {}))
    for name in ("command", "dirty_files", "ignored_files"):
        start[name] = tuple(start.get(name, ()))
    return Run(**facts, provenance=Provenance(**start, context=context))


def stamp_of(seconds: float) -> str:
    return stamp(datetime.fromtimestamp(seconds, timezone.utc))


def seed_of(entry: RunWriter, logged: Logged, params: Mapping[str, Any]) -> int | None:
    """The seed that counts: the one asked for, else that of the parameter, else the parent's."""
    stated = params.get("seed")
    parameter = stated if isinstance(stated, int) and not isinstance(stated, bool) else None
    inherited = skeleton_of(entry).provenance.seed
    return next((seed for seed in (_asked_seed(entry, logged), parameter, inherited) if seed is not None), None)


def _asked_seed(entry: RunWriter, logged: Logged) -> int | None:
    """The seed of `--seed`, else of `start_run`."""
    seed = dict(entry.facts.get("asked") or {}).get("seed")
    return seed if isinstance(seed, int) else logged.seed


def _with_seed(params: Mapping[str, Any], seed: int | None, key: str) -> dict[str, Any]:
    """The parameters, with the seed that was asked for in place of another one."""
    if seed is None or (key == "seed" and key not in params):
        return dict(params)
    return {**params, key: seed}


def _other_seeds(seed: int | None, logged: Logged, params: Mapping[str, Any], key: str) -> list[Note]:
    """The seeds that were stated beside the one that was asked for, which replaces them."""
    stated = {f"the parameter '{key}'": params.get(key), "start_run": logged.seed}
    others = [f"{where} says {value!r}" for where, value in stated.items() if value not in (None, seed)]
    if seed is None or not others:
        return []
    hint = f"does the training use the seed that it was given? ciplug run --seed {seed} sets CIPLUG_SEED={seed}"
    return [warning(f"the run has seed {seed}, as asked for; but {', '.join(others)}", hint)]


def lines_left_out(logged: Logged) -> list[Note]:
    """Return notes on the lines of a log that could not be read."""
    notes = []
    if logged.torn:
        words = f"{counted(logged.torn, 'line')} of the log cannot be read, and are left out"
        notes.append(warning(words))
    if logged.unknown:
        words = f"{logged.unknown} of the logged events are of a kind that this ciplug does not know, and are left out"
        notes.append(warning(words, "record with the version that the training logs with"))
    return notes
