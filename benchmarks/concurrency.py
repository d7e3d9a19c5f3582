"""What it costs when many jobs record at once, by as many bare pushes to refs of their own; and that none is lost.

Ours: 64 processes of `ciplug record`, each in a fresh clone; and 64 writes to the store from one process, since the
processes that share two cores here have machines of their own in a pipeline. The floor: 64 processes of `git push`,
each of one commit that is ready, to a ref of its own: no writer that shares a place with others can do with less.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.measuring import Arm, Result, Skipped, call, environment, interleave
from benchmarks.places import PROJECT, Clones, Tools, scratch, server, write_metrics
from ciplug.stores.git.store import GitStore
from tests.servers.git_http import GitServer


def measure(tools: Tools, *, pairs: int, quick: bool) -> Iterator[Result | Skipped]:
    writers, runs = (2, 3) if quick else (64, 100)
    record = [*tools.ciplug, "record", "--quiet", "--metrics", "metrics.json"]
    for latency in (0.0, 0.02 if quick else 0.2):
        with scratch() as folder, server(folder, runs) as git:
            clones = Clones(folder / "clones", git)

            def place(folder: Path = folder, clones: Clones = clones) -> Path:
                return _places(folder, clones, writers)

            def push(place: Path) -> None:
                _at_once(place, ["git", "push", "--quiet", "origin", "HEAD:refs/floor/{number}"], environment())

            def commands(place: Path, git: GitServer = git) -> None:
                _none_lost(git, writers, lambda: _at_once(place, record, tools.env))

            def writes(place: Path, git: GitServer = git) -> None:
                _none_lost(git, writers, lambda: _add_at_once(place, git.url(PROJECT)))

            git.latency = latency
            for what, ours in (("`ciplug record`", commands), ("writes to the store", writes)):
                taken, floor = interleave(Arm(place, ours), Arm(place, push), max(1, pairs // 3))
                name = f"{writers} {what} at once, {latency * 1000:.0f} ms a request"
                yield Result(name, taken, f"{writers} `git push` to refs of their own", floor, 1.5, "0 lost")


def _none_lost(git: GitServer, writers: int, record: Callable[[], object]) -> None:
    before = _pending(git)
    record()
    if (new := _pending(git) - before) != writers:
        raise RuntimeError(f"{writers} runs were recorded, and the store has {new} more")


def _pending(git: GitServer) -> int:
    return call(["git", "for-each-ref", "--format=x", "refs/ciplug/inbox"], git.path(PROJECT)).count(b"x")


def _add_at_once(place: Path, url: str) -> None:
    """What a recorder does beside starting Python: one write each, all from one process."""

    def add(clone: Path) -> None:
        store = GitStore(url, uri=url, branch="ciplug", cache=clone / ".git" / "ciplug", config=())
        key = hashlib.sha256(os.fsencode(os.path.realpath(clone))).hexdigest()
        store.add({f"runs/{key[:40]}-{key[32:]}.json": b'{"metrics":{"accuracy":0.9}}\n'})

    clones = sorted(place.iterdir())
    with ThreadPoolExecutor(len(clones)) as pool:
        list(pool.map(add, clones))


def _places(scratch: Path, clones: Clones, writers: int) -> Path:
    """A folder with a link to a fresh clone for each writer, a commit of its own in each."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    for number in range(writers):
        clone = clones.fresh()
        write_metrics(clone, 0.9 + number / 1000)
        call(["git", "commit", "--quiet", "--allow-empty", "--message", str(number)], clone)
        (folder / str(number)).symlink_to(clone)
    return folder


def _at_once(place: Path, argv: Sequence[str], env: dict[str, str]) -> None:
    started = [
        subprocess.Popen(
            [word.replace("{number}", f"{place.name}-{clone.name}") for word in argv],
            cwd=os.path.realpath(clone),
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for clone in sorted(place.iterdir())
    ]
    for process in started:
        _, words = process.communicate()
        if process.returncode:
            raise RuntimeError(f"{argv[0]} ended with {process.returncode}: {words.decode(errors='replace')}")
