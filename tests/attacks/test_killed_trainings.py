"""Trainings that write one model file in place, killed at random points: none is lost, and none is stuck."""

from __future__ import annotations

import os
import random
import signal
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from ciplug.records.canonical import new_id
from ciplug.steps.inputs import Inputs
from ciplug.steps.record import begin, finish
from ciplug.steps.recover import recover
from ciplug.steps.send import send
from ciplug.steps.session import Session, open_session
from tests.file_samples import noise, sha
from tests.project import Project
from tests.stores import PLACES, Place

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked here, and killed")
INPUTS = Inputs(model="wine", artifacts=(Path("model.bin"),))
KILLS = 75
BETWEEN = 5
"""So many are killed before a command comes that finds what they left."""


@dataclass
class Trainings:
    """A checkout in which trainings are killed, and what each had done by then."""

    folder: Path
    env: Mapping[str, str]
    chance: random.Random
    models: dict[str, bytes]
    done: dict[str, str]

    def session(self) -> Session:
        return open_session(cwd=self.folder, env=self.env)

    def train(self, run_id: str, model: bytes, say: Callable[[bytes], object]) -> None:
        session = self.session()
        entry = begin(session, INPUTS, run_id=run_id)
        # In place: the file of the training before has the same inode.
        with (self.folder / "model.bin").open("r+b") as file:
            file.write(model)
        say(b"begun ")
        finish(session, entry, INPUTS, status="finished")
        say(b"sealed ")
        send(session)
        say(b"sent ")

    def next_command(self, run_id: str, model: bytes, say: Callable[[bytes], object]) -> None:
        session = self.session()
        recover(session)
        send(session)
        say(b"sent ")

    def start(self, work: Callable[[str, bytes, Callable[[bytes], object]], None], within: float | None) -> float:
        """Do it in a process of its own, killed at a random moment of so many seconds; returns how long it took.

        Its git goes on half of the times: then the push lands, and nobody hears of it.
        """
        run_id, model = new_id(), noise(3000, self.chance.randrange(1 << 30))
        ours, theirs = os.pipe()
        began = time.monotonic()
        process = os.fork()
        if not process:
            os.setsid()
            code = 1
            try:
                work(run_id, model, lambda said: os.write(theirs, said))
                code = 0
            except BaseException:
                os.write(2, traceback.format_exc().encode())
            finally:
                os._exit(code)
        os.close(theirs)
        if within is not None:
            time.sleep(self.chance.uniform(0, within))
            if self.chance.random() < 0.5:
                os.kill(process, signal.SIGKILL)
            else:
                os.killpg(os.getpgid(process), signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        with os.fdopen(ours, "rb") as file:
            said = file.read().decode()
        assert code in ((0, -signal.SIGKILL) if within is not None else (0,)), "a command failed: see above"
        if "begun" in said:
            self.models[run_id], self.done[run_id] = model, said
        return time.monotonic() - began


FOUR = [
    pytest.param(*one.values, id=one.id, marks=(*one.marks, pytest.mark.slow))
    for one in PLACES
    if one.id in ("git-http", "git-file", "directory", "s3")
]


@pytest.mark.parametrize("new_place", FOUR, indirect=True)
def test_no_training_is_lost_or_stuck(tmp_path: Path, place: Place) -> None:
    """75 at each of four places: 300."""
    project = Project.create(tmp_path / "work")
    (project.folder / ".gitignore").write_text("model.bin\n")
    project.commit("the model is not of the commit")
    (project.folder / "model.bin").write_bytes(noise(3000, 0))
    env = {**place.environment(tmp_path / "cache"), "CIPLUG_STORE": place.uri}
    trainings = Trainings(project.folder, env, random.Random(3), {}, {})
    whole = max(trainings.start(trainings.train, None) for _ in range(2))
    for number in range(KILLS):
        trainings.start(trainings.train, whole)
        if number % BETWEEN == BETWEEN - 1:
            # Killed, too, half of the times; the one after that is not.
            if trainings.chance.random() < 0.5:
                trainings.start(trainings.next_command, whole)
            trainings.start(trainings.next_command, None)
    time.sleep(1)  # a push whose git was left to itself
    trainings.start(trainings.next_command, None)
    project.ciplug("record", "--spooled", env=env)
    session = trainings.session()
    assert session.spool.sealed() == [] and session.spool.refused() == [], "stuck"
    runs = session.runs()
    found = {run.id: run for run in runs.load(key for key in runs.recorded() if key.id in trainings.done)}
    assert set(found) == set(trainings.done), "lost"
    assert runs.problems == {}
    files = session.files
    assert files is not None
    for run_id, said in trainings.done.items():
        run, model = found[run_id], trainings.models[run_id]
        if "sealed" in said:
            assert run.status == "finished"
        # A record claims the bytes that are there, all of them, and denies none.
        for artifact in run.artifacts:
            assert (artifact.digest, artifact.store) == (sha(model), files.uri)
    assert files.missing({sha(trainings.models[r]) for r, run in found.items() if run.artifacts}) == set()
    place.check()
    with_files = sum(bool(run.artifacts) for run in found.values())
    print(f"{KILLS} killed, {len(found)} recorded, of which {with_files} with files")
