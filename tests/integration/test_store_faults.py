"""Many at once, processes killed at any moment, disks that are full, clocks that are wrong, at every place that a store
can be: no fact is lost, none is doubled."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ciplug.records.canonical import dumps
from tests.crowd import check, crowd, fsck
from tests.project import MODEL as MODEL_FILE
from tests.project import Project, git
from tests.stores import ENGINES, Place, at_places, slow
from tests.worker import MODEL, runs_of

# Many at once


@pytest.mark.slow
@at_places()
def test_writers_a_compactor_and_promotions_together(place: Place) -> None:
    check(place, 64, crowd(place, writers=64))


@at_places("processes", first=[slow(64)], others=[8])
def test_as_many_processes_record_as_many_runs(tmp_path: Path, place: Place, processes: int) -> None:
    """The legs of a matrix: each a checkout of its own, none waits for another, the last job sees them all."""
    origin = Project.create(tmp_path / "origin")
    legs = [tmp_path / f"leg-{number}" for number in range(processes)]
    for number, leg in enumerate(legs):
        git(tmp_path, "clone", "-q", "--shared", str(origin.folder), str(leg))
        (leg / "metrics.json").write_text(json.dumps({"accuracy": number / 100}))
    env = {**os.environ, **place.env, "CIPLUG_STORE": place.uri}
    command = [sys.executable, "-m", "ciplug", "record"]
    workers = [subprocess.Popen(command, cwd=leg, env=env, stderr=subprocess.PIPE, text=True) for leg in legs]
    for worker in workers:
        _, said = worker.communicate()
        assert worker.returncode == 0, said
    table = origin.ciplug("runs", "list", "--limit", "0", env=env).stdout
    assert table.count("accuracy=") == processes
    for _ in ("before", "after"):
        runs = origin.json("runs", "list", "--limit", "0", "--json", env=env)
        assert sorted(run["metrics"]["accuracy"] for run in runs) == [number / 100 for number in range(processes)]
        origin.ciplug("compact", env=env)
    place.check()
    assert fsck(place).returncode == 0


# Killed


def start(place: Place, cache: Path, verb: str, numbers: range) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.worker", place.uri, verb, str(numbers.start), str(numbers.stop)],
        cwd=Path(__file__).parents[2],
        env=place.environment(cache),
        start_new_session=True,
        stderr=subprocess.PIPE,
    )


def kill(worker: subprocess.Popen[bytes], *, with_children: bool) -> None:
    """kill -9: of the process alone, and what it has started lives on for a while, or of all of them."""
    if with_children:
        os.killpg(worker.pid, signal.SIGKILL)
    else:
        worker.kill()
    worker.communicate()


def duration(worker: subprocess.Popen[bytes]) -> float:
    began = time.perf_counter()
    _, said = worker.communicate()
    assert worker.returncode == 0, said.decode()
    return time.perf_counter() - began


# With those of recording below, over 170 points: of four processes.
@at_places("points", first=[slow(22)], others=[4])
@pytest.mark.parametrize("verb", ["add", "compact", "append"])
def test_killed_at_any_moment(place: Place, verb: str, points: int) -> None:
    """The next process, with the cache that the killed one left, finishes the work; a compactor's, another's work."""
    cache = place.folder / "killed"
    chance = random.Random(7)
    runs, events = 0, set()
    if verb == "append":
        events = {"0", *(str(point) for point in range(points))}
    if verb == "compact":
        # Each of these costs as much as three of the others.
        points //= 2
    whole = duration(start(place, place.folder / "warm-up", verb, range(0, 1)))
    if verb == "add":
        runs = 1
    for point in range(points):
        numbers = range(point, point + 1)
        if verb == "compact":
            # So many that some folds close a segment.
            for more in (200, 1):
                place.open(may_fold=False).add(runs_of(range(runs, runs + more)))
                runs += more
        elif verb == "add":
            numbers = range(runs, runs + 3)
            runs += 3
        worker = start(place, cache, verb, numbers)
        time.sleep(chance.uniform(0.2, 1.1) * whole)
        kill(worker, with_children=bool(point % 2))
        if verb == "compact" and point % 3:
            assert len(place.open(may_fold=False).keys("runs/")) == 2 * runs
            continue
        duration(start(place, cache, verb, numbers))
    check(place, runs, events)


@pytest.mark.slow
@at_places("points", first=[2, slow(20)], others=[4], ids=ENGINES)
def test_recording_is_killed_at_any_moment(tmp_path: Path, place: Place, points: int) -> None:
    """A run that was on disk is recorded, once, whoever sends it; one that was not has said nothing."""
    project = Project.create(tmp_path / "work")
    env = {**os.environ, **place.env, "CIPLUG_STORE": place.uri}
    spool = project.folder / ".git/ciplug/spool"
    chance = random.Random(11)

    def record() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "ciplug", "record", "--metrics", "numbers.json"]
        return subprocess.Popen(command, cwd=project.folder, env=env, start_new_session=True, stderr=subprocess.PIPE)

    whole = duration(record())
    runs = 1
    for point in range(points):
        worker = record()
        time.sleep(chance.uniform(0.2, 1.1) * whole)
        kill(worker, with_children=bool(point % 2))
        waits = len(list(spool.glob("*/open.json")))
        ended = worker.returncode == 0
        project.ciplug("record", "--spooled", env=env)
        found = len(project.json("runs", "list", "--limit", "0", "--json", env=env))
        # Killed after the push and before it knew, it is recorded already; before it began, it is nothing.
        assert runs + max(waits, ended) <= found <= runs + 1
        assert not list(spool.glob("*/*.json"))
        runs = found
    place.check()
    assert fsck(place).returncode == 0


# No room


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a small disk takes the right to mount one")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def complains_of_room(done: subprocess.CompletedProcess[str]) -> bool:
    """Whether a command said that there is no room, and nothing that a user could not read."""
    assert "Traceback" not in done.stderr and "bug" not in done.stderr, done.stderr
    return any(words in done.stderr.lower() for words in ("no space left", "disk", "file too large"))


@at_places("command", first=[slow("run"), slow("record")], others=["run"], ids=ENGINES)
def test_a_full_disk_loses_nothing(tmp_path: Path, place: Place, command: str) -> None:
    """Checkout, cache and spool on a disk with ever less room: what was taken is recorded, the rest is refused."""
    env = {**os.environ, **place.env, "CIPLUG_STORE": place.uri, "TMPDIR": str(tmp_path / "disk/tmp")}
    numbers = tmp_path / "numbers.json"
    numbers.write_text('{"accuracy": 0.9}')
    training = [sys.executable, "-c", f"import os; os.utime({str(numbers)!r})"]
    arguments = [command, "--metrics", str(numbers), *(["--", *training] if command == "run" else [])]
    with small_disk(tmp_path / "disk", "4m"):
        (tmp_path / "disk/tmp").mkdir()
        project = Project.create(tmp_path / "disk/work")
        project.ciplug(*arguments, env=env)
        filler = tmp_path / "disk/filler"
        taken = 1
        for room in (64, 32, 12, 4, 0):
            filler.unlink(missing_ok=True)
            disk = os.statvfs(tmp_path / "disk")
            filler.write_bytes(bytes(max(0, disk.f_bavail * disk.f_frsize - room * 1024)))
            done = project.ciplug(*arguments, env=env, code=None)
            assert done.returncode == 0 or (done.returncode == 3 and complains_of_room(done)), (room, done.stderr)
            taken += done.returncode == 0 or "is kept in" in done.stderr
            listed = project.ciplug("runs", "list", env=env, code=None)
            assert listed.returncode == 0 or (listed.returncode == 3 and complains_of_room(listed)), listed.stderr
        filler.unlink()
        project.ciplug("record", "--spooled", env=env)
        found = project.json("runs", "list", "--limit", "0", "--json", env=env)
        finished = [run for run in found if run["status"] == "finished"]
        assert len(finished) >= taken
        project.ciplug(*arguments, env=env)
        assert len(project.json("runs", "list", "--limit", "0", "--json", env=env)) == len(found) + 1
        project.ciplug("compact", env=env)
    place.check()
    assert fsck(place).returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limits of that kind")
@at_places("limit", first=[400, slow(0), slow(3000)], others=[3000], ids=ENGINES)
def test_files_that_may_not_grow(tmp_path: Path, place: Place, limit: int) -> None:
    """The same without a mount: each write beyond the limit fails, as on a disk without room."""
    project = Project.create(tmp_path / "work")
    env = {**os.environ, **place.env, "CIPLUG_STORE": place.uri}
    script = (
        "import resource, sys; from ciplug.cli import main;"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY)); sys.exit(main(sys.argv[1:]))"
    )
    for arguments in (["record", "--metrics", "numbers.json"], ["runs", "list"], ["compact"]):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments], cwd=project.folder, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0 or (done.returncode == 3 and complains_of_room(done)), done.stderr
    project.ciplug("record", "--spooled", env=env)
    before = len(project.json("runs", "list", "--json", env=env))
    project.ciplug("record", "--metrics", "numbers.json", env=env)
    assert len(project.json("runs", "list", "--json", env=env)) == before + 1
    place.check()


# Clocks

CLOCK = """
import datetime, os, time

_ahead = float(os.environ["CLOCK_AHEAD"])
_now = time.time
time.time = lambda: _now() + _ahead

# Not datetime.datetime itself, whose kind libraries in C rely upon.
import ciplug.steps.session

ciplug.steps.session.now = lambda: datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=_ahead)
"""


@at_places("hours", first=[slow(2), slow(-2)], others=[2], ids=ENGINES)
def test_a_clock_that_is_off_orders_nothing(tmp_path: Path, place: Place, hours: int) -> None:
    """One writer's clock is two hours off: the log and the commit graph decide, and not the time."""
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock/sitecustomize.py").write_text(CLOCK)
    right = {**place.env, "CIPLUG_STORE": place.uri}
    path = os.pathsep.join([str(tmp_path / "clock"), *filter(None, [os.environ.get("PYTHONPATH")])])
    wrong = {**right, "PYTHONPATH": path, "CLOCK_AHEAD": str(hours * 3600)}
    project = Project.create(tmp_path / "work")

    def promoted(accuracy: float, env: Mapping[str, str]) -> str:
        project.numbers({"accuracy": accuracy})
        project.commit(f"accuracy {accuracy}")
        (project.folder / "model.txt").write_text("a model")
        project.ciplug("record", "--metrics", "numbers.json", *MODEL_FILE, env=env)
        project.ciplug("gate", env=env)
        project.ciplug("promote", MODEL, "--to", "staging", env=env)
        return str(project.json("runs", "list", "--commit", "HEAD", "--json", env=env)[0]["id"])

    ids = [promoted(0.85, right), promoted(0.86, wrong), promoted(0.87, right)]
    started = {run["id"]: run["started"] for run in project.json("runs", "list", "--json", env=right)}
    assert (started[ids[1]] > started[ids[2]]) == (hours > 0)
    assert (started[ids[1]] > started[ids[0]]) == (hours > 0)
    for _ in ("before", "after"):
        versions = project.json("registry", "show", MODEL, "--json", env=right)["versions"]
        assert [(v["run"], v["stage"]) for v in versions] == [
            (ids[0], "Archived"),
            (ids[1], "Archived"),
            (ids[2], "Staging"),
        ]
        comparison = project.json("compare", "--format", "json", env=right)["comparisons"][0]
        assert comparison["baseline"]["run"] == ids[1]
        assert comparison["baseline"]["age_days"] >= 0
        project.ciplug("compact", env=wrong)
        project.ciplug("compact", env=right)
    place.check()
    assert fsck(place).returncode == 0


# Versions side by side


def newer(run: Mapping[str, Any], **fields: Any) -> tuple[str, bytes]:
    """What a later version would have written of a run like this one."""
    record = {**run, "id": os.urandom(16).hex(), "schema": run["schema"] + 1, **fields}
    return f"runs/{record['commit']}-{record['id']}.json", dumps(record)


@pytest.mark.slow
@at_places(ids=ENGINES)
def test_two_schema_versions_side_by_side(tmp_path: Path, place: Place) -> None:
    env = {**place.env, "CIPLUG_STORE": place.uri}
    project = Project.create(tmp_path / "work")
    project.ciplug("record", "--metrics", "numbers.json", env=env)
    (own,) = project.json("runs", "list", "--json", env=env)
    project.branch("topic")
    project.ciplug("record", "--metrics", "numbers.json", env=env)
    # Later than our own, and not still to come: a start in the future orders nothing.
    later = own["started"][:-4] + "999Z"
    time.sleep(1)
    known, data = newer(own, metrics={"accuracy": 0.9}, carbon={"kg": 1.5}, started=later)
    other, strange = newer(own, metrics=[{"name": "accuracy", "value": 0.9}])
    place.open().add({known: data, other: strange})
    (known_id, other_id) = (key.rpartition("-")[2].removesuffix(".json") for key in (known, other))
    for _ in ("loose", "folded"):
        listed = project.ciplug("runs", "list", env=env)
        assert known_id[:12] in listed.stdout and own["id"][:12] in listed.stdout
        assert other_id in listed.stderr and "upgrade ciplug" in listed.stdout + listed.stderr
        assert other_id[:12] not in listed.stdout
        shown = project.ciplug("runs", "show", known_id, env=env)
        assert "accuracy: 0.9" in shown.stdout
        assert "upgrade ciplug" in project.ciplug("runs", "show", other_id, env=env, code=3).stderr
        comparison = project.json("compare", "--format", "json", env=env)["comparisons"][0]
        assert (comparison["baseline"]["run"], comparison["baseline"]["metrics"]) == (known_id, {"accuracy": 0.9})
        assert place.open().read([known, other]) == {known: data, other: strange}
        project.ciplug("compact", env=env)
    place.check()
    found = fsck(place)
    assert found.returncode == 3
    assert [line.split(": ")[1] for line in found.stdout.splitlines()] == [other]
