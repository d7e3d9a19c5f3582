"""`ciplug demo`, for real, inside of somebody's repository and of somebody's CI job."""

from __future__ import annotations

import json
import os
import pty
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ciplug.commands import demo
from tests.project import git

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Shown:
    """A demo that was run in `outer`: what it said, and the processor time that it took."""

    outer: Path
    env: dict[str, str]
    code: int
    stdout: str
    terminal: str
    seconds: float

    @property
    def folder(self) -> Path:
        return self.outer / "ciplug-demo"

    def ciplug(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "ciplug", *words],
            cwd=self.folder / "project",
            env={k: v for k, v in self.env.items() if not k.startswith(("GITHUB_", "CIPLUG_", "GIT_DIR"))},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def processor_time() -> float:
    """Of the children that have ended: what else the machine does is not counted."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """The demo with its progress on a terminal; nobody has told git a name, and a GitHub job is around it."""
    home = tmp_path_factory.mktemp("home")
    (home / "gitconfig").write_text("[commit]\n\tgpgSign = true\n")
    outer = tmp_path_factory.mktemp("outer")
    env = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "CIPLUG_"))},
        "HOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(home / "gitconfig"),
        "PYTHONPATH": str(ROOT),
        "TERM": "xterm",
        "GITHUB_ACTIONS": "true",
        "GITHUB_REPOSITORY": "acme/demo",
        "GITHUB_REF": "refs/heads/main",
        "GITHUB_SHA": "1" * 40,
        "GITHUB_API_URL": "http://127.0.0.1:1",
        "GITHUB_TOKEN": "token",
        "GITHUB_STEP_SUMMARY": str(home / "summary"),
        "CIPLUG_STORE": "git+file:///nowhere",
    }
    git(outer, "init", "-q")
    env["GIT_DIR"] = str(outer / ".git")
    terminal, end = pty.openpty()
    read: list[bytes] = []

    def drain() -> None:
        try:
            while data := os.read(terminal, 65536):
                read.append(data)
        except OSError:  # Linux's way to say that the other end is closed
            pass

    reader = threading.Thread(target=drain)
    began = processor_time()
    child = subprocess.Popen(
        [sys.executable, "-m", "ciplug", "demo"], cwd=outer, env=env, stdout=subprocess.PIPE, stderr=end
    )
    os.close(end)
    reader.start()
    out = child.communicate()[0].decode()
    reader.join(10)
    os.close(terminal)
    assert not (home / "summary").exists()
    assert (home / "gitconfig").read_text() == "[commit]\n\tgpgSign = true\n"
    yield Shown(outer, env, child.returncode, out, b"".join(read).decode(), processor_time() - began)


@pytest.mark.slow
def test_it_ends_well_and_in_time(shown: Shown) -> None:
    assert shown.code == 0, shown.terminal
    assert shown.seconds < 60


@pytest.mark.slow
def test_it_shows_the_bar_on_a_terminal(shown: Shown) -> None:
    assert "8/8" in shown.terminal
    assert "done" in shown.terminal
    assert "Traceback" not in shown.terminal


@pytest.mark.slow
def test_it_prints_the_very_comments(shown: Shown) -> None:
    for branch, headline in (("better", "✅ diamonds: passed"), ("worse", "❌ diamonds: failed")):
        comment = (shown.folder / "reports" / branch / "report.md").read_text()
        assert comment.startswith("<!-- ciplug:report -->")
        assert headline in comment
        assert "merge base with main" in comment
        assert comment.strip() in shown.stdout
    worse = (shown.folder / "reports" / "worse" / "report.md").read_text()
    assert "❌\u00a0`mae_usd`<br><sub>at most 2% worse than the baseline</sub>" in worse


@pytest.mark.slow
def test_it_promotes_the_better_and_refuses_the_worse(shown: Shown) -> None:
    assert "diamonds version 1 is in Staging" in shown.stdout
    assert "is FAIL: " in shown.stdout
    history = json.loads(shown.ciplug("registry", "history", "diamonds", "--json"))
    assert [event["type"] for event in history] == ["register", "promote"]
    assert {event["payload"]["commit"] for event in history} == {git(shown.folder / "project", "rev-parse", "better")}


@pytest.mark.slow
def test_it_leaves_all_to_look_around_in(shown: Shown) -> None:
    for branch in ("main", "better", "worse"):
        page = (shown.folder / "reports" / branch / "report.html").read_text()
        assert "<svg" in page
        assert "validation_mae_usd" in page
    assert "exit code 1" in (shown.folder / "log.txt").read_text()
    last = shown.stdout.partition("Look around:\n")[2].splitlines()
    assert last[0].strip() == f"cd {Path('ciplug-demo', 'project')}"
    commands = [line.strip() for line in last[1:]]
    assert len(commands) == 3
    for command in commands:
        assert shown.ciplug(*command.split()[1:]).strip()


@pytest.mark.slow
def test_its_runs_are_those_of_real_trainings(shown: Shown) -> None:
    runs = json.loads(shown.ciplug("runs", "list", "--json"))
    by_branch = {run["provenance"]["context"]["branch"]: run for run in runs}
    assert set(by_branch) == {"main", "better", "worse"}
    errors = [by_branch[name]["metrics"]["mae_usd"] for name in ("better", "main", "worse")]
    assert errors == sorted(errors)
    assert by_branch["better"]["params"]["trees"] == 300
    for run in runs:
        assert run["status"] == "finished"
        assert run["provenance"]["context"]["host"] == "local"
        assert [file["path"] for file in run["artifacts"]] == ["model.joblib"]
        assert [file["path"] for file in run["datasets"]] == ["diamonds.csv"]
    with (shown.folder / "project" / "diamonds.csv").open() as file:
        assert sum(1 for _ in file) == 53_940 + 1


@pytest.mark.slow
def test_it_touches_nothing_around_it(shown: Shown) -> None:
    assert git(shown.outer, "status", "--porcelain", "--untracked-files=all") == ""
    assert git(shown.outer, "for-each-ref") == ""
    assert git(shown.folder / "project", "status", "--porcelain") == ""


def ciplug(*words: str, cwd: Path, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-m", "ciplug", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_folder_that_is_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("precious")
    done = ciplug("demo", "mine", cwd=tmp_path)
    assert done.returncode == 2
    assert "already exists" in done.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["file"]


def test_a_store_of_the_user_is_refused(tmp_path: Path) -> None:
    done = ciplug("demo", "--store", "git:", cwd=tmp_path)
    assert done.returncode == 2
    assert "has its own store" in done.stderr
    assert not (tmp_path / "ciplug-demo").exists()


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    done = ciplug("demo", cwd=tmp_path, python=str(tmp_path / "bare" / "bin" / "python"))
    assert done.returncode == 2
    assert "scikit-learn" in done.stderr
    assert "pip install '.[demo]'" in done.stderr
    assert not (tmp_path / "ciplug-demo").exists()


def test_without_a_terminal_the_steps_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with demo._progress(quiet=False) as progress:
        progress.step("first")
        progress.show("a result")
        progress.step("second")
    captured = capsys.readouterr()
    assert captured.err == "ciplug: [1/8] first\nciplug: [2/8] second\n"
    assert captured.out == "a result\n"
    with demo._progress(quiet=True) as progress:
        progress.step("first")
    assert capsys.readouterr().err == ""
