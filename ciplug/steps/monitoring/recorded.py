"""Keep a monitored window as a run of kind `monitor`, and read the monitor runs of a version that count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ciplug.capture.content import examine
from ciplug.capture.masking import Masks
from ciplug.capture.prediction_files import stamp_of
from ciplug.capture.provenance import at_start
from ciplug.comparison.failures_in_a_row import FAILED
from ciplug.comparison.run_that_counts import LOCAL
from ciplug.errors import CiplugError, RecordError
from ciplug.records import moment, read
from ciplug.records.canonical import new_id
from ciplug.records.keys import parse_runs, verdict_object
from ciplug.records.monitored import Monitored
from ciplug.records.run import File, Run
from ciplug.records.verdict import Verdict
from ciplug.registry.model import Version
from ciplug.steps.monitoring.watched_version import Watched
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.send import store_objects
from ciplug.steps.session import Session, now, stamp
from ciplug.steps.signers import judged_runs, signers_of
from ciplug.tracking.query import KIND, MODEL, STARTED, Comparison, Order
from ciplug.tracking.run_objects import run_objects

if TYPE_CHECKING:
    from ciplug.capture.prediction_files import Predictions
    from ciplug.steps.monitoring.judge import Judged

READ_MOST = 400
"""The last monitor runs of a model that are read: those of a version in a row are among them."""


def begun(watched: Watched) -> Run:
    """The run of a monitored window, before anything is known. It is of no commit, so it counts for none."""
    session = watched.session
    started = stamp(now())
    return Run(
        id=new_id(),
        model=watched.model,
        status="finished",
        started=started,
        ended=started,
        name=f"monitor of version {watched.version.number} {watched.where}".rstrip(),
        provenance=at_start(session.context, None, command=("ciplug", "monitor")),
        monitor=_window(watched),
    )


def _window(watched: Watched) -> Monitored:
    return Monitored(
        version=watched.version.number,
        stage=watched.stage,
        since=stamp_of(watched.window.since),
        until=stamp_of(watched.window.until),
        outcome="INCONCLUSIVE",
        policy=watched.digest,
    )


def completed(watched: Watched, run: Run, judged: Judged, found: Predictions, files: Sequence[Path]) -> Run:
    """The same with what came of it."""
    session = watched.session
    failed = dict.fromkeys(gate.gate for gate in judged.verdict.gates if gate.outcome in FAILED)
    done = replace(
        run,
        ended=stamp(now()),
        metrics=dict(judged.metrics),
        datasets=tuple(_read(session, file) for file in files),
        monitor=replace(
            _window(watched),
            outcome=judged.verdict.outcome,
            performance=judged.performance,
            failed=tuple(failed),
            failed_on_labels=judged.failed,
            rows=found.rows,
            due=len(found.due),
            labelled=len(found.labels),
            left_out=dict(found.left_out),
        ),
    )
    return Masks.of(session.env, session.config.redact).run(done)


def _read(session: Session, file: Path) -> File:
    return replace(examine(file, session.top, by_pointer=True).file, store=None)


def keep(session: Session, run: Run, verdict: Verdict) -> None:
    """Write the run and its verdict. Raises StoreError."""
    objects: Mapping[str, bytes] = dict([*run_objects(run).items(), verdict_object(verdict)])
    store_objects(session, objects)


def in_stage_since(session: Session, holder: Version) -> datetime:
    """When a version came into its stage. Raises RecordError where the log does not say so."""
    data = session.store.read([holder.moved]).get(holder.moved) if holder.moved else None
    created = read.registry_event(data, holder.moved or "").created if data else ""
    try:
        return moment.parse(created)
    except ValueError:
        raise RecordError(f"the log does not say when version {holder.number} came into its stage") from None


def of_stay(run: Run, since: datetime) -> bool:
    """Whether the window of a monitor run ends after its version came into the stage."""
    return run.monitor is not None and moment.parse(run.monitor.until) > since


def monitor_runs(session: Session, model: str, version: int, stage: str) -> list[Run]:
    """The monitor runs of a version that count: trusted, signed where that is needed, not withdrawn, and of pipelines
    alone where `record: ci` says so. The last first."""
    runs = judged_runs(session)
    where = [Comparison(MODEL, "=", model), Comparison(KIND, "=", "monitor")]
    found = runs.catalog.search(where, [Order(STARTED, True)], READ_MOST).entries
    signers = signers_of(session)
    only_pipelines = read_policies(session).only_pipelines(model)
    counted = []
    for run in runs.load(parse_runs(entry.key for entry in found)):
        seen, context = run.monitor, run.provenance.context
        if seen is None or (seen.version, seen.stage) != (version, stage) or not context.trusted:
            continue
        if only_pipelines and context.host == LOCAL:
            continue
        changes = runs.changes(run)
        if not changes.counts or changes.newer:
            continue
        try:
            signed = not signers or signers.of_run(runs, run) is not None
        except CiplugError:
            signed = False
        if signed:
            counted.append(run)
    return counted
