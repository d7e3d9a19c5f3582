"""What this process changes about recorded runs, experiments and logged models: each is sealed as an amendment."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ciplug import console
from ciplug.capture.writer import BY_CLIENT, SERVER, RunWriter
from ciplug.console import problem_note
from ciplug.errors import CiplugError, UsageError
from ciplug.mlflow import state
from ciplug.records.canonical import plain
from ciplug.records.keys import RunKey
from ciplug.steps.amend import Target
from ciplug.steps.record import REDACT
from ciplug.steps.resume import facts_of, seal
from ciplug.steps.session import now

if TYPE_CHECKING:
    from ciplug.mlflow.view import View
    from ciplug.steps.session import Session


class Changes:
    """The changes that this process has begun. Its caller holds the lock of the place."""

    def __init__(self, place: View) -> None:
        self._place = place
        self._writers: dict[str, RunWriter] = {}
        self._written: dict[str, float] = {}

    def __bool__(self) -> bool:
        return bool(self._writers)

    def touched(self, subject: str) -> None:
        """Take note that something was added."""
        self._written[subject] = time.monotonic()

    def of_run(self, run_id: str) -> RunWriter:
        """What is changed about a recorded run is kept in."""
        kept = self._kept(run_id)
        if kept is not None:
            return kept
        place = self._place
        local = place.local().get(run_id)
        key = place.base.run_key(run_id, local)
        run = place.run(run_id)
        if key is None or run is None:
            raise UsageError(f"no run {run_id}")
        changes = place.base.changes(key, local)
        record = next(iter(place.base.records([key]).values()), None)
        model = record.model if record else place.base.model_of(run_id, local)
        return self._begin(Target(key, model, run.name, run.tags, run.params, changes, run.metrics))

    def writer_of(self, key: RunKey) -> RunWriter:
        """What is changed about an experiment or a logged model is kept in."""
        kept = self._kept(key.id)
        if kept is not None:
            return kept
        local = self._place.local().get(key.id)
        changes = self._place.base.changes(key, local)
        return self._begin(Target(key, state.DESCRIBED, None, {}, {}, changes))

    def _kept(self, subject: str) -> RunWriter | None:
        writer = self._writers.get(subject)
        if writer is not None and writer.is_open:
            return writer
        if writer is not None:
            self._writers.pop(subject).release()
        opened = self._place.spool.open_session(subject)
        if opened is not None:
            self._writers[subject] = opened
        return opened

    def _begin(self, target: Target) -> RunWriter:
        facts = {**facts_of(self._place.session, target), **job_facts(self._place.session), BY_CLIENT: True}
        if self._place.is_server:
            facts["owner"] = SERVER
        writer = self._place.spool.create_session(target.key.id, facts)
        self._writers[target.key.id] = writer
        return writer

    def seal(self, subject: str, *, last: bool = False) -> None:
        """Seal what was changed, unless the run goes on, or another process has it open."""
        writer = self._writers.get(subject)
        if writer is None:
            return
        logged = writer.logged()
        if not last and logged.status in ("running", "scheduled"):
            return
        del self._writers[subject]
        if writer.release_unless_last():
            return
        if not writer.is_open:
            writer.release()
            return
        try:
            with writer.ending() as logged:
                seal(writer, logged, None, now())
        except CiplugError as problem:
            console.tell([problem_note(problem)])

    def seal_all(self, quiet: float = 0.0, *, last: bool = False) -> None:
        """Seal all changes to which nothing was added for so many seconds."""
        with self._place.lock:
            since = time.monotonic() - quiet
            for subject in [one for one in self._writers if self._written.get(one, 0.0) <= since]:
                self.seal(subject, last=last)


def job_facts(session: Session) -> dict[str, Any]:
    """What an entry of the spool says of the job that begins it."""
    return {
        "store": session.spooled_for,
        "cwd": str(session.cwd.absolute()),
        "top": str(session.top.absolute()),
        "destination": plain(session.destination) if session.destination else None,
        REDACT: list(session.config.redact),
    }
