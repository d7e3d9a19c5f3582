"""What recording a run costs, by the least that git alone needs to put one file on a server.

Ours: `ciplug record --metrics metrics.json` in a fresh process and a fresh clone, with no cache of ours.
The floor: what adding a line to a branch that others write to takes by git alone, in a clone that is whole and
warm: `git fetch origin` (another job has written meanwhile), `git merge --ff-only`, `git add`, `git commit`,
`git push origin`. A real job's clone would be fresh, and its fetch would find the whole branch.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring import Arm, Result, Skipped, call, interleave
from benchmarks.places import PROJECT, Clones, Tools, scratch, server, write_metrics


def measure(tools: Tools, *, pairs: int, quick: bool) -> Iterator[Result | Skipped]:
    for runs in (30,) if quick else (100, 100_000):
        with scratch() as folder, server(folder, runs) as git:
            clones = Clones(folder / "clones", git)
            plain, other = folder / "plain", folder / "other"
            call(["git", "clone", "--quiet", git.url(PROJECT), str(plain)], folder)
            call(["git", "checkout", "--quiet", "-b", "notes"], plain)
            commit_and_push(plain)
            call(
                ["git", "clone", "--quiet", "--single-branch", "--branch=notes", str(git.path(PROJECT)), str(other)],
                folder,
            )

            def prepare(clones: Clones = clones) -> Path:
                clone = clones.fresh()
                write_metrics(clone, 0.93)
                return clone

            def record(clone: Path) -> None:
                call([*tools.ciplug, "record", "--quiet", "--metrics", "metrics.json"], clone, tools.env)

            def let_another_write(plain: Path = plain, other: Path = other) -> Path:
                call(["git", "pull", "--quiet", "--ff-only"], other)
                commit_and_push(other)
                return plain

            def fetch_commit_push(clone: Path) -> None:
                call(["git", "fetch", "--quiet", "origin"], clone)
                call(["git", "merge", "--quiet", "--ff-only", "origin/notes"], clone)
                commit_and_push(clone)

            for latency, aim in ((0.0, 1.25), (0.02 if quick else 0.2, 0.6)):
                git.latency = latency
                ours, floor = interleave(Arm(prepare, record), Arm(let_another_write, fetch_commit_push), pairs)
                name = f"`ciplug record`, {runs:,} runs in the store, {latency * 1000:.0f} ms a request"
                yield Result(name, ours, "`git fetch` + commit + `git push`", floor, aim)


def commit_and_push(clone: Path) -> None:
    """Add one line to a file of the branch `notes`."""
    with (clone / "notes.txt").open("a") as notes:
        notes.write("one more\n")
    call(["git", "add", "notes.txt"], clone)
    call(["git", "commit", "--quiet", "--message", "one more"], clone)
    call(["git", "push", "--quiet", "origin", "notes"], clone)
