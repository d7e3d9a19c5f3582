"""A process that lives long sees what others have done, once it asks for a fresh session, and does not grow."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tracemalloc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ciplug.registry.reading import read_model
from ciplug.steps.branches import commits_around
from ciplug.steps.policy_in_force import read_policies
from ciplug.steps.session import Session, open_session
from tests.project import CONFIG, Project
from tests.servers.git_http import GitServer


class LongLived:
    """`tests.long_lived` in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, word: str) -> Any:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "it ended"
        return json.loads(line)


@contextmanager
def long_lived(project: Project, env: dict[str, str]) -> Iterator[LongLived]:
    root = str(Path(__file__).parent.parent.parent)
    with subprocess.Popen(
        [sys.executable, "-m", "tests.long_lived"],
        cwd=project.folder,
        env={**os.environ, **env, "PYTHONPATH": root},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield LongLived(process)
        assert process.stdin
        process.stdin.close()
        assert process.wait(30) == 0


@pytest.fixture(params=["git over HTTP", "git in a folder", "object store"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Project, dict[str, str]]:
    """A checkout of a remote, and where its runs go."""
    if request.param == "git over HTTP":
        server: GitServer = request.getfixturevalue("git_server")
        server.create("remote")
        return Project.create(tmp_path / "work", remote=server.url("remote")), {}
    made = Project.with_remote(tmp_path)
    return made, {"CIPLUG_STORE": (tmp_path / "store").as_uri()} if request.param == "object store" else {}


@pytest.mark.slow
def test_it_sees_runs_versions_policy_and_history_of_another_process(project: tuple[Project, dict[str, str]]) -> None:
    checkout, env = project
    first = checkout.train(env=env)
    with long_lived(checkout, env) as process:
        before = process.ask("look")
        assert (before["runs"], before["stages"], before["commits"]) == ([first], {}, 1)

        checkout.ciplug("gate", env=env)
        checkout.ciplug("promote", "wine", "--to", "staging", env=env)
        (checkout.folder / "ciplug.yaml").write_text(CONFIG + "  size: {max: 10, higher_is_better: false}\n")
        checkout.numbers({"accuracy": 0.86, "size": 1})
        head = checkout.commit("another gate")
        checkout.push()
        second = checkout.train(env=env)

        assert process.ask("look") == before, "one session has one state"
        after = process.ask("refresh")
        assert after["runs"] == sorted([first, second])
        assert len(after["catalog"]) == 2
        assert after["stages"] == {"1": "Staging"}
        assert (after["head"], after["commits"]) == (head, 2)
        assert after["policy"] != before["policy"]
        assert process.ask("look") == after


def look(session: Session) -> None:
    session.runs().recorded()
    read_model(session.log, "wine")
    read_policies(session)
    commits_around(session, session.need_head(), None)


@pytest.fixture
def session(tmp_path: Path) -> Session:
    made = Project.create(tmp_path / "work")
    env = {**os.environ, "CIPLUG_STORE": (tmp_path / "store").as_uri()}
    made.train(env=env)
    return open_session(cwd=made.folder, env=env)


@pytest.mark.slow
def test_a_refreshed_session_holds_on_to_nothing(session: Session) -> None:
    second = session.refreshed()
    look(second)
    assert second.store is not session.store
    old = [weakref.ref(second), weakref.ref(second.store)]
    third = second.refreshed()
    look(third)
    del second
    gc.collect()
    assert [ref() for ref in old] == [None, None]


@pytest.mark.slow
def test_memory_does_not_grow_over_200_refreshes(session: Session) -> None:
    def refresh(times: int) -> int:
        nonlocal session
        for _ in range(times):
            session = session.refreshed()
            look(session)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        start = refresh(10)
        grown = refresh(200) - start
    finally:
        tracemalloc.stop()
    assert grown < 200_000, f"{grown:,} bytes after 200 refreshes"


def test_what_a_caller_chose_stays(tmp_path: Path) -> None:
    made = Project.create(tmp_path / "work")
    store = (tmp_path / "store").as_uri()
    chosen = open_session(store=store, artifact_limit=7, artifact_store="none", output_dir="out", cwd=made.folder)
    fresh = chosen.refreshed()
    for name in ("store_uri", "artifact_limit", "artifact_store", "output_dir", "cwd", "options"):
        assert getattr(fresh, name) == getattr(chosen, name)
    assert (fresh.store_uri, fresh.artifact_limit) == (store, 7)


def test_an_answer_is_made_once_and_an_exception_not_remembered(session: Session) -> None:
    made = []

    def make() -> int:
        made.append(1)
        if len(made) == 1:
            raise ValueError
        return len(made)

    with pytest.raises(ValueError):
        session.remember("x", make)
    assert [session.remember("x", make), session.remember("x", make)] == [2, 2]
    assert session.refreshed().remember("x", make) == 3


def test_no_cache_lives_longer_than_its_session() -> None:
    """What is cached for the life of a process is keyed by types, numbers and texts, never by a session or a store."""
    import ciplug

    cached = {
        f"{path.parent.name}/{path.name}"
        for path in Path(ciplug.__file__).parent.rglob("*.py")
        if "lru_cache" in (text := path.read_text(encoding="utf-8")) or "functools.cache" in text
    }
    assert cached <= {
        "capture/events.py",
        "capture/logged.py",
        "capture/metric_clocks.py",
        "config/clean_patterns.py",
        "git/safe_directory.py",
        "mlflow/base.py",
        "records/canonical.py",
        "records/read.py",
        "reports/pages.py",
        "site/scripts.py",
        "stats/paired_proportions.py",
    }
