"""What a comparison costs in a store of a size, by a bare fetch of the store's branch.

Ours: `ciplug compare` in a fresh process and a fresh clone, with no cache of ours, the two runs still pending.
The floor: `git fetch --depth=1 origin ciplug` in an empty repository: all records, and nothing made of them.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.measuring import Arm, Result, Skipped, call, interleave
from benchmarks.places import Clones, Tools, scratch, server, write_metrics
from tests.servers.git_http import GitServer


class Traffic:
    """Requests and bytes that went over the wire in each call of a function."""

    def __init__(self, git: GitServer, timed: Callable[[Path], object]) -> None:
        self._git = git
        self._timed = timed
        self._seen: list[tuple[int, int]] = []

    def __call__(self, place: Path) -> None:
        before = len(self._git.requests)
        self._timed(place)
        new = self._git.requests[before:]
        self._seen.append((len(new), sum(request.bytes_in + request.bytes_out for request in new)))

    def __str__(self) -> str:
        requests, size = (statistics.median(column) for column in zip(*self._seen, strict=True))
        return f"{requests:.0f} requests, {size / 1024:,.0f} KiB"


def measure(tools: Tools, *, pairs: int, quick: bool) -> Iterator[Result | Skipped]:
    for runs in (3, 30) if quick else (100, 100_000):
        with scratch() as folder, server(folder, runs) as git:
            for branch, accuracy in (("main", 0.913), ("better", 0.921)):
                clone = Clones(folder / branch, git, branch).fresh()
                write_metrics(clone, accuracy)
                call([*tools.ciplug, "record", "--quiet"], clone, tools.env)
            clones = Clones(folder / "clones", git)
            ours = Traffic(git, lambda clone: call([*tools.ciplug, "compare", "origin/main"], clone, tools.env))
            bare = Traffic(git, lambda clone: call(["git", "fetch", "--quiet", "--depth=1", "origin", "ciplug"], clone))
            taken, floor = interleave(Arm(clones.fresh, ours), Arm(clones.empty, bare), pairs)
            notes = f"{ours}; the floor: {bare}"
            yield Result(f"`ciplug compare`, {runs:,} runs in the store", taken, "bare fetch of the branch", floor, None, notes)
