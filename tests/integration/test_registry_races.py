"""Promotions, demotions and rollbacks at once, with faults: every history is one that a single writer could have made.

32 processes change one model. Some are killed, some lose the answer of the store, some have a clock that is hours off.
The log gives the order: replayed on a small model of its own, each event must fit the state before it, whoever was
told of success must have exactly one event, an operation that ended before another began must come before it, and who
was refused must have been wrong at some moment of its time.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import re
import signal
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ciplug.errors import CiplugError, StoreError
from ciplug.registry import ledger
from ciplug.steps.promotion import writing
from ciplug.steps.promotion.moves import demote
from ciplug.steps.promotion.promote import PromotionRequest, promote
from ciplug.steps.promotion.rollback import roll_back
from ciplug.steps.registered_model import read_model
from ciplug.steps.registry_checks import check_model
from ciplug.steps.session import Session, now, open_session
from tests.project import git
from tests.team import Team, team_in

ACTORS = 32


def promote_run(session: Session, run: str) -> int:
    return promote(session, PromotionRequest("wine", "staging", run=run)).event


def promote_staged(session: Session, _: str) -> int:
    holder = read_model(session, "wine").holder("Staging")
    if holder is None:
        raise StoreError("nobody is in Staging")
    return promote(session, PromotionRequest("wine", "production", version=holder.number)).event


def demote_from(session: Session, stage: str) -> int:
    return demote(session, "wine", start=stage, to="none").event


def roll_back_production(session: Session, _: str) -> int:
    return roll_back(session, "wine", "production", "it times out").written.event


@dataclass(frozen=True)
class Actor:
    """One process: what it does, and what goes wrong with it."""

    act: Callable[[Session, str], int]
    of: str
    fault: str | None
    """`kill`, `cut` (the answer of the store is lost), `clock`."""


def run_actor(actor: Actor, place: tuple[Path, dict[str, str]], number: int, start: Any, out: Path) -> None:
    """Carry the operation out, and write down when it began and ended, and how."""
    cwd, env = place
    os.environ.clear()
    os.environ.update(env)
    session = open_session(cwd=cwd, env=env)
    if actor.fault == "clock":
        writing.now = lambda: now() + timedelta(hours=random.Random(number).choice((-7, 9)))  # type: ignore[assignment]
    if actor.fault == "cut":
        append = session.store.append  # type: ignore[attr-defined]

        def cut(*args: Any) -> Any:
            append(*args)
            raise StoreError("the connection was cut")

        session.store.append = cut  # type: ignore[attr-defined]
    start.wait()
    found: dict[str, Any] = {"begun": time.monotonic()}
    (out / f"{number}.begun").write_text(json.dumps(found))
    try:
        found["event"] = actor.act(session, actor.of)
    except CiplugError as problem:
        found["refused"] = problem.message
    found["ended"] = time.monotonic()
    (out / f"{number}.part").write_text(json.dumps(found))
    (out / f"{number}.part").replace(out / f"{number}.json")


class SmallModel:
    """What the registry is, in twenty lines: who is in which stage."""

    def __init__(self) -> None:
        self.stage: dict[int, str] = {}
        self.held: list[int] = []
        """The versions that a rollback of Production may bring back, the last holder last."""

    def holder(self, stage: str) -> int | None:
        return next((version for version, one in self.stage.items() if one == stage), None)

    def take(self, kind: str, payload: Mapping[str, Any]) -> None:
        version = payload["version"]
        if kind == "register":
            assert version == len(self.stage) + 1
            self.stage[version] = "None"
            return
        assert self.stage[version] == payload["from_stage"]
        if kind in ("promote", "rollback"):
            holder = self.holder(payload["stage"])
            assert payload.get("replaces") == holder
            if holder is not None:
                self.stage[holder] = "Archived"
        self.stage[version] = payload["stage"]
        if kind == "demote" or payload["stage"] == "Production":
            gone = payload.get("replaces") if kind == "rollback" else None
            left = kind == "demote" and payload["from_stage"] != "Production"
            if not left:
                self.held = [one for one in self.held if one not in (version, gone)]
            if kind != "demote":
                self.held.append(version)

    def allows(self, refused: str) -> bool:
        """Whether a single writer would have been refused with these words."""
        if refused.startswith(("no version of 'wine' is in ", "nobody is in ")):
            return self.holder(refused.rpartition(" ")[2]) is None
        if moved := re.match(r"version (\d+) of '?wine'? ", refused) or re.match(r"version (\d+) ", refused):
            # It was promoted by its number, and somebody had moved it meanwhile.
            return self.stage.get(int(moved[1]), "Staging") != "Staging"
        assert "held Production before" in refused or "comes back to Production" in refused, refused
        return not [version for version in self.held if self.stage[version] != "Production"]


@pytest.fixture(params=["folder", "git", pytest.param("s3", marks=pytest.mark.e2e)])
def team(request: pytest.FixtureRequest, tmp_path: Path) -> Team:
    team = team_in(tmp_path)
    env = dict(team.session.env)
    if request.param == "git":
        git(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
        env["CIPLUG_STORE"] = f"git+file://{tmp_path / 'remote.git'}"
    if request.param == "s3":
        server: Any = request.getfixturevalue("s3")
        env |= {**server.env, "CIPLUG_STORE": f"s3://runs/{tmp_path.name}"}
    if request.param != "folder":
        team.session = open_session(cwd=team.project.folder, env=env)
        team.keep(b"abc", "model.bin")
    return team


@pytest.mark.slow
def test_every_history_is_one_of_a_single_writer(team: Team, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        team.promote(run=team.judged(accuracy=0.9 + number / 100).id)
        team.promote("production", version=number)
    runs = [team.judged(accuracy=0.95) for _ in range(8)]
    before = len(ledger.read(team.session.refreshed().log, "wine").events)
    acts = [
        *((promote_run, run.id) for run in runs),
        *((promote_staged, "") for _ in range(6)),
        *((demote_from, "production") for _ in range(5)),
        *((demote_from, "staging") for _ in range(3)),
        *((roll_back_production, "") for _ in range(10)),
    ]
    faults = ["kill"] * 6 + ["cut"] * 4 + ["clock"] * 8 + [None] * 14
    chance = random.Random(7)
    chance.shuffle(faults)
    actors = [Actor(act, of, fault) for (act, of), fault in zip(acts, faults, strict=True)]
    assert len(actors) == ACTORS
    out = tmp_path / "out"
    out.mkdir()
    # Forked of a process that has used no store: the libraries for buckets have threads of their own.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    start = context.Event()
    place = (team.session.cwd, dict(team.session.env))
    processes = [
        context.Process(target=run_actor, args=(actor, place, number, start, out))
        for number, actor in enumerate(actors)
    ]
    for process in processes:
        process.start()
    start.set()
    for number, process in enumerate(processes):
        if actors[number].fault == "kill":
            time.sleep(chance.uniform(0, 0.3))
            os.kill(process.pid or 0, signal.SIGKILL)
    for process in processes:
        process.join(timeout=600)
    told = {
        number: json.loads(path.read_text()) for number in range(ACTORS) if (path := out / f"{number}.json").exists()
    }
    missing = set(range(ACTORS)) - told.keys()
    assert all(actors[number].fault == "kill" for number in missing), "only who was killed has no answer"

    # A new reader sees one chain, whose every event follows the rules.
    session = team.session.refreshed()
    checked = check_model(session, "wine")
    assert checked.problems == []
    events = ledger.read(session.log, "wine").events
    model = SmallModel()
    states = [deepcopy(model)]
    for event in events:
        model.take(event.type, event.payload)
        states.append(deepcopy(model))
    stages = {version.number: version.stage for version in read_model(session, "wine").versions}
    assert stages == model.stage

    done = {number: one["event"] for number, one in told.items() if "event" in one}
    assert len(set(done.values())) == len(done), "each success is an event of its own"
    kinds = {promote_run: "promote", promote_staged: "promote", demote_from: "demote", roll_back_production: "rollback"}
    for number, event in done.items():
        assert events[event - 1].type == kinds[actors[number].act]
    # Whatever nobody was told of is of a process that was killed, or whose answer was cut off.
    moves = [event.seq for event in events[before:] if event.type != "register"]
    unknown = [actors[number] for number in range(ACTORS) if number not in done]
    lost = [seq for seq in moves if seq not in done.values()]
    assert len(lost) <= sum(actor.fault in ("kill", "cut") for actor in unknown)
    assert len(done) >= 4, "somebody must win"

    # Real time: who had ended before another began has the earlier event.
    for first, one in told.items():
        for second, other in told.items():
            if first in done and second in done and one["ended"] < other["begun"]:
                assert done[first] < done[second]

    # Who was refused was right at some moment of its time: after what had ended before, before what began later.
    for number, one in told.items():
        if actors[number].fault == "cut" or "event" in one:
            continue
        first = max((done[n] for n in done if told[n]["ended"] < one["begun"]), default=before)
        last = min((done[n] - 1 for n in done if told[n]["begun"] > one["ended"]), default=len(events))
        assert any(state.allows(one["refused"]) for state in states[first : last + 1]), one["refused"]
