"""A project with runs of every kind for the site: series, images, withdrawn and forks' runs, hostile names."""

from __future__ import annotations

import hashlib
import math
import os
import struct
import zlib
from dataclasses import replace
from pathlib import Path

from ciplug.records.amendment import Amendment
from ciplug.records.keys import amendment_object, run_key
from ciplug.records.provenance import Context, Provenance
from ciplug.records.run import File, Run
from ciplug.records.series import Series
from ciplug.steps.session import open_session
from ciplug.tracking.run_objects import run_objects
from tests.project import Project, git

CONFIG = """\
version: 1
model: wine
metrics: metrics.json
gates:
  accuracy: {higher_is_better: true, min: 0.8, max_regression: 0.01}
"""
HOSTILE = '</script><img src=x onerror="window.hacked=1">\u2028__proto__\'; window.hacked=1; //'
"""A name that tries to leave the script, the attribute or the element that it is put into."""
NOISE = (0.0, 0.001, -0.002, 0.002, -0.001)


def picture(seed: int, width: int = 120, height: int = 80) -> bytes:
    """A PNG with stripes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    lines = b"".join(b"\0" + bytes((x * (seed + 2) + y) % 256 for x in range(width)) for y in range(height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def run_of(number: int, commit: str | None, **more: object) -> Run:
    """A run; the higher its number, the later it started."""
    moment = f"2026-11-{number // 24 % 28 + 1:02}T{number % 24:02}:00:00.000Z"
    run = Run(
        id=hashlib.sha256(str(number).encode()).hexdigest()[:32],
        model="wine",
        status="finished",
        started=moment,
        ended=moment,
        commit=commit,
        params={"depth": number % 6 + 2, "lr": 10 ** -(number % 3 + 1), "optimizer": ("adam", "sgd")[number % 2]},
        metrics={"accuracy": 0.9, "loss": 0.4, "latency_ms": 20.0 + number},
        tags={"team": "red" if number % 2 else "blue"},
        provenance=Provenance(dirty=False, context=Context(branch="main", host="local", actor="ann@example.com")),
    )
    return replace(run, **more)  # type: ignore[arg-type]


def steps(number: int, points: int = 40) -> dict[str, Series]:
    """Curves that fall and rise."""
    at = tuple(range(points))
    loss = tuple(math.exp(-step / 12) + 0.02 * (number % 5) for step in at)
    accuracy = tuple(0.95 - 0.5 * math.exp(-step / (8 + number % 5)) for step in at)
    return {"loss": Series(at, loss), "accuracy": Series(at, accuracy)}


class SiteProject(Project):
    """Twenty commits, each with a run; the fifteenth lost three points."""

    runs: list[Run]
    marked: dict[str, Run]
    """Mark → a run that has it."""
    sweep: Run
    trials: list[Run]


def site_project(folder: Path) -> SiteProject:
    """The project, in `folder/work`, with its remote."""
    git(folder, "init", "-q", "--bare", "-b", "main", "remote.git")
    project = SiteProject.create(folder / "work", remote=folder / "remote.git", config=CONFIG)
    commits = [project.head, *(project.commit(f"Change number {number}") for number in range(1, 20))]
    project.push()
    session = open_session(cwd=project.folder, env=dict(os.environ))
    images = project.folder / "plots"
    images.mkdir()
    runs, objects = [], {}
    for at, commit in enumerate(commits):
        level = (0.92 if at < 15 else 0.89) + NOISE[at % 5]
        run = run_of(at, commit, metrics={**run_of(at, commit).metrics, "accuracy": level, "loss": 1 - level})
        if at >= 17:
            data = picture(at)
            (images / "confusion.png").write_bytes(data)
            file = File(
                path="plots/confusion.png",
                digest=f"sha256:{hashlib.sha256(data).hexdigest()}",
                size=len(data),
                store="git:",
            )
            session.files_at("git:").put({file.digest: images / "confusion.png"}, lambda count: None)
            run = replace(run, artifacts=(file,))
        runs.append(run)
        objects.update(run_objects(run, steps(at)))
    hostile = run_of(
        30,
        commits[-1],
        model=HOSTILE[:100].replace("/", "|").replace("\u2028", " ").replace(":", ";"),
        name=HOSTILE,
        params={HOSTILE: HOSTILE, "__proto__": "polluted", "constructor": "x"},
        tags={HOSTILE: HOSTILE},
        metrics={"__proto__": 1.0, HOSTILE.replace("\u2028", " "): 2.0, "nan": math.nan, "infinite": math.inf},
        provenance=Provenance(dirty=False, context=Context(branch=HOSTILE, host="local", actor=HOSTILE)),
    )
    objects.update(run_objects(hostile, {HOSTILE: Series((0, 1, 2), (1.0, math.nan, 2.0))}))
    marked = {
        "failed": run_of(31, commits[3], status="failed"),
        "dirty": run_of(32, commits[4], provenance=Provenance(dirty=True)),
        "fork": run_of(33, commits[5], provenance=Provenance(dirty=False, context=Context(trusted=False))),
        "child": run_of(34, commits[6], parent=runs[6].id),
        "withdrawn": run_of(35, commits[7]),
        "deleted": run_of(36, commits[8]),
    }
    # A sweep: the second trial is the best, and the third has lost its accuracy.
    sweep = run_of(40, commits[10], metrics=runs[10].metrics)
    found = ({"accuracy": 0.91, "loss": 0.3}, {"accuracy": 0.94, "loss": 0.2}, {"loss": 0.1})
    trials = [
        run_of(
            41 + at,
            commits[10],
            parent=sweep.id,
            name=f"trial {at}",
            params={"depth": at + 1, "lr": 0.1},
            metrics=metrics,
        )
        for at, metrics in enumerate(found)
    ]
    for run in (*marked.values(), sweep, *trials):
        objects.update(run_objects(run))
    for mark, fields in (
        ("withdrawn", {"withdrawn": True, "reason": "wrong labels"}),
        ("deleted", {"lifecycle": "deleted"}),
    ):
        run = marked[mark]
        amendment = Amendment(
            run=run.id, commit=run.commit, model=run.model, seq=1, by="ann", created="2026-11-29T00:00:00Z", **fields
        )
        key, data = amendment_object(amendment)
        objects[key.key] = data
    session.store.add(objects)
    git(project.folder, "clean", "-fdq")
    project.runs, project.marked = [*runs, hostile], marked
    project.sweep, project.trials = sweep, trials
    return project


def key_of(run: Run) -> str:
    return run_key(run).key
