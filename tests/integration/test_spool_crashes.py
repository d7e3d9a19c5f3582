"""kill -9, a full disk, another version: what was logged before is recorded by the next command, once and whole."""

from __future__ import annotations

import itertools
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ciplug import console
from ciplug.capture import log, spool
from ciplug.cli import main
from ciplug.errors import StoreError
from ciplug.git import cat_file
from ciplug.records.canonical import new_id
from ciplug.records.keys import run_key
from ciplug.records.run import Run
from ciplug.steps.inputs import Inputs
from ciplug.steps.record import begin, finish
from ciplug.steps.recover import recover
from ciplug.steps.send import send
from ciplug.steps.session import Session, open_session
from tests.project import git

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked here, and killed")

resource = pytest.importorskip("resource", reason="what limits files is not known there")
EVENTS = 6
_STEPS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.scandir", "shutil.rmtree", "subprocess.Popen")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
    git(tmp_path, "clone", "-q", tmp_path / "remote.git", "work")
    git(tmp_path / "work", "commit", "-q", "--allow-empty", "-m", "first")
    git(tmp_path / "work", "push", "-q", "origin", "HEAD:main")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def child(work: Callable[[int], None]) -> tuple[int, int]:
    """Do `work` in another process, which tells what it has done through the pipe whose end it is given.

    Returns its process id and the pipe's other end.
    """
    ours, theirs = os.pipe()
    process = os.fork()
    if process:
        os.close(theirs)
        return process, ours
    code = 1
    try:
        os.close(ours)
        work(theirs)
        code = 0
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def end_of(process: int, pipe: int) -> tuple[str, int]:
    """What it said, and how it ended, once it has: minus the signal, or its exit code."""
    with os.fdopen(pipe, "rb") as file:
        said = file.read().decode()
    return said, os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def a_training(run_id: str, events: int = EVENTS) -> Callable[[int], None]:
    """Begin a run, log, seal, send; after each step, say so."""

    def work(pipe: int) -> None:
        session = open_session()
        entry = begin(session, Inputs(model="wine"), run_id=run_id)
        os.write(pipe, b"begun\n")
        for step in range(events):
            log.append(entry.folder, {"metric": f"m{step}", "value": step * 0.5, "step": step})
            os.write(pipe, b"logged\n")
        finish(session, entry, Inputs(), status="finished")
        os.write(pipe, b"sealed\n")
        send(session)
        os.write(pipe, b"sent\n")

    return work


def killed_at(number: int, work: Callable[[int], None]) -> Callable[[int], None]:
    """The same work, by a process that kills itself before its n-th step that reaches the disk or git."""

    def doomed(pipe: int) -> None:
        steps = 0

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal steps
            if event in _STEPS and (event == "subprocess.Popen" or "spool" in str(arguments[0])):
                if steps == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                steps += 1

        sys.addaudithook(hook)
        work(pipe)

    return doomed


def the_next_command_shows(run_ids: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Run]:
    """Runs by id, as a command that comes after the crash leaves them in the store; the spool is empty then."""
    capsys.readouterr()
    assert main(["runs", "list", "--limit", "1", "--json"]) == 0, capsys.readouterr().err
    session = open_session()
    assert session.spool.sealed() == [] and session.spool.abandoned() == []
    runs = session.runs()
    found = runs.load(key for key in runs.recorded() if key.id in run_ids)
    assert runs.problems == {}
    assert len({run.id for run in found}) == len(found)
    return {run.id: run for run in found}


def check(said: str, run: Run | None) -> None:
    """What was said to be done is recorded; of what was not said, the one step that was going on may be."""
    if run is None:
        assert said == ""
        return
    logged = said.count("logged")
    assert logged <= len(run.metrics) <= logged + 1
    assert run.metrics == {f"m{step}": step * 0.5 for step in range(len(run.metrics))}
    if "sealed" in said:
        assert run.status == "finished"
        assert len(run.metrics) == EVENTS


def survives(point: int, capsys: pytest.CaptureFixture[str]) -> bool:
    """Kill a training at this step, and look what the next command makes of it; whether it was done before."""
    run_id = new_id()
    said, code = end_of(*child(killed_at(point, a_training(run_id))))
    check(said, the_next_command_shows([run_id], capsys).get(run_id))
    assert code == -signal.SIGKILL or said.endswith("sent\n")
    return code == 0


@pytest.mark.slow
def test_killed_at_a_few_steps(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for point in random.Random(5).sample(range(20), 6):
        assert not survives(point, capsys)


@pytest.mark.slow
def test_killed_at_every_step(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each open, rename and removal in the spool, and each program that is started."""
    points = next(point for point in itertools.count() if survives(point, capsys))
    assert points >= 20


def killed_at_random(times: int, at_once: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Trainings that log as fast as they can, killed 0 to 80 ms after their start, or after their first lines; a
    command comes after each `at_once`.
    """
    draw = random.Random(11)
    total = 0
    for _ in range(times // at_once):
        said: dict[str, str] = {}
        for number in range(at_once):
            run_id = new_id()
            process, pipe = child(a_training(run_id, 100_000))
            lines = b""
            # However slow the machine is, some are killed while they log.
            while number % 2 and lines.count(b"logged") <= at_once:
                more = os.read(pipe, 1 << 16)
                assert more, "it has ended"
                lines += more
            # Read while it logs, lest a full pipe holds it up.
            os.set_blocking(pipe, False)
            until = time.monotonic() + draw.uniform(0, 0.08)
            while time.monotonic() < until:
                try:
                    lines += os.read(pipe, 1 << 16)
                except BlockingIOError:
                    time.sleep(0.001)
            os.kill(process, signal.SIGKILL)
            os.set_blocking(pipe, True)
            rest, code = end_of(process, pipe)
            assert code == -signal.SIGKILL
            said[run_id] = lines.decode() + rest
        found = the_next_command_shows(list(said), capsys)
        for run_id, text in said.items():
            check(text, found.get(run_id))
            total += text.count("logged")
    assert total > times, "they were killed before they could log"


@pytest.mark.slow
def test_killed_at_a_few_random_moments(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    killed_at_random(6, 3, capsys)


@pytest.mark.slow
def test_killed_at_200_random_moments(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    killed_at_random(200, 20, capsys)


@pytest.mark.slow
def test_killed_while_it_hands_a_run_over(project: Path) -> None:
    """At each step: the run is in the spool or in the bundle, and after another try in the bundle alone."""
    file = project / "bundle.ndjson"

    def hand_over(pipe: int) -> None:
        session = open_session()
        session.spool.hand_over(session.spool.sealed(), file)

    for point in itertools.count():
        session = open_session()
        recorded = finish(session, begin(session, Inputs(model="wine")), Inputs(), status="finished")
        _, code = end_of(*child(killed_at(point, hand_over)))
        kept = {key for sealed in session.spool.sealed() for key in sealed.objects}
        assert run_key(recorded.run).key in kept | spool.read_bundle(file).keys()
        session.spool.hand_over(session.spool.sealed(), file)
        assert session.spool.sealed() == []
        assert len(spool.read_bundle(file)) == point + 1
        if code == 0:
            break
    assert point >= 5


def test_processes_that_hand_over_into_one_bundle_lose_none(project: Path) -> None:
    file = project / "bundle.ndjson"

    def work(pipe: int) -> None:
        for _ in range(5):
            session = open_session()
            finish(session, begin(session, Inputs(model="wine")), Inputs(), status="finished")
            session.spool.hand_over(session.spool.sealed(), file)

    workers = [child(work) for _ in range(3)]
    assert [end_of(*worker)[1] for worker in workers] == [0, 0, 0]
    assert len(spool.read_bundle(file)) == 15


# A full disk: no file may become larger than this, and the write that would is cut off


class Full:
    """Within the block, files of this process end at `size` bytes."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __enter__(self) -> None:
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.before[1]))

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


def in_child(work: Callable[[], None]) -> None:
    _, code = end_of(*child(lambda _: work()))
    assert code == 0, "see the traceback above"


def refusal(work: Callable[[], object]) -> StoreError:
    try:
        work()
    except StoreError as problem:
        return problem
    raise AssertionError("nothing was refused")


def test_a_disk_that_is_full_while_the_training_logs(project: Path) -> None:
    def work() -> None:
        session = open_session()
        entry = begin(session, Inputs(model="wine"))
        logged = 0
        with Full(1000):
            for step in range(100):
                try:
                    log.append(entry.folder, {"metric": f"m{step}", "value": 1.0, "step": None})
                except StoreError as problem:
                    assert "nothing can be logged" in problem.message
                    assert problem.hint and "CIPLUG_SPOOL=DIR" in problem.hint
                    break
                logged += 1
        assert 5 < logged < 50
        assert (entry.folder / log.FILE).stat().st_size == 1000, "the last line is cut off"
        log.append(entry.folder, {"metric": "after", "value": 1.0, "step": None})
        found = log.read(entry.folder)
        assert found.metrics.keys() == {*(f"m{step}" for step in range(logged)), "after"} and found.torn

    in_child(work)


def test_a_disk_that_is_full_when_a_run_begins(project: Path) -> None:
    def work() -> None:
        session = open_session()
        with Full(10):
            problem = refusal(lambda: begin(session, Inputs(model="wine")))
        assert "the spool cannot be written" in problem.message
        assert problem.hint and "CIPLUG_SPOOL=DIR" in problem.hint
        assert list(session.spool.folder.iterdir()) == [], "nothing is left behind"

    in_child(work)


def test_a_disk_that_is_full_when_a_run_ends(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_id = new_id()

    def work() -> None:
        session = open_session()
        entry = begin(session, Inputs(model="wine"), run_id=run_id)
        log.append(entry.folder, {"metric": "m0", "value": 0.0, "step": None})
        with Full(100):
            problem = refusal(lambda: finish(session, entry, Inputs(), status="finished"))
        assert "the run cannot be kept" in problem.message
        assert problem.hint and "CIPLUG_SPOOL=DIR" in problem.hint
        assert {path.name for path in entry.folder.iterdir()} == {"lock", "open.json", log.FILE}

    in_child(work)
    run = the_next_command_shows([run_id], capsys)[run_id]
    assert (run.status, run.metrics) == ("killed", {"m0": 0.0})


def test_a_disk_that_is_full_when_a_bundle_is_written(project: Path) -> None:
    def work() -> None:
        session = open_session()
        finish(session, begin(session, Inputs(model="wine")), Inputs(), status="finished")
        waiting = session.spool.sealed()
        with Full(100):
            problem = refusal(lambda: session.spool.hand_over(waiting, project / "bundle.ndjson"))
        assert "the bundle is not written" in problem.message
        assert not (project / "bundle.ndjson").exists()
        assert len(session.spool.sealed()) == 1
        assert len(session.spool.hand_over(waiting, project / "bundle.ndjson")) == 1

    in_child(work)


# What other versions and crashes of long ago left


@pytest.fixture
def session(project: Path) -> Session:
    return open_session(listener=console)


def abandoned(session: Session) -> Path:
    entry = begin(session, Inputs(model="wine"))
    log.append(entry.folder, {"metric": "m0", "value": 0.0, "step": None})
    entry.release()
    return entry.folder


@pytest.mark.parametrize(
    "facts",
    ['{"run": {"id": "x", "of_a_later_version": 1}, "store": "s"}', '{"run": {"id": "x"}}', "[]", "{", '{"run": 7}'],
)
def test_a_killed_run_of_another_version_is_named_and_left(
    session: Session, facts: str, capsys: pytest.CaptureFixture[str]
) -> None:
    strange, known = abandoned(session), abandoned(session)
    (strange / "open.json").write_text(facts)
    (recovered,) = recover(session).runs
    assert recovered.run.id == known.name
    said = capsys.readouterr().err
    assert f"{strange} holds a killed run" in said and "log.ndjson" in said
    assert log.read(strange).metrics == {"m0": 0.0}


def test_what_a_crash_left_half_made_or_half_removed_goes_when_it_is_old(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = session.spool.folder / new_id()
    half.mkdir(parents=True)
    (half / "lock").touch()
    living = abandoned(session)
    assert len(session.spool.abandoned()) == 1 and half.exists(), "it may be somebody's who is about to begin"
    monkeypatch.setattr(spool, "_LEFTOVER_SECONDS", -1)
    session.spool.abandoned()
    assert not half.exists() and (living / "open.json").exists()


def _children() -> set[str]:
    listed = Path(f"/proc/self/task/{os.getpid()}/children")
    return set(listed.read_text().split()) if listed.exists() else set()


@pytest.fixture(autouse=True)
def _no_orphans() -> Iterator[None]:
    before = _children()  # servers that other tests have started
    yield
    kept = {str(process.pid) for process in cat_file._kept.values()}
    assert _children() - kept <= before


def test_the_log_is_synced_every_few_seconds_and_not_at_each_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    clock = [100.0]
    monkeypatch.setattr(os, "fsync", synced.append)
    monkeypatch.setattr(log.time, "monotonic", lambda: clock[0])
    lines = log.Log(tmp_path)
    for _ in range(100):
        lines.append({"metric": "a", "value": 1.0, "step": None})
        clock[0] += 0.11
    assert len(synced) == 2
