"""What a comparison costs in a store of a size, by a bare fetch of the store's branch.

Ours: `ciplug compare` as the job of a pull request runs it: a fresh process, a fresh clone one commit deep, no
cache of ours, so that it fetches the history, the store's index and two records; the two runs still pending.
The floor: `git fetch --depth=1 origin ciplug` in an empty repository: all records, and nothing made of them.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.measuring import Arm, Fact, Result, Skipped, call, interleave
from benchmarks.places import Clones, Tools, packed_size, scratch, server, write_metrics
from tests.servers.git_http import GitServer

# A pull request's job, as far as the choice of the baseline needs it.
JOB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_EVENT_NAME": "pull_request",
    "GITHUB_HEAD_REF": "better",
    "GITHUB_BASE_REF": "main",
}


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


def measure(tools: Tools, *, pairs: int, quick: bool) -> Iterator[Result | Fact | Skipped]:
    for runs in (30,) if quick else (100, 100_000):
        with scratch() as folder, server(folder, runs) as git:
            for branch, accuracy in (("main", 0.913), ("better", 0.921)):
                clone = Clones(folder / branch, git, branch).fresh()
                write_metrics(clone, accuracy)
                call([*tools.ciplug, "record", "--quiet"], clone, tools.env)
            clones = Clones(folder / "clones", git)

            def compare(clone: Path) -> None:
                said = call([*tools.ciplug, "compare"], clone, {**tools.env, **JOB})
                if b"0.913" not in said or b"0.921" not in said:
                    raise RuntimeError(f"the two runs are not in this comparison:\n{said.decode()}")

            def fetch(clone: Path) -> None:
                call(["git", "fetch", "--quiet", "--depth=1", "origin", "ciplug"], clone)

            ours, bare = Traffic(git, compare), Traffic(git, fetch)
            taken, floor = interleave(Arm(clones.fresh, ours), Arm(clones.empty, bare), pairs)
            notes = f"{ours}; the floor: {bare}"
            name = f"`ciplug compare`, {runs:,} runs in the store"
            yield Result(name, taken, "bare `git fetch` of the branch", floor, None, notes)
            packed, records = packed_size(runs)
            yield Fact(
                f"disk of {runs:,} runs in git",
                f"{packed / runs:,.0f} bytes a run",
                f"records of {records / runs:,.0f} bytes, with columns and INDEX, packed as a forge does",
            )
