"""Jobs of one commit that post at once: whatever their order, one comment is left, and all runs are in it.

The real `post` and `upsert` run here, each leg in a thread of its own; what they share, a store and the comments of
a pull request, lets one leg at a time take one step, and which one is chosen from outside. So every order of the
steps of two legs is tried, and many of three.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ciplug.config import Config
from ciplug.console import Nobody, Note
from ciplug.forges.sticky_comment import Comment, upsert
from ciplug.records.provenance import Context
from ciplug.reports import comment
from ciplug.reports.comment import MARKER
from ciplug.reports.report import Report
from ciplug.steps.reporting import publish
from ciplug.steps.reporting.post import Posting, post
from ciplug.steps.reporting.snapshot import Snapshot
from ciplug.steps.session import Session

HEAD = "a" * 40
CONTEXT = Context(host="gitea", commit=HEAD, branch="topic", pull_request=7)


class Turns:
    """Lets the legs take their steps in the order of `choose`, which gets the legs that wait for their turn."""

    def __init__(self, legs: int, choose: Callable[[list[int]], int]) -> None:
        self._choose = choose
        self._monitor = threading.Condition()
        self._running = set(range(legs))
        self._waiting: list[int] = []
        self._turn: int | None = None

    def step(self, leg: int) -> None:
        with self._monitor:
            self._waiting.append(leg)
            self._give()
            self._monitor.wait_for(lambda: self._turn == leg)
            self._turn = None
            self._waiting.remove(leg)

    def end(self, leg: int) -> None:
        with self._monitor:
            self._running.remove(leg)
            self._give()

    def _give(self) -> None:
        # Whoever runs between two steps has to come to its next one first.
        if self._waiting and len(self._waiting) == len(self._running):
            self._turn = self._choose(sorted(self._waiting))
            self._monitor.notify_all()


@dataclass
class World:
    """What the legs share."""

    turns: Turns
    runs: set[str] = field(default_factory=set)
    comments: dict[int, str] = field(default_factory=dict)
    statuses: list[str] = field(default_factory=list)
    made: int = 0


class Leg:
    """The pull request's thread and the forge, as one job sees them."""

    html = True
    comment_limit = 65_000

    def __init__(self, number: int, world: World) -> None:
        self._number, self._world = number, world

    def run(self) -> None:
        self._step().runs.add(f"runs/{HEAD}-{self._number}.json")
        session = Session(Path(), {}, None, Config(), CONTEXT, f"leg:{self._number}", listener=Strict())
        post(session, self._snapshot(session), self._snapshot, Posting())

    def _step(self) -> World:
        self._world.turns.step(self._number)
        return self._world

    @staticmethod
    def _snapshot(session: Session) -> Snapshot:
        keys = session.store.keys(f"runs/{HEAD}-")
        return Snapshot(Report(sections=(), notes=tuple(keys)), HEAD, frozenset(keys))

    def keys(self, *prefixes: str) -> list[str]:
        return sorted(self._step().runs)

    def head_of(self, number: int) -> str:
        return HEAD

    def upsert_comment(self, number: int, marker: str, body: str) -> str:
        return upsert(self, marker, body)

    def set_status(self, commit: str, state: str, *, description: str, **more: Any) -> None:
        self._step().statuses.append(description)

    def is_mine(self, comment: Comment) -> bool:
        return True

    def trusts(self, comment: Comment) -> bool:
        raise NotImplementedError

    def try_edit(self, comment: Comment, body: str) -> bool:
        raise NotImplementedError

    def hide(self, comment: Comment) -> None:
        raise NotImplementedError

    def show(self, comment: Comment) -> None:
        raise NotImplementedError

    def comments(self) -> Iterator[Comment]:
        return iter([Comment(at, body, f"#{at}", "ciplug") for at, body in self._step().comments.items()])

    def create(self, body: str) -> Comment:
        world = self._step()
        world.made += 1
        world.comments[world.made] = body
        return Comment(world.made, body, f"#{world.made}", "ciplug")

    def edit(self, comment: Comment, body: str) -> None:
        comments = self._step().comments
        assert comment.id in comments, "the comment is gone that a leg edits"
        comments[comment.id] = body

    def delete(self, comment: Comment) -> None:
        self._step().comments.pop(comment.id, None)


class Store:
    """What one session has read stays what it is for that session."""

    def __init__(self, leg: Leg) -> None:
        self._leg = leg
        self._seen: list[str] | None = None

    def keys(self, *prefixes: str) -> list[str]:
        if self._seen is None:
            self._seen = self._leg.keys(*prefixes)
        return self._seen


class Strict(Nobody):
    """Hears no failure."""

    def tell(self, notes: Iterable[Note], /) -> None:
        assert not [note for note in notes if note.is_urgent]


@pytest.fixture
def race(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[list[int]], int]], None]:
    """Runs so many legs, with the steps in the order that is chosen, and looks at what is left."""
    legs: list[Leg] = []
    local = threading.local()
    monkeypatch.setattr(
        "ciplug.steps.session.open_store", lambda uri, *_, **__: Store(legs[int(uri.partition(":")[2])])
    )
    monkeypatch.setattr("ciplug.forges.open_forge", lambda *_: local.leg)
    monkeypatch.setattr(comment, "render", lambda report, *_, **__: "\n".join((MARKER, *report.notes)))
    monkeypatch.setattr(publish, "_description", lambda report, outcome: " ".join(report.notes))
    monkeypatch.setattr(Report, "outcome", "PASS")

    def run(count: int, choose: Callable[[list[int]], int]) -> None:
        world = World(Turns(count, choose))
        legs[:] = [Leg(number, world) for number in range(count)]
        failures: list[BaseException] = []

        def work(number: int) -> None:
            local.leg = legs[number]
            try:
                legs[number].run()
            except BaseException as problem:
                failures.append(problem)
            finally:
                world.turns.end(number)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        everybody = sorted(f"runs/{HEAD}-{number}.json" for number in range(count))
        assert list(world.comments.values()) == ["\n".join((MARKER, *everybody))]
        assert world.statuses[-1] == " ".join(everybody)

    return run


def every_order(run: Callable[[Callable[[list[int]], int]], None]) -> int:
    """Run with each order that there is, depth first; returns how many there are."""
    order: list[tuple[int, Sequence[int]]] = []
    count = 0
    while True:
        at = 0

        def choose(waiting: list[int]) -> int:
            nonlocal at
            if at == len(order):
                order.append((0, waiting))
            index, _ = order[at]
            at += 1
            return waiting[index]

        run(choose)
        count += 1
        while order and order[-1][0] + 1 == len(order[-1][1]):
            order.pop()
        if not order:
            return count
        index, waiting = order.pop()
        order.append((index + 1, waiting))


@pytest.mark.parametrize("legs", [2, 3, 16])
def test_many_orders(race: Callable[..., None], capsys: pytest.CaptureFixture[str], legs: int) -> None:
    chance = random.Random(legs)
    for _ in range(300 // legs):
        race(legs, chance.choice)
    capsys.readouterr()


@pytest.mark.slow
def test_all_orders_of_two(race: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    assert every_order(lambda choose: race(2, choose)) > 10_000
    capsys.readouterr()
