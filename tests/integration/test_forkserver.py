"""A call by way of the server of the tests is one of `python -m ciplug`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import forkserver
from tests.project import Project

SURROUNDINGS = """
import json, os, pathlib, signal, sys
handlers = {s.name: str(signal.getsignal(s)) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD)}
facts = {
    "cwd": os.getcwd(), "env": dict(os.environ), "stdin": os.readlink("/proc/self/fd/0"), "signals": handlers,
    "descriptors": len(os.listdir("/proc/self/fd")), "group": os.getpgrp(), "session": os.getsid(0),
}
print(json.dumps(facts, sort_keys=True))
"""


def started(*args: str, cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "ciplug", *args], cwd=cwd, env=env, capture_output=True, text=True)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    Project.with_remote(folder).train()
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Project:
    return Project.copy(template, tmp_path)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("--version", 0),
        ("gaet", 2),
        ("gate --help", 0),
        ("gate --no-such-option", 2),
        ("runs list --json", 0),
        ("gate", 0),
        ("run -- false", 1),
        ("run -- no-such-program", 127),
        ("report --config none.yaml", 2),
        ("compare --store ftp://nowhere", 2),
    ],
)
def test_says_and_returns_what_a_started_one_does(project: Project, words: str, code: int) -> None:
    forked = forkserver.ciplug(*words.split(), cwd=project.folder, env=os.environ)
    real = started(*words.split(), cwd=project.folder, env=os.environ)
    assert (forked.returncode, real.returncode) == (code, code)
    if words != "run -- false":  # which names its run
        assert (forked.stdout, forked.stderr) == (real.stdout, real.stderr)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_has_the_surroundings_of_a_started_one(project: Project) -> None:
    env = {**os.environ, "ONE": "1", "EMPTY": "", "BYTES": b"\xff".decode(errors="surrogateescape")}
    (project.folder / "look.py").write_text(SURROUNDINGS)
    project.commit("look around")
    command = ("run", "--quiet", "--metrics", "numbers.json", "--allow-unchanged", "numbers.json")
    facts = []
    for call in (forkserver.ciplug, started):
        done = call(*command, "--", sys.executable, "look.py", cwd=project.folder, env=env)
        assert done.returncode == 0, done.stderr
        fact = json.loads(done.stdout)
        of_the_run = ("CIPLUG_", "MLFLOW_")
        facts.append({**fact, "env": {n: v for n, v in fact["env"].items() if not n.startswith(of_the_run)}})
    assert facts[0] == facts[1]


def test_dies_of_a_signal(project: Project) -> None:
    script = "import os, signal; os.kill(os.getppid(), signal.SIGKILL)"
    done = forkserver.ciplug("run", "--", sys.executable, "-c", script, cwd=project.folder, env=os.environ)
    assert done.returncode == -signal.SIGKILL


def test_a_variable_that_python_reads_at_its_start_has_its_effect(project: Project) -> None:
    (project.folder / "sitecustomize.py").write_text("print('customized')")
    env = {**os.environ, "PYTHONPATH": str(project.folder)}
    assert forkserver.ciplug("--version", cwd=project.folder, env=env).stdout.startswith("customized")


def test_calls_at_the_same_time_are_apart(project: Project) -> None:
    def call(number: int) -> tuple[int, str]:
        script = f"import sys; print({number} * 'x' * 1000); sys.exit({number})"
        done = forkserver.ciplug("run", "--", sys.executable, "-c", script, cwd=project.folder, env=os.environ)
        return done.returncode, done.stdout.strip()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(call, range(1, 5))) == [(number, number * "x" * 1000) for number in range(1, 5)]
