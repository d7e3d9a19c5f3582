"""A process that writes a store, for the tests that kill it: `python -m tests.worker URI VERB FIRST END`.

It imports little, so that it spends its time on the store.
"""

from __future__ import annotations

import os
import sys

from ciplug.errors import Conflict
from ciplug.records.registry_event import Register
from ciplug.records.run import Run
from ciplug.records.series import Series
from ciplug.registry import events, ledger
from ciplug.stores import open_store
from ciplug.stores.base import Store
from ciplug.tracking.run_objects import run_objects

MODEL = "wine"
COMMIT = "a" * 40
STAMP = "2026-11-23T19:24:00.000Z"


def runs_of(numbers: range) -> dict[str, bytes]:
    """Runs as they are recorded, each with its series."""
    objects = {}
    for number in numbers:
        run = Run(
            id=f"{number:032x}",
            model=MODEL,
            status="finished",
            started=STAMP,
            ended=STAMP,
            commit=COMMIT,
            metrics={"accuracy": number / 1000},
        )
        objects |= run_objects(run, {"loss": Series((0, 1), (0.5, float(number)))})
    return objects


def register(store: Store, name: str) -> int:
    """Append one event, as promotions do: who loses a race looks again. Returns how often it lost."""
    for lost in range(200):
        log = ledger.read(store, MODEL)
        if any(event.payload["run"] == name for event in log.events):
            return lost
        event = events.wrap(Register(version=len(log.events) + 1, run=name), model=MODEL, created=STAMP)
        try:
            ledger.append(store, log, event)
        except Conflict:
            continue
        return lost
    raise AssertionError("each time another writer was first")


def main(uri: str, verb: str, first: str, end: str) -> None:
    store = open_store(uri, None, os.environ)
    if verb == "add":
        store.add(runs_of(range(int(first), int(end))))
    elif verb == "compact":
        store.compact()
    else:
        register(store, first)


if __name__ == "__main__":
    main(*sys.argv[1:])
