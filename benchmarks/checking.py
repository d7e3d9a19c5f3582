"""What it costs to check a whole store: `ciplug fsck` in a git store, and the check of an object store.

And what it costs to read two runs of the latter.

Facts of one run: seconds of CPU and the peak of memory, of ciplug and of the git processes that it starts, each by
itself; requests and bytes as the server saw them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from benchmarks.measuring import Fact, Result, Skipped, call
from benchmarks.places import Clones, Tools, scratch, server, stored_runs
from ciplug.records.canonical import dumps
from ciplug.records.keys import run_key
from ciplug.steps.object_checks import ObjectChecks
from ciplug.stores.bucket.base import Bucket, Listed
from ciplug.stores.bucket.opening import open_bucket
from ciplug.stores.bucket.store import ObjectStore

AIM_MS, AIM_REQUESTS, AIM_MIB, AIM_GETS, AIM_GETS_OF_TWO = 0.2, 15, 200, 1.1, 10
_AT_ONCE = 1000

# In a process of its own, so that the peak is that of this command.
_CHILD = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], capture_output=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([done.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, done.stderr.decode()[-500:]]))
"""


def usage(argv: Sequence[str], cwd: Path, env: dict[str, str]) -> tuple[float, float]:
    """Seconds of CPU of a command and of all that it starts, and MiB of the largest of these processes."""
    code, seconds, mebibytes, words = json.loads(call([sys.executable, "-c", _CHILD, *argv], cwd, env))
    if code:
        raise RuntimeError(f"{' '.join(argv)}: exit code {code}: {words}")
    return seconds, mebibytes


def measure(tools: Tools, *, pairs: int, quick: bool) -> Iterator[Result | Fact | Skipped]:
    few = 0.0
    for runs in (3, 30) if quick else (1_000, 10_000, 100_000):
        with scratch() as folder, server(folder, runs) as git:
            clone = Clones(folder / "clones", git).fresh()
            git.requests.clear()
            seconds, mebibytes = usage([*tools.ciplug, "fsck", "--quiet"], clone, tools.env)
            size = sum(request.bytes_in + request.bytes_out for request in git.requests)
            beyond = (
                f"; {1000 * (seconds - few) / runs:.2f} ms a run beyond the smallest, aim: {AIM_MS} ms" if few else ""
            )
            yield Fact(
                f"`ciplug fsck`, {runs:,} runs in git",
                f"{seconds:.2f} s of CPU",
                f"{len(git.requests)} requests (aim: {AIM_REQUESTS}), {size / 1024:,.0f} KiB; "
                f"peak {mebibytes:.0f} MiB (aim: {AIM_MIB}){beyond}; one run",
            )
            few = few or seconds
    yield from _object_store(60 if quick else 60_000)


class Counted:
    """A bucket that counts what is read of it."""

    def __init__(self, bucket: Bucket) -> None:
        self.address = bucket.address
        self.read: list[str] = []
        self._bucket = bucket
        self.create, self.put, self.upload = bucket.create, bucket.put, bucket.upload
        self.size, self.version, self.part, self.delete = bucket.size, bucket.version, bucket.part, bucket.delete

    def get(self, name: str) -> bytes | None:
        self.read.append(name)
        return self._bucket.get(name)

    def list(self, folder: str) -> list[Listed]:
        return self._bucket.list(folder)


def _object_store(runs: int) -> Iterator[Fact]:
    with scratch() as folder:
        (folder / "store").mkdir()
        bucket = open_bucket((folder / "store").as_uri(), {})
        made, last = stored_runs(runs), dict[str, bytes]()
        while some := list(islice(made, _AT_ONCE)):
            store = ObjectStore(bucket, uri="file:", cache=folder / "cache")
            store.add(last := {run_key(run).key: dumps(run) for run in some})
            store.compact()
        counted, checks = Counted(bucket), ObjectChecks()
        store = ObjectStore(counted, uri="file:", cache=folder / "empty")
        if (problems := store.check(visit=checks.take)) or checks.runs != runs:
            raise RuntimeError(f"{checks.runs} of {runs} runs, {len(problems)} problems")
        segments, folds = len(store.segments()), -(-runs // _AT_ONCE)
        results = sum(entry.name.endswith(".done") for entry in bucket.list("index"))
        yield Fact(
            f"check of an object store of {runs:,} runs",
            f"{len(counted.read) / segments:.2f} GETs a segment",
            f"aim: {AIM_GETS}; {segments:,} segments, {results} results of {folds:,} folds, no cache; one run",
        )
        counted.read.clear()
        two = list(last)[-2:]
        if len(ObjectStore(counted, uri="file:", cache=folder / "another").read(two)) != len(two):
            raise RuntimeError("the last two runs are not in the store")
        yield Fact(
            f"two runs of an object store of {runs:,} runs",
            f"{len(counted.read)} GETs",
            f"aim: {AIM_GETS_OF_TWO}; {results} results of {folds:,} folds, and the segments; no cache",
        )
