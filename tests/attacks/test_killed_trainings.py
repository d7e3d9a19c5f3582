"""Trainings that write one model file in place, killed at random points: none is lost, and none is stuck."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from ciplug import loading
from ciplug.records.canonical import new_id
from ciplug.steps.inputs import Inputs
from ciplug.steps.record import begin, finish
from ciplug.steps.recover import recover
from ciplug.steps.send import send
from ciplug.steps.session import Session, open_session
from tests.file_samples import noise, sha
from tests.project import Project
from tests.stores import PLACES, Place

ROOT = Path(__file__).resolve().parents[2]
# A process of its own for each, with ciplug in it from the start: to start Python takes longer than a training.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [__name__, "ciplug.stores.git.store", "ciplug.stores.git.files", "ciplug.stores.bucket.store"]
)
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

    def start(self, verb: str, within: float | None) -> float:
        """Do it in a process of its own, killed at a random moment of so many seconds; returns how long it took.

        Its git goes on half of the times: then the push lands, and nobody hears of it.
        """
        run_id, seed = new_id(), self.chance.randrange(1 << 30)
        reading, writing = PROCESSES.Pipe(duplex=False)
        process = PROCESSES.Process(target=act, args=(writing, self.env, self.folder, verb, run_id, seed))
        process.start()
        assert process.pid is not None
        writing.close()
        with open(reading.fileno(), "rb", closefd=False) as output:
            # Not while Python starts: nothing of ours is at risk then.
            said = output.readline().decode()
            began = time.monotonic()
            if within is not None:
                time.sleep(self.chance.uniform(0, within))
                if self.chance.random() < 0.5:
                    process.kill()
                else:
                    with contextlib.suppress(ProcessLookupError):  # it has ended
                        os.killpg(process.pid, signal.SIGKILL)
            said += output.read().decode()
        reading.close()
        process.join()
        code = process.exitcode
        assert code in ((0, -signal.SIGKILL) if within is not None else (0,)), "a command failed: see above"
        if "begun" in said:
            self.models[run_id], self.done[run_id] = noise(3000, seed), said
        return time.monotonic() - began


def act(output: Connection, env: Mapping[str, str], folder: Path, verb: str, run_id: str, seed: int) -> None:
    """In the process."""
    os.setsid()
    os.dup2(output.fileno(), 1)
    output.close()
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    importlib.reload(loading)
    if verb == "train":
        train(folder, run_id, noise(3000, seed))
    else:
        next_command(folder)


def say(word: str) -> None:
    os.write(1, f"{word}\n".encode())


def train(folder: Path, run_id: str, model: bytes) -> None:
    say("started")
    session = open_session(cwd=folder)
    entry = begin(session, INPUTS, run_id=run_id)
    # In place: the file of the training before has the same inode.
    with (folder / "model.bin").open("r+b") as file:
        file.write(model)
    say("begun")
    finish(session, entry, INPUTS, status="finished")
    say("sealed")
    send(session)
    say("sent")


def next_command(folder: Path) -> None:
    say("started")
    session = open_session(cwd=folder)
    recover(session)
    send(session)


FOUR = [
    pytest.param(*one.values, id=one.id, marks=(*one.marks, pytest.mark.slow))
    for one in PLACES
    if one.id in ("git-http", "git-file", "directory", "s3")
]


@pytest.mark.parametrize("new_place", FOUR, indirect=True)
def test_no_training_is_lost_or_stuck(tmp_path: Path, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """75 at each of four places: 300."""
    monkeypatch.chdir(ROOT)  # where the server of the processes finds this module
    project = Project.create(tmp_path / "work")
    (project.folder / ".gitignore").write_text("model.bin\n")
    project.commit("the model is not of the commit")
    (project.folder / "model.bin").write_bytes(noise(3000, 0))
    env = {**place.environment(tmp_path / "cache"), "CIPLUG_STORE": place.uri}
    trainings = Trainings(project.folder, env, random.Random(3), {}, {})
    whole = max(trainings.start("train", None) for _ in range(2))
    for number in range(KILLS):
        trainings.start("train", whole)
        if number % BETWEEN == BETWEEN - 1:
            # Killed, too, half of the times; the one after that is not.
            if trainings.chance.random() < 0.5:
                trainings.start("next", whole)
            trainings.start("next", None)
    time.sleep(1)  # a push whose git was left to itself
    trainings.start("next", None)
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
