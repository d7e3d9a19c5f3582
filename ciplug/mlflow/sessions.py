"""MLflow's changes on the spool: runs that are begun, joined and ended, and what is changed about recorded ones.

What a run logs goes to its journal at once. A run that ends is sealed as its record. What is changed about one that is
recorded, or about an experiment or a logged model, is sealed as an amendment: when a server has heard nothing for two
seconds, else with the next run that is sent, or when the program ends. Everything that is sealed is sent together.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from ciplug import console, loading
from ciplug.capture.events import Event
from ciplug.capture.writer import SERVER, RunWriter
from ciplug.config import DEFAULT_MODEL
from ciplug.console import Note, problem_note
from ciplug.errors import StoreError, UsageError
from ciplug.mlflow import state
from ciplug.mlflow.changes import Changes, job_facts
from ciplug.mlflow.sender import Sender
from ciplug.mlflow.server_runs import seal_claimed
from ciplug.mlflow.view import OPEN_RUN
from ciplug.records.canonical import new_id, plain
from ciplug.records.keys import RunKey
from ciplug.records.provenance import Context, Provenance
from ciplug.records.run import Run, Status, is_model_name
from ciplug.steps.first_job import job_of
from ciplug.steps.inputs import Inputs
from ciplug.steps.open_run import child_run, run_around
from ciplug.steps.record import begin, finish
from ciplug.steps.session import now, stamp

if TYPE_CHECKING:
    from ciplug.mlflow.view import View
    from ciplug.steps.session import Session

_TERMINAL = ("finished", "failed", "killed")


class Sessions:
    """What this process has open of a place."""

    def __init__(self, place: View) -> None:
        self._place = place
        self._runs: dict[str, RunWriter] = {}
        self._joined: set[str] = set()
        self._changes = Changes(place)
        self._sender = Sender(place, self._changes, lambda: bool(self._runs))
        self._active: set[str] = set()
        """Runs that were found to take values; forgotten when anything is deleted or restored."""
        atexit.register(self._at_exit)

    @property
    def opened(self) -> list[RunWriter]:
        """The runs that this process has open."""
        return list(self._runs.values())

    # Runs

    def create(
        self, experiment: state.Experiment, user: str, started: int | None, tags: Mapping[str, str], name: str
    ) -> str:
        """Begin a run, or join the one of `ciplug run` around this program; returns its id."""
        kept = {**tags, state.EXPERIMENT_ID: experiment.id, state.EXPERIMENT: experiment.name}
        kept.pop(state.RUN_NAME, None)
        if user and user != tags.get(state.OWN_USER):
            kept[state.USER] = user
        moment = None if started is None else datetime.fromtimestamp(started / 1000, timezone.utc)
        with self._place.lock:
            if self._place.is_server:
                writer = self._claimed(experiment, kept, name, moment)
            else:
                writer = self._begun(experiment, kept, name, moment, tags.get(state.PARENT))
            self._runs[writer.id] = writer
            self._active.add(writer.id)
            return writer.id

    def _model(self, experiment: state.Experiment) -> str | None:
        """The model of a run, of which ciplug.yaml says nothing."""
        config = self._place.session.config
        if not config.has_several and (config.of(None).model or experiment.id == state.DEFAULT_ID):
            return None
        if experiment.id != state.DEFAULT_ID and is_model_name(experiment.name):
            return experiment.name
        return DEFAULT_MODEL if config.has_several else None

    def _begun(
        self,
        experiment: state.Experiment,
        tags: Mapping[str, str],
        name: str,
        started: datetime | None,
        parent_id: str | None,
    ) -> RunWriter:
        session = self._place.session
        inputs = Inputs(name=name, tags=tags)
        parent = self._open_run(parent_id) if parent_id else None
        if parent is not None:
            return child_run(parent, inputs, started).writer
        around = run_around(session.env)
        if around is not None:
            if not around.claim():
                child = child_run(around, inputs, started).writer
                around.release()
                return child
            self._join(around, tags, name, started)
            return around
        writer = begin(
            session,
            replace(inputs, model=self._model(experiment)),
            command=(sys.executable, *sys.argv),
            started=started,
            process=os.getpid(),
            since=loading.MOMENT,
            cloned=_cloned_commit(tags, session),
        )
        os.environ[OPEN_RUN] = f"{writer.id}:{session.cwd.absolute()}"
        if writer.notice:
            console.tell([Note(writer.notice)])
        return writer

    def _join(self, around: RunWriter, tags: Mapping[str, str], name: str, started: datetime | None) -> None:
        events: list[Event] = [{"tag": key, "value": value} for key, value in tags.items()]
        begun = dict(around.facts.get("run") or {})
        if begun.get("name") is None and around.logged().name is None:
            events.append({"name": name})
        if started is not None:
            events.append({"started": started.timestamp()})
        around.append(*events)
        self._joined.add(around.id)

    def _claimed(
        self, experiment: state.Experiment, tags: Mapping[str, str], name: str, started: datetime | None
    ) -> RunWriter:
        """Begin a run for a client of a server: what the client says of itself is a claim."""
        session = self._place.session
        began = stamp(started or now())
        commit = tags.get("mlflow.source.git.commit")
        is_known = commit is not None and len(commit) in (40, 64) and set(commit) <= set("0123456789abcdef")
        context = Context(host="mlflow_server", commit=commit if is_known else None, actor=tags.get(state.OWN_USER))
        parent = tags.get(state.PARENT)
        run = Run(
            id=new_id(),
            model=self._model(experiment) or session.config.of(None).model or DEFAULT_MODEL,
            status="killed",
            started=began,
            ended=began,
            commit=context.commit,
            name=name,
            tags=tags,
            parent=parent if parent and len(parent) == 32 else None,
            provenance=Provenance(context=replace(context, trusted=session.context.trusted)),
        )
        facts = {"run": plain(run), "owner": SERVER, **job_facts(session)}
        return self._place.spool.create(run.id, facts)

    def _open_run(self, run_id: str) -> RunWriter | None:
        """The open run of this id, of whatever process of this machine; None where it has ended, or never was here."""
        writer = self._runs.get(run_id)
        if writer is not None and writer.is_open:
            return writer
        if writer is not None:
            self._runs.pop(run_id).release()
        opened = self._place.spool.open(run_id)
        if opened is None:
            return None
        if opened.amends is not None:
            opened.release()
            return None
        self._runs[run_id] = opened
        return opened

    def is_active(self, run_id: str) -> bool:
        """Whether the run was found to take values, and nothing was deleted since."""
        return run_id in self._active

    def found_active(self, run_id: str) -> None:
        self._active.add(run_id)

    def reset_active(self) -> None:
        self._active.clear()

    def log(self, run_id: str, *events: Event) -> None:
        """Log to a run: to its journal while it is open, else to a session that becomes an amendment."""
        if not events:
            return
        with self._place.lock:
            self._append(lambda: self._open_run(run_id) or self._changes.of_run(run_id), events)
            self._changes.touched(run_id)
            self._sender.awake()

    def _append(self, opened: Callable[[], RunWriter], events: tuple[Event, ...]) -> None:
        for again in (True, False):
            writer = opened()
            try:
                writer.append(*events)
                return
            except UsageError:
                # Another process has ended it in this moment: what it logs now comes after the end.
                if writer.is_open or not again:
                    raise

    def open_run(self, run_id: str) -> RunWriter | None:
        """The open run of this id; None where it has ended, or was never on this machine."""
        with self._place.lock:
            return self._open_run(run_id)

    def touched(self, subject: str) -> None:
        """Take note that something was added."""
        self._changes.touched(subject)
        self._sender.awake()

    def writer_of_run(self, run_id: str) -> RunWriter:
        """What files of a run are kept in."""
        with self._place.lock:
            self._changes.touched(run_id)
            return self._open_run(run_id) or self._changes.of_run(run_id)

    def end(self, run_id: str, status: str, ended: int | None) -> None:
        """Take a status of a run. One that ends is recorded, and sent unless its parent or `ciplug run` does that."""
        with self._place.lock:
            events: list[Event] = [{"status": status}]
            if ended is not None:
                events.append({"ended": ended / 1000})
            writer = self._open_run(run_id)
            if ended is None and status in _TERMINAL and writer is not None and writer.logged().ended is None:
                events.append({"tag": state.UNENDED, "value": "true"})
            self.log(run_id, *events)
            if writer is None:
                if status in _TERMINAL:
                    self._changes.seal(run_id)
                    self._send_unless_waiting(None)
                return
            if status not in _TERMINAL:
                return
            self._runs.pop(run_id, None)
            if run_id in self._joined:
                self._joined.discard(run_id)
                writer.release()
                return
            parent, deleted = writer.parent, writer.logged().lifecycle == "deleted"
            self._record(writer, "killed" if status == "killed" else "failed" if status == "failed" else "finished")
            if deleted:
                self.log(run_id, {"lifecycle": "deleted"})
            self._send_unless_waiting(parent)

    def _record(self, writer: RunWriter, status: Status) -> None:
        """Seal the record of a run that ends. What cannot be kept stays in its journal, and is said."""
        try:
            if writer.facts.get("owner") == SERVER:
                seal_claimed(writer, status)
                return
            recorded = finish(job_of(writer), writer, Inputs(), status=status)
        except StoreError as unkept:
            console.tell([problem_note(unkept)])
            return
        console.tell([*recorded.notes, *map(problem_note, recorded.problems)])

    def _send_unless_waiting(self, parent: str | None) -> None:
        if self._place.is_server:
            self._sender.awake()
            return
        if parent is not None and self._open_run(parent) is not None:
            return
        self.send()

    # What is changed about what is recorded

    def change(self, key: RunKey, *events: Event) -> None:
        """Change an experiment or a logged model."""
        with self._place.lock:
            self._append(lambda: self.writer_of(key), events)
            self._changes.touched(key.id)
            self._sender.awake()

    def writer_of(self, key: RunKey) -> RunWriter:
        """What is changed about an experiment or a logged model is kept in."""
        return self._changes.writer_of(key)

    def seal(self, subject: str) -> None:
        """Seal what this process has changed about a run, an experiment or a logged model."""
        with self._place.lock:
            self._changes.seal(subject, last=True)

    # Sending

    def send(self) -> None:
        """Send everything that is sealed. What is refused waits, and a note says how it is sent."""
        self._sender.send()

    def _at_exit(self) -> None:
        """Seal and send what is left when the program ends."""
        if self._place.process != os.getpid():
            return
        with contextlib.suppress(Exception), self._place.lock:
            pending = bool(self._changes) or bool(self._place.spool.sealed(self._place.session.spooled_for))
            self._changes.seal_all(last=True)
            if pending:
                self.send()
            for writer in self._runs.values():
                if writer.facts.get("owner") == SERVER:
                    writer.release()


def _cloned_commit(tags: Mapping[str, str], session: Session) -> str | None:
    """The commit of a project that MLflow has cloned by its address, which is another one than that of this checkout.

    Only on a machine of one's own: in a CI job, whatever runs could name the commit that a gate is about.
    """
    commit = tags.get("mlflow.source.git.commit", "")
    is_project = tags.get("mlflow.source.type") == "PROJECT" and "mlflow.source.git.repoURL" in tags
    if not is_project or session.context.host != "local" or commit == session.head:
        return None
    return commit if len(commit) in (40, 64) and set(commit) <= set("0123456789abcdef") else None
