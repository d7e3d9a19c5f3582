"""Writers, a compactor, promotions and a reader at one store, together, and what must be there afterwards."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar

from ciplug.errors import StoreError
from ciplug.registry import ledger
from tests.stores import Place
from tests.worker import MODEL, register, runs_of

T = TypeVar("T")


def persist(action: Callable[[], T]) -> T:
    """Do it until it is done, as the spool does with what was not sent: some connections break three times."""
    for _ in range(20):
        with suppress(StoreError):
            return action()
    return action()


def crowd(place: Place, *, writers: int, promoters: int = 2, promotions: int = 6) -> set[str]:
    """Each writer adds one run, each promoter some events, whose names are returned."""
    ended = threading.Event()

    def fold() -> None:
        while not ended.wait(0.2):
            persist(place.open(cache=place.folder / "folder").compact)

    def promote(number: int) -> list[str]:
        names = [f"{number}-{one}" for one in range(promotions)]
        for name in names:
            persist(partial(register, place.open(cache=place.folder / f"promoter-{number}"), name))
        return names

    def watch() -> None:
        """What a reader has once seen, a later reader sees too."""
        seen: set[str] = set()
        while not ended.wait(0.1):
            keys = set(persist(partial(place.open(cache=place.folder / "reader").keys, "runs/")))
            assert seen <= keys
            seen = keys

    with ThreadPoolExecutor(writers + promoters + 2) as pool:
        background = [pool.submit(fold), pool.submit(watch)]
        jobs = [pool.submit(persist, partial(place.open().add, runs_of(range(n, n + 1)))) for n in range(writers)]
        promoting = [pool.submit(promote, number) for number in range(promoters)]
        try:
            for job in jobs:
                job.result()
            events = {name for job in promoting for name in job.result()}
        finally:
            ended.set()
        for job in background:
            job.result()
    return events


def check(place: Place, runs: int, events: set[str]) -> None:
    """The place is sound, and a reader who has never been here finds each fact once, before a fold and after it."""
    everything = runs_of(range(runs))
    for _ in ("before", "after"):
        place.check()
        store = place.open(may_fold=False)
        assert store.keys("runs/") == sorted(everything)
        assert store.read(everything) == everything
        found = [event.payload["run"] for event in ledger.read(store, MODEL).events]  # its chain is verified
        assert len(found) == len(set(found))
        assert set(found) == events
        place.open().compact()
    assert place.open().compact() == 0
    assert fsck(place).returncode == 0


def fsck(place: Place, *options: str) -> subprocess.CompletedProcess[str]:
    """`ciplug fsck`, as a process with an empty cache: in a repository, it would have that repository's."""
    command = [sys.executable, "-m", "ciplug", "fsck", "--store", place.uri, *options]
    return subprocess.run(command, cwd=place.folder, env=place.environment(), capture_output=True, text=True)
