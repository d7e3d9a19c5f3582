"""What a large policy costs: `ciplug ci` of a branch with 1,200 gates, by the same with 5. Seconds of CPU."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks.checking import usage
from benchmarks.measuring import Fact, Result, Skipped, Timing, call
from benchmarks.places import Tools, scratch

FEW, MANY = 5, 1200
AIM = 1.5


def measure(tools: Tools, *, pairs: int, quick: bool) -> Iterator[Result | Fact | Skipped]:
    many = 30 if quick else MANY
    with scratch() as folder:
        places = {gates: _project(folder / str(gates), gates) for gates in (FEW, many)}
        for place in places.values():
            usage([*tools.ciplug, "ci", "--quiet"], place, tools.env)
            call(["git", "checkout", "--quiet", "-b", "better"], place)
        taken: dict[int, list[float]] = {gates: [] for gates in places}
        for number in range(pairs):
            for gates, place in places.items():
                # A commit with files of its own: runs of the same files are judged with it, more and more of them.
                (place / "notes.txt").write_text(f"Round {number}\n")
                call(["git", "add", "notes.txt"], place)
                call(["git", "commit", "--quiet", "--message", f"Round {number}"], place)
                taken[gates].append(usage([*tools.ciplug, "ci", "--quiet"], place, tools.env)[0])
        ours, floor = Timing(tuple(taken[many])), Timing(tuple(taken[FEW]))
        yield Result(f"`ciplug ci`, {many:,} gates of two rules, CPU", ours, f"the same with {FEW}", floor, AIM)


def _project(folder: Path, gates: int) -> Path:
    """A checkout and its remote on this disk."""
    work = folder / "work"
    work.mkdir(parents=True)
    call(["git", "init", "--quiet", "--bare", "remote.git"], folder)
    call(["git", "init", "--quiet", "--initial-branch=main"], work)
    call(["git", "remote", "add", "origin", str(folder / "remote.git")], work)
    rule = "{higher_is_better: true, min: 0.5, max_regression: 0.01}"
    lines = ["version: 1", "model: wine", "metrics: metrics.json", "gates:"]
    lines += [f"  m{number}: {rule}" for number in range(gates)]
    (work / "ciplug.yaml").write_text("\n".join(lines) + "\n")
    (work / "metrics.json").write_text(json.dumps({f"m{number}": 0.9 for number in range(gates)}))
    call(["git", "add", "--all"], work)
    call(["git", "commit", "--quiet", "--message", "main"], work)
    call(["git", "push", "--quiet", "origin", "main"], work)
    return work
