"""What this machine knows beside the store: open runs and changes, and what is sealed and waits to be sent."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ciplug.capture.log import Reader
from ciplug.capture.logged import Logged
from ciplug.capture.sealed import SEALED, read_sealed
from ciplug.capture.spool import Spool
from ciplug.capture.writer import ENDING, OPEN, read_facts, run_of
from ciplug.records.keys import amended_run, parse_beside, parse_late_inputs, parse_late_series, parse_run


@dataclass
class Local:
    """What this machine has of a run, an experiment or a logged model."""

    objects: dict[str, bytes] = field(default_factory=dict)
    """Sealed, or sent by this process a moment ago."""
    begun: Mapping[str, Any] | None = None
    """The facts of the beginning of an open run."""
    logged: Logged = field(default_factory=Logged)
    """What the open run has logged."""
    sessions: list[Logged] = field(default_factory=list)
    """What was changed about one that is recorded, and is not sealed yet."""
    folders: list[Path] = field(default_factory=list)
    """Where it is in the spool."""


class Journals:
    """The entries of a spool, read again at every question: each time only what is new."""

    def __init__(self, spool: Spool, store: str) -> None:
        self._spool = spool
        self._store = store
        self._open: dict[Path, tuple[object, Mapping[str, Any], Reader]] = {}
        self._sealed: dict[Path, Mapping[str, bytes]] = {}
        self._known: set[Path] = set()
        self._own: set[Path] = set()
        self.sent: dict[str, bytes] = {}
        """Objects that this process has sent since the store was last read."""
        self.lost = False
        """Whether an entry has gone that another process has sent: the store must be asked again."""

    def read(self) -> dict[str, Local]:
        """Return id → what is here."""
        found: dict[str, Local] = {}
        seen: set[Path] = set()
        for folder in self._spool.entries():
            names = _names(folder)
            if SEALED in names:
                self._take_sealed(folder, found)
            elif OPEN in names or ENDING in names:
                self._take_open(folder, folder / (OPEN if OPEN in names else ENDING), found)
            else:
                continue
            seen.add(folder)
        if self._known - seen - self._own:
            self.lost = True
        self._own -= seen
        self._known = seen
        for gone in [folder for folder in {*self._open, *self._sealed} if folder not in seen]:
            self._open.pop(gone, None)
            self._sealed.pop(gone, None)
        for key, data in self.sent.items():
            if subject := subject_of(key):
                found.setdefault(subject, Local()).objects[key] = data
        return found

    def forget(self, folders: list[Path]) -> None:
        """Take note that this process has sent these entries."""
        self._own.update(folders)

    def drop(self, ids: Collection[str]) -> None:
        """Forget what this process has sent of these: it was removed from the store."""
        self.sent = {key: data for key, data in self.sent.items() if subject_of(key) not in ids}

    def _take_sealed(self, folder: Path, found: dict[str, Local]) -> None:
        if folder not in self._sealed:
            sealed = read_sealed(folder)
            if sealed is None:
                return
            self._sealed[folder] = sealed.objects if sealed.store == self._store else {}
        for key, data in self._sealed[folder].items():
            if subject := subject_of(key):
                local = found.setdefault(subject, Local())
                local.objects[key] = data
                if folder not in local.folders:
                    local.folders.append(folder)

    def _take_open(self, folder: Path, facts_file: Path, found: dict[str, Local]) -> None:
        try:
            status = facts_file.stat()
        except OSError:
            return
        mark = (status.st_ino, status.st_mtime_ns)
        if folder not in self._open or self._open[folder][0] != mark:
            begun = read_facts(facts_file)
            if not begun:
                return
            self._open[folder] = (mark, begun, Reader(folder))
        _, facts, reader = self._open[folder]
        local = found.setdefault(run_of(folder.name), Local())
        local.folders.append(folder)
        if facts.get("amends"):
            local.sessions.append(reader.logged())
        elif facts.get("run"):
            local.begun, local.logged = facts["run"], reader.logged()


def subject_of(key: str) -> str | None:
    """Return the id of the run, experiment or logged model that an object is about."""
    run = parse_run(key) or amended_run(key)
    if run is not None:
        return run.id
    late = parse_late_series(key) or parse_late_inputs(key)
    if late is not None:
        return late.run
    beside = parse_beside(key)
    return beside.id if beside is not None else None


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 (ten times as fast)
    except OSError:
        return []
