"""A metric over the commits of a branch: the history, the commit to blame, and the search for it by training."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ciplug.records.provenance import Provenance
from ciplug.records.run import Run
from ciplug.steps.session import open_session
from ciplug.tracking.run_objects import run_objects
from tests.project import Project, git

STAMP = "2026-11-{day:02}T12:00:00.000Z"
CONFIG = """\
version: 1
model: wine
metrics: metrics.json
gates:
  accuracy: {higher_is_better: true, min: 0.8}
"""
NOISE = (0.0, 0.001, -0.002, 0.002, -0.001)


def run_of(commit: str, number: int, accuracy: float, **more: object) -> Run:
    return replace(
        Run(
            id=f"{number:032x}",
            model="wine",
            status="finished",
            started=STAMP.format(day=number % 28 + 1),
            ended=STAMP.format(day=number % 28 + 1),
            commit=commit,
            metrics={"accuracy": accuracy},
            provenance=Provenance(dirty=False),
        ),
        **more,  # type: ignore[arg-type]
    )


def recorded(folder: Path, runs: list[Run]) -> None:
    session = open_session(cwd=folder, env=dict(os.environ))
    session.store.add({key: data for run in runs for key, data in run_objects(run).items()})


class Past(Project):
    """Twenty commits, of which every second one has a run; the fifteenth lost three points."""

    commits: list[str]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Past:
    base = tmp_path_factory.mktemp("past")
    git(base, "init", "-q", "--bare", "remote.git")
    project = Past.create(base / "work", remote=base / "remote.git", config=CONFIG)
    commits = [project.head, *(project.commit(f"Change number {number}") for number in range(1, 20))]
    project.push()
    levels = {at: 0.92 if at < 15 else 0.89 for at in range(0, 20, 2)}
    runs = [run_of(commits[at], at, level + NOISE[at % 5]) for at, level in levels.items()]
    # What must not count: a run that failed, and one of a dirty checkout.
    runs += [
        run_of(commits[4], 100, 0.1, status="failed"),
        run_of(commits[6], 101, 0.1, provenance=Provenance(dirty=True)),
    ]
    recorded(project.folder, runs)
    project.commits = commits
    return project


@pytest.fixture
def past(shared: Past) -> Iterator[Past]:
    yield shared


def test_the_history_of_a_metric(past: Past) -> None:
    known = past.json("history", "accuracy", "--format", "json")
    assert [one["commit"] for one in known["commits"]] == past.commits[0:20:2]
    assert known["commits"][2]["values"] == [0.92 + NOISE[4]], "the failed run of the commit is no number"
    assert (known["lowest"], known["higher_is_better"], known["earlier"]) == (0.8, True, 0)
    (change,) = known["changes"]
    # The fifteenth commit has no run: it or the next one may be the one.
    assert change["candidates"] == past.commits[15:17]
    assert change["worse"] is True
    assert change["before"] == pytest.approx(0.92, abs=0.002) and change["after"] == pytest.approx(0.89, abs=0.002)


def test_it_is_drawn_in_the_terminal(past: Past) -> None:
    shown = past.ciplug("history", "accuracy").stdout
    assert shown.startswith("accuracy of wine: 10 commits of HEAD with a run, higher is better\n")
    assert shown.count("o") >= 10 and "0.9" in shown
    assert (
        f"got worse from 0.9196 to 0.8915 at one of 2 commits, {past.commits[15][:8]} to {past.commits[16][:8]}"
        in shown
    )


def test_as_tables_and_as_a_page(past: Past, tmp_path: Path) -> None:
    lines = past.ciplug("history", "accuracy", "--format", "csv").stdout.splitlines()
    assert lines[0] == "commit,value,runs,run,day,author,subject,versions"
    assert lines[1].startswith(f"{past.commits[0]},0.92,1,{0:032x},") and len(lines) == 11
    assert past.ciplug("history", "accuracy", "--format", "markdown").stdout.count("\n") == 12
    past.ciplug("history", "accuracy", "--format", "html", "--output", str(tmp_path / "page.html"))
    page = (tmp_path / "page.html").read_text()
    assert page.count("<svg") == 2 and "change 1" in page and ">min<" in page
    assert "Change number 18" in page and '<table class="stack">' in page and "<script" not in page


def test_few_are_read_where_few_are_asked_for(past: Past) -> None:
    known = past.json("history", "accuracy", "--limit", "3", "--format", "json")
    assert [one["commit"] for one in known["commits"]] == past.commits[14:20:2]
    assert known["earlier"] == 7


def test_the_commit_to_blame(past: Past) -> None:
    shown = past.ciplug("blame", "accuracy")
    assert "accuracy of wine got worse from 0.9196 to 0.8915 at one of 2 commits" in shown.stdout
    assert f'{past.commits[15][:8]} "Change number 15" (Test Person, ' in shown.stdout
    assert "ciplug bisect accuracy -- COMMAND" in shown.stderr
    assert past.json("blame", "accuracy", "--format", "json")["changes"][0]["worse"] is True
    earlier = past.ciplug("blame", "accuracy", "--branch", "main", "--limit", "2").stdout
    assert "2 commits with a run: no commit has moved it beyond its noise" in earlier


@pytest.mark.slow
def test_what_is_not_there_is_named(past: Past) -> None:
    assert "did you mean 'accuracy'?" in past.ciplug("history", "acuracy", code=2).stderr
    assert (
        "no run of 'beer' is recorded on these commits"
        in past.ciplug("blame", "accuracy", "--model", "beer", code=2).stderr
    )
    # A branch of this clone, where it has commits that the remote's has not: the tenth commit on, pushed up to it.
    git(past.folder, "branch", "-q", "side", past.commits[18])
    git(past.folder, "push", "-q", "origin", f"{past.commits[10]}:refs/heads/side")
    git(past.folder, "fetch", "-q")
    for name in ("side", "refs/heads/side"):
        shown = past.json("history", "accuracy", "--branch", name, "--format", "json")
        assert shown["commits"][-1]["commit"] == past.commits[18], name
    git(past.folder, "branch", "-q", "-f", "side", past.commits[4])
    shown = past.json("history", "accuracy", "--branch", "side", "--format", "json")
    assert shown["commits"][-1]["commit"] == past.commits[10], "the remote's is ahead"
    assert "no branch named 'nowhere'" in past.ciplug("history", "accuracy", "--branch", "nowhere", code=2).stderr
    assert "--limit takes a number from 0 up" in past.ciplug("history", "accuracy", "--limit", "-1", code=2).stderr


@pytest.mark.slow
def test_copies_and_nan_are_no_evidence_and_text_of_a_commit_starts_no_script(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "remote.git")
    project = Project.create(tmp_path / "work", remote=tmp_path / "remote.git", config=CONFIG)
    commits = [project.commit("<script>alert(1)</script> \x1b[31m ::error::no") for _ in range(10)]
    # A copy of a number tells nothing of the noise, and what is not finite is no number.
    levels = [0.9] * 4 + [0.8] * 4 + [0.79, math.nan]
    runs = [run_of(commit, at, level) for at, (commit, level) in enumerate(zip(commits, levels, strict=True))]
    recorded(project.folder, runs + [run_of(commits[8], 20 + number, 0.79) for number in range(12)])
    known = project.json("history", "accuracy", "--format", "json")
    assert [change["commit"] for change in known["changes"]] == [commits[4]]
    assert [len(one["values"]) for one in known["commits"]] == [1] * 9 + [0]
    rows = project.ciplug("history", "accuracy", "--format", "csv").stdout.splitlines()
    assert [row.split(",")[2] for row in rows[1:]] == ["1"] * 8 + ["13", "1"]
    assert "<script" not in project.ciplug("history", "accuracy", "--format", "html").stdout
    history, blame = (project.ciplug(command, "accuracy").stdout for command in ("history", "blame"))
    assert f"not drawn, because not finite: {commits[9][:8]} nan" in history
    for shown in (history, blame):
        assert "\x1b" not in shown
        assert not any(line.lstrip().startswith("::") for line in shown.splitlines())


# --- by training

TRAIN = """\
import json, pathlib, sys
level = float(pathlib.Path("level.txt").read_text())
data = float(pathlib.Path("data/offset.txt").read_text())
if level == 0:
    sys.exit("this commit cannot be trained")
seen = pathlib.Path(sys.argv[1])
count = len(seen.read_text().split()) if seen.exists() else 0
seen.write_text(seen.read_text() + " x" if seen.exists() else "x")
noise = (0.0, 0.002, -0.001, 0.001, -0.002)[count % 5]
pathlib.Path("metrics.json").write_text(json.dumps({"accuracy": level + data + noise}))
"""


@pytest.fixture
def trainable(tmp_path: Path) -> Project:
    """Twelve commits; the ninth lost five points, and the seventh cannot be trained."""
    git(tmp_path, "init", "-q", "--bare", "remote.git")
    project = Project.create(tmp_path / "work", remote=tmp_path / "remote.git", config=CONFIG)
    (project.folder / "train.py").write_text(TRAIN)
    (project.folder / ".gitignore").write_text("metrics.json\ndata/\n")
    (project.folder / "data").mkdir()
    (project.folder / "data" / "offset.txt").write_text("0.01")
    for number in range(12):
        level = 0 if number == 6 else 0.9 if number < 8 else 0.85
        (project.folder / "level.txt").write_text(str(level))
        project.commit(f"Change number {number}")
    project.push()
    return project


@pytest.mark.slow
def test_the_commit_is_found_by_training(trainable: Project, tmp_path: Path) -> None:
    seen = tmp_path / "seen.txt"
    command = ("--link", "data", "--", sys.executable, "train.py", str(seen))
    git(trainable.folder, "remote", "set-url", "origin", "../remote.git")  # Seen from here, not from the checkouts.
    (trainable.folder / "level.txt").write_text("0.1")  # The user's own work tree is not looked at, and stays.
    done = trainable.ciplug("bisect", "accuracy", "--good", "HEAD~11", *command)
    culprit = git(trainable.folder, "rev-parse", "HEAD~3")
    assert done.stdout.startswith(f'{culprit[:8]} "Change number 8" (Test Person, ')
    assert "moved accuracy from 0.9" in done.stdout and "% sure" in done.stdout
    trainings = len(seen.read_text().split())
    assert trainings <= 8
    assert not any((trainable.folder / ".git" / "ciplug" / "spool").iterdir()), "every run is sent"
    assert git(trainable.folder, "status", "--porcelain") == "M level.txt"
    assert git(trainable.folder, "worktree", "list").count("\n") == 0
    # Its runs are recorded on the commits that they are of: the same question takes no training now.
    runs = trainable.json("runs", "list", "--json", "--where", "tags.bisect = 'accuracy'")
    assert len([run for run in runs if run["status"] == "finished"]) == trainings
    assert len(trainable.json("runs", "list", "--json", "--where", "tags.bisect = 'accuracy' AND dirty = true")) == 0
    again = trainable.ciplug("bisect", "accuracy", *command)
    assert culprit[:8] in again.stdout and "after 0 trainings" in again.stdout
    blamed = trainable.json("blame", "accuracy", "--format", "json")["changes"][0]
    assert blamed["commit"] == culprit


@pytest.mark.slow
def test_a_search_that_may_not_go_on_says_so_and_goes_on_later(trainable: Project, tmp_path: Path) -> None:
    command = ("--link", "data", "--", sys.executable, "train.py", str(tmp_path / "seen.txt"))
    first = trainable.ciplug("bisect", "accuracy", "--good", "HEAD~11", "--trainings", "3", *command, code=1)
    assert first.stdout.startswith("not sure after 3 trainings; one of ")
    second = trainable.ciplug("bisect", "accuracy", "--good", "HEAD~11", *command)
    assert "Change number 8" in second.stdout and "4 recorded numbers" not in first.stderr


@pytest.mark.slow
def test_what_changed_before_the_good_commit_is_not_blamed_on_one_after_it(trainable: Project, tmp_path: Path) -> None:
    """The good commit is bad already, which the numbers before it must not hide."""
    commits = list(reversed(git(trainable.folder, "rev-list", "--first-parent", "HEAD").split()))
    levels = {8: 0.7, 7: 0.7, 5: 0.7, 4: 0.7, 9: 0.6, 12: 0.6}
    recorded(trainable.folder, [run_of(commits[at], at, level) for at, level in levels.items()])
    command = ("--", sys.executable, "-c", "print('no training is needed'); exit(1)")
    same = trainable.ciplug("bisect", "accuracy", "--good", commits[9], "--bad", commits[12], *command)
    assert same.stdout == "no commit has moved accuracy: both ends are within its noise (after 0 trainings)\n"
    assert (
        f"the good commit {commits[9][:8]} (0.6) is no better than the bad one, {commits[12][:8]} (0.6)" in same.stderr
    )
    assert "2 recorded numbers" in same.stderr
    # A good commit that is worse than the bad one.
    more = [run_of(commits[at], 20 * times + at, levels[at]) for at in (8, 9) for times in (1, 2, 3)]
    recorded(trainable.folder, more)
    train = ("--link", "data", "--", sys.executable, "train.py", str(tmp_path / "seen.txt"))
    worse = trainable.ciplug("bisect", "accuracy", "--good", commits[9], "--bad", commits[11], *train, code=2)
    assert f"accuracy is worse at the good commit {commits[9][:8]} (0.6" in worse.stderr
    assert "are the ends swapped?" in worse.stderr


@pytest.mark.slow
def test_what_a_search_cannot_begin_with(trainable: Project) -> None:
    train = ("--", sys.executable, "train.py")
    assert "no command to run" in trainable.ciplug("bisect", "accuracy", "--good", "HEAD~3", code=2).stderr
    no_history = trainable.ciplug("bisect", "accuracy", *train, code=2).stderr
    assert "no run is recorded on these commits" in no_history
    backwards = trainable.ciplug("bisect", "accuracy", "--good", "HEAD", "--bad", "HEAD~3", *train, code=2).stderr
    assert "is not one of the first parents of" in backwards
    same = trainable.ciplug("bisect", "accuracy", "--good", "HEAD", "--bad", "HEAD", *train, code=2).stderr
    assert "the good and the bad commit are the same" in same
    recorded(trainable.folder, [run_of(trainable.head, 90, 0.9)])
    misspelled = trainable.ciplug("bisect", "acuracy", "--good", "HEAD~3", *train, code=2).stderr
    assert "did you mean 'accuracy'?" in misspelled and "training" not in misspelled
    unknown = trainable.ciplug("bisect", "accuracy", "--good", "nothing", *train, code=2).stderr
    assert "no commit, branch or tag named 'nothing'" in unknown
    missing = trainable.ciplug("bisect", "accuracy", "--good", "HEAD~3", "--link", "nothing", *train, code=2).stderr
    assert "--link nothing: there is no such file or folder" in missing
    untrainable = trainable.ciplug(
        "bisect", "accuracy", "--good", "HEAD~3", "--", sys.executable, "-c", "exit(1)", code=2
    )
    assert "cannot be measured: the command ended with 1" in untrainable.stderr
    assert git(trainable.folder, "worktree", "list").count("\n") == 0
    assert json.loads(trainable.ciplug("runs", "list", "--json").stdout)[0]["status"] == "failed"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_the_search_and_bars_no_commit(trainable: Project, number: signal.Signals) -> None:
    stop = f"import os, signal; signal.signal({number:d}, signal.SIG_DFL); os.kill(os.getpid(), {number:d})"
    done = trainable.ciplug(
        "bisect", "accuracy", "--good", "HEAD~3", "--", sys.executable, "-c", stop, code=128 + number
    )
    assert "interrupted" in done.stderr and "goes on from here" in done.stderr
    assert "cannot be measured" not in done.stderr
    assert git(trainable.folder, "worktree", "list").count("\n") == 0


@pytest.mark.slow
def test_a_checkout_that_was_left_behind_is_removed_and_one_in_use_is_not(trainable: Project, tmp_path: Path) -> None:
    """A `kill -9` leaves the checkout; the next search removes it."""
    began, place = tmp_path / "began", tmp_path / "checkouts"
    place.mkdir()
    wait = f"import pathlib, time; pathlib.Path({str(began)!r}).touch(); time.sleep(600)"
    search = [sys.executable, "-m", "ciplug", "bisect", "accuracy", "--good", "HEAD~3", "--", sys.executable, "-c"]
    env = {**os.environ, "TMPDIR": str(place)}
    with subprocess.Popen([*search, wait], cwd=trainable.folder, env=env, start_new_session=True) as killed:
        try:
            while not began.exists():
                assert killed.poll() is None
                time.sleep(0.02)
            (left,) = place.glob("ciplug-*/*/")
            fails = [*search, "raise SystemExit(1)"]
            assert subprocess.run(fails, cwd=trainable.folder, env=env, capture_output=True).returncode == 2
            assert left.is_dir(), "the first search still needs it"
        finally:
            os.killpg(killed.pid, signal.SIGKILL)
    assert left.is_dir()
    assert subprocess.run(fails, cwd=trainable.folder, env=env, capture_output=True).returncode == 2
    assert not list(place.iterdir())
    assert git(trainable.folder, "worktree", "list").count("\n") == 0
