"""Sending what is sealed: when a run ends, and each second by a thread of a server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ciplug import console
from ciplug.console import Note, problem_note
from ciplug.errors import CiplugError
from ciplug.mlflow.changes import Changes
from ciplug.steps.send import send

if TYPE_CHECKING:
    from ciplug.mlflow.view import View

QUIET_SECONDS = 2.0
_SEND_EVERY = 1.0
_SEND_AGAIN = 15.0
"""Seconds after which a server tries again what the store has refused."""


class Sender:
    """Sends everything of a place that is sealed."""

    def __init__(self, place: View, changes: Changes, has_runs: Callable[[], bool]) -> None:
        """
        Args:
            has_runs: whether this process has a run open, for which the thread of a server goes on.
        """
        self._place = place
        self._changes = changes
        self._has_runs = has_runs
        self._thread: threading.Thread | None = None
        self._refused: str | None = None
        """Why the store did not take what was sent last."""

    def send(self) -> None:
        """Send everything that is sealed. What is refused waits, and a note says how it is sent."""
        place = self._place
        with place.lock:
            self._changes.seal_all(QUIET_SECONDS if place.is_server else 0.0)
            if place.session.env.get("CIPLUG_RUN_DIR"):
                return  # The command around sends all together.
            if not place.session.context.trusted:
                return
            try:
                sent = send(place.session)
            except CiplugError as problem:
                # A server tries again and again, and says so once.
                if problem.message != self._refused:
                    console.tell([problem_note(problem)])
                self._refused = problem.message
                return
            self._refused = None
            place.journals.forget([one.folder for one in sent])
            for one in sent:
                place.journals.sent.update(one.objects)

    def awake(self) -> None:
        """Have a server send what is sealed, each second."""
        if not self._place.is_server or (self._thread is not None and self._thread.is_alive()):
            return
        self._thread = threading.Thread(target=self._send_on, name="ciplug-sender", daemon=True)
        self._thread.start()

    def _send_on(self) -> None:
        idle = 0
        told = ""
        while idle < 60:
            time.sleep(_SEND_EVERY if self._refused is None else _SEND_AGAIN)
            with self._place.lock:
                self._changes.seal_all(QUIET_SECONDS)
                waits = self._place.spool.sealed(self._place.session.spooled_for)
            idle = 0 if waits or self._changes or self._has_runs() else idle + 1
            if waits:
                try:
                    self.send()
                except Exception as problem:  # The thread must live: what waits is tried again.
                    if str(problem) != told:
                        told = str(problem)
                        console.tell([Note(f"ciplug: not sent: {problem}")])
