"""Runs by where they come from: dirty, a fork's, a host's, a person's, a sweep's."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from ciplug.cli import main
from ciplug.records.amendment import Amendment
from ciplug.records.keys import amendment_object
from ciplug.records.provenance import Context, Provenance
from ciplug.records.run import Run
from ciplug.steps.session import open_session
from ciplug.tracking.run_objects import run_objects
from tests.project import Project, git

COMMIT = "c" * 40
GITHUB = Context(host="github_actions", actor="octocat", branch="main")
CLEAN = Provenance(context=GITHUB, dirty=False)


def run(number: int, accuracy: float, provenance: Provenance = CLEAN, parent: str | None = None, **more: str) -> Run:
    return Run(
        id=f"{number:032x}",
        model="wine",
        status=more.get("status", "finished"),  # type: ignore[arg-type]
        started=f"2026-11-28T00:{number:02}:00.000Z",
        ended=f"2026-11-28T00:{number:02}:30.000Z",
        commit=COMMIT,
        metrics={"accuracy": accuracy},
        provenance=provenance,
        parent=parent,
    )


RUNS = [
    run(1, 0.80),
    run(2, 0.99, Provenance(context=GITHUB, dirty=True, dirty_files=("train.py",), dirty_count=1)),
    run(3, 0.98, Provenance(context=Context(host="gitlab_ci", actor="mallory", trusted=False), dirty=False)),
    run(4, 0.97, CLEAN, status="failed"),
    run(5, 0.81, Provenance(context=Context(host="local", actor="ann@example.com"))),
    run(6, 0.70, CLEAN),
    *(run(number, 0.8 + number / 1000, CLEAN, f"{6:032x}") for number in range(7, 10)),
    run(10, 0.60, CLEAN, f"{9:032x}"),
    run(11, 0.50, Provenance(context=GITHUB, dirty=False, seed=3, ignored_files=("poetry.lock",))),
]


def amendment(of: Run, seq: int, **fields: object) -> tuple[str, bytes]:
    made = Amendment(run=of.id, model=of.model, commit=of.commit, seq=seq, created=of.ended, **fields)  # type: ignore[arg-type]
    key, data = amendment_object(made)
    return key.key, data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("provenance")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{name}_NAME", "Test Person")
            patch.setenv(f"GIT_{name}_EMAIL", "test@example.com")
        git(top, "init", "-q", "--bare", "-b", "main", "r.git")
        project = Project.create(top / "work", remote=f"file://{top}/r.git")
        store = open_session(cwd=project.folder).store
        for one in RUNS:
            store.add(run_objects(one))
        store.add(dict([amendment(RUNS[-1], 1, metrics={"accuracy": 0.95})]))
    return project.folder


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


class Output(NamedTuple):
    out: str
    err: str


def output(capsys: pytest.CaptureFixture[str], *args: str) -> Output:
    assert main(list(args)) == 0
    return Output(*capsys.readouterr())


def numbers(text: str) -> list[int]:
    return [int(row["run"], 16) for row in csv.DictReader(io.StringIO(text))]


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("dirty = 'true'", [2]),
        ("dirty = true", [2]),
        ("dirty = FALSE", [11, 10, 9, 8, 7, 6, 4, 3, 1]),
        ("attributes.dirty != 'false'", [2]),
        ("dirty IN (true, 'false') AND trusted = false", [3]),
        ("host = 'gitlab_ci'", [3]),
        ("host IN ('gitlab', 'local')", [5, 3]),
        ("host != 'github'", [5, 3]),
        ("actor LIKE '%@example.com'", [5]),
        (f"parent = '{6:032x}'", [9, 8, 7]),
        ("parent LIKE '%'", [10, 9, 8, 7]),
        ("set_aside = true", [11]),
        ("seed = 3", [11]),
        ("seed IN (3, '4') AND seed != -1", [11]),
        ("seed LIKE '%'", [11]),
    ],
)
def test_conditions(where: str, found: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    assert numbers(output(capsys, "runs", "list", "--where", where, "--format", "csv").out) == found


@pytest.mark.parametrize(
    "where", ["dirty = 'yes'", "dirty = 1", "dirty = maybe", "dirty > true", "host = true", "seed = 1.5", "seed > 3"]
)
def test_a_wrong_value_is_an_error(where: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "list", "--where", where]) == 2
    assert "at character" in capsys.readouterr().err


def cells(text: str) -> list[list[str]]:
    """The rows of a markdown table, without its head."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def test_a_list_shows_where_runs_come_from_and_folds_children(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = output(capsys, "runs", "list", "--format", "markdown")
    shown = {row[5][-2:]: (row[4], row[6]) for row in cells(out)}
    assert shown == {
        "11": ("finished, files set aside", "github/octocat"),
        "06": ("finished, +4 children", "github/octocat"),
        "05": ("finished", "local/ann@\u200bexample.com"),
        "04": ("failed", "github/octocat"),
        "03": ("finished, fork", "gitlab/mallory"),
        "02": ("finished, dirty", "github/octocat"),
        "01": ("finished", "github/octocat"),
    }
    assert "4 child runs not listed: --children lists them too" in err
    out, err = output(capsys, "runs", "list", "--children", "--format", "markdown")
    assert [row[4] for row in cells(out)].count("finished, child") == 4 and "child" not in err
    # A search finds children, too.
    out, err = output(capsys, "runs", "list", "--where", "metrics.accuracy < 0.65", "--format", "markdown")
    assert [row[4] for row in cells(out)] == ["finished, child"]
    records = json.loads(output(capsys, "runs", "list", "--json").out)
    assert len(records) == len(RUNS)
    (row, *_) = csv.DictReader(io.StringIO(output(capsys, "runs", "list", "--format", "csv").out))
    assert {name: row[name] for name in ("host", "actor", "dirty", "trusted", "parent")} == {
        "host": "github_actions",
        "actor": "octocat",
        "dirty": "false",
        "trusted": "true",
        "parent": "",
    }


BOARD = ("leaderboard", "--metric", "accuracy", "--format", "csv")


def test_runs_that_do_not_count_are_not_ranked(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = output(capsys, *BOARD)
    assert numbers(out) == [11, 5, 9, 8, 7, 1, 6, 10]
    assert "1 run left out, not finished" in err
    assert "1 run left out, dirty: tracked files differed from the commit" in err
    assert "1 run left out, of a fork's job" in err
    assert "--all ranks those" in err
    marks = [row["marks"] for row in csv.DictReader(io.StringIO(out))]
    assert marks == ["files set aside, metric amended", "", "child", "child", "child", "", "", "child"]
    out, err = output(capsys, *BOARD, "--all")
    assert numbers(out)[:4] == [2, 3, 4, 11] and "left out" not in err
    marks = [row["marks"] for row in csv.DictReader(io.StringIO(out))]
    assert marks[:4] == ["dirty", "fork", "failed", "files set aside, metric amended"]
    assert numbers(output(capsys, *BOARD, "--where", "dirty = true").out) == [2]
    first = json.loads(output(capsys, *BOARD[:3], "--format", "json").out)["runs"][0]
    assert (first["metric_amended"], first["dirty"], first["host"]) == (True, "false", "github_actions")


def amend(records: Sequence[tuple[str, bytes]]) -> None:
    open_session().store.add(dict(records))


def test_children_are_withdrawn_and_deleted_with_their_parent(capsys: pytest.CaptureFixture[str]) -> None:
    """The last test here: it amends the sweep."""
    sweep = RUNS[5]
    amend([amendment(sweep, 1, withdrawn=True, reason="leak", by="ann")])
    found = output(capsys, "runs", "list", "--where", "lifecycle = 'withdrawn'", "--format", "csv").out
    assert numbers(found) == [10, 9, 8, 7, 6]
    out, _ = output(capsys, "runs", "list", "--children", "--format", "markdown")
    assert [row[4] for row in cells(out)].count("finished, withdrawn, child") == 4
    out, err = output(capsys, *BOARD)
    assert numbers(out) == [11, 5, 1]
    assert "5 runs left out, withdrawn" in err
    (grandchild,) = json.loads(output(capsys, "runs", "list", "--limit", "2", "--json").out)[1:]
    assert grandchild["lifecycle"] == "withdrawn"
    shown = output(capsys, "runs", "show", RUNS[9].id).out
    assert "started by a run that was" in shown and "withdrawn by ann: leak" in shown
    amend([amendment(sweep, 2, withdrawn=False), amendment(sweep, 3, lifecycle="deleted", by="ann")])
    out, err = output(capsys, "runs", "list", "--children", "--format", "csv")
    assert numbers(out) == [11, 5, 4, 3, 2, 1] and "5 deleted: --all lists them too" in err
    amend([amendment(sweep, 4, lifecycle="active")])
    assert len(numbers(output(capsys, "runs", "list", "--format", "csv").out)) == len(RUNS)
