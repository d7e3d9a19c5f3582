"""`ciplug runs list --where` and `ciplug leaderboard`, as a user calls them, over the git store."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.project import Project, git

CONFIG = """\
version: 1
model: wine
metrics: metrics.json
params: params.yaml
gates:
  accuracy: {higher_is_better: true, min: 0.8}
  "loss/validation": {higher_is_better: false, max: 1}
"""
ROWS: list[tuple[dict[str, Any], int, str]] = [
    ({"accuracy": 0.91, "loss/validation": 0.3}, 4, "red"),
    ({"accuracy": 0.93, "loss/validation": 0.1}, 6, "it's; DROP TABLE runs"),
    ({"accuracy": 0.85, "loss/validation": 0.2}, 8, "red"),
    ({"accuracy": float("nan"), "speed": 12}, 10, "blue"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A project with four runs of one commit, and their ids."""
    folder = tmp_path_factory.mktemp("queries")
    git(folder, "init", "-q", "--bare", "-b", "main", "remote.git")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{name}_NAME", "Test Person")
            patch.setenv(f"GIT_{name}_EMAIL", "test@example.com")
        project = Project.create(folder / "work", remote=folder / "remote.git", config=CONFIG)
        for metrics, depth, team in ROWS:
            (project.folder / "metrics.json").write_text(json.dumps(metrics))
            (project.folder / "params.yaml").write_text(f"depth: {depth}\n")
            project.ciplug("record", "--quiet", "--tag", f"team={team}")
        listed = project.json("runs", "list", "--json")
    return folder, [run["id"] for run in reversed(listed)]


@pytest.fixture
def project(made: tuple[Path, list[str]]) -> Project:
    return Project(made[0] / "work")


@pytest.fixture
def ids(made: tuple[Path, list[str]]) -> list[str]:
    return made[1]


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.slow
def test_conditions_choose_and_order_sorts(project: Project, ids: list[str]) -> None:
    where = "metrics.accuracy > 0.9 AND params.depth <= 10 AND status = 'finished'"
    found = project.ciplug("runs", "list", "--where", where, "--order-by", "metrics.accuracy DESC", "--format", "csv")
    assert [row["run"] for row in table(found.stdout)] == [ids[1], ids[0]]
    assert "1 run left out: a value compared in --where is NaN" in found.stderr
    (row,) = project.json("runs", "list", "--where", "tags.team = 'it''s; DROP TABLE runs'", "--json")
    assert row["id"] == ids[1]
    assert row["provenance"]["context"]["host"] == "local", "the whole record"


def test_nan_and_absent_come_last_both_ways(project: Project, ids: list[str]) -> None:
    for direction in ("ASC", "DESC"):
        order = ("--order-by", f"metrics.accuracy {direction}", "--format", "csv")
        found = project.ciplug("runs", "list", *order)
        assert table(found.stdout)[-1]["run"] == ids[3]
        assert table(found.stdout)[-1]["metrics.accuracy"] == "NaN"
        assert "1 run listed last, as metrics.accuracy is NaN" in found.stderr
    found = project.ciplug("runs", "list", "--order-by", "metrics.speed", "--limit", "1", "--format", "csv")
    assert [row["run"] for row in table(found.stdout)] == [ids[3]]
    assert "3 runs listed last, without metrics.speed" in found.stderr


def test_tables_show_what_is_asked_for(project: Project, ids: list[str]) -> None:
    columns = ("--columns", "params.depth,metrics.loss/validation", "--limit", "3")
    shown = project.ciplug("runs", "list", *columns)
    assert "params.depth" in shown.stdout
    assert "metrics.loss/validation" in shown.stdout
    assert shown.stdout.index(ids[3][:12]) < shown.stdout.index(ids[2][:12])
    assert "1 more: --limit 0 lists all" in shown.stderr
    marked = project.ciplug("runs", "list", *columns, "--format", "markdown").stdout
    assert marked.splitlines()[1].startswith("|---")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "words", "hint"),
    [
        (("--where", "metrics.acuracy > 0.9"), "no run has a metric 'acuracy'", "did you mean 'accuracy'?"),
        (("--where", "metrics.accuracy >> 0.9"), "at character 18", "did you mean '>'?"),
        (("--where", ""), "a key, like metrics.accuracy, is expected", ""),
        (("--order-by", "params.deep"), "no run has a parameter 'deep'", "did you mean 'depth'?"),
        (("--columns", "tags.tema"), "no run has a tag 'tema'", "did you mean 'team'?"),
        (("--limit", "-1"), "--limit takes a number from 0 up", ""),
        (("--offline", "--json"), "the cache does not hold complete records", "--format csv"),
    ],
)
def test_what_cannot_be_asked_is_an_error(project: Project, args: tuple[str, ...], words: str, hint: str) -> None:
    said = project.ciplug("runs", "list", *args, code=2)
    assert words in said.stderr
    assert hint in said.stderr
    assert said.stdout == ""


def test_nothing_that_matches_is_said(project: Project) -> None:
    assert "none of 4 runs matches" in project.ciplug("runs", "list", "--where", "metrics.accuracy > 9").stderr
    assert project.json("runs", "list", "--where", "metrics.accuracy > 9", "--json") == []


def test_a_run_is_shown_by_the_beginning_of_its_id(project: Project, ids: list[str]) -> None:
    assert project.json("runs", "show", ids[0][:10], "--json")["id"] == ids[0]


def test_a_leaderboard_goes_the_way_of_the_gate(project: Project, ids: list[str]) -> None:
    board = project.ciplug("leaderboard", "--format", "csv")
    assert [row["run"] for row in table(board.stdout)] == [ids[1], ids[0], ids[2], ids[3]]
    assert [row["rank"] for row in table(board.stdout)] == ["1", "2", "3", ""]
    assert table(board.stdout)[0]["metrics.loss/validation"] == "0.1"
    assert "1 run ranked last, as metrics.accuracy is NaN" in board.stderr
    board = project.ciplug("leaderboard", "--metric", "loss/validation", "--limit", "2")
    assert ids[1][:12] in board.stdout.splitlines()[2]
    assert "1 run left out, without metrics.loss/validation" in board.stderr
    assert "1 more: --limit 0 lists all" in board.stderr
    best = project.json("leaderboard", "--where", "params.depth > 6", "--branch", "main", "--format", "json")
    assert [(run["run"], run["rank"]) for run in best["runs"]] == [(ids[2], 1), (ids[3], None)]
    assert (best["metric"], best["higher_is_better"], best["total"]) == ("accuracy", True, 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--metric", "speed"), "it is not known whether higher or lower is better for 'speed'"),
        (("--metric", "spede", "--lower-is-better"), "no run has a metric 'spede'"),
        (("--lower-is-better",), "ciplug.yaml says that higher is better for 'accuracy'"),
        (("--model", "whine"), "no run of 'whine' is recorded"),
        (("--config", "none.yaml"), "no such file"),
    ],
)
def test_a_direction_is_never_guessed(project: Project, args: tuple[str, ...], words: str) -> None:
    assert words in project.ciplug("leaderboard", *args, code=2).stderr


@pytest.mark.slow
def test_models_and_failed_runs_are_not_mixed_in(tmp_path: Path) -> None:
    config = "version: 1\nmetrics: metrics.json\n"
    project = Project.with_remote(tmp_path, config=config)
    best = ("leaderboard", "--metric", "accuracy", "--higher-is-better")
    assert "no run is recorded" in project.ciplug(*best).stderr
    good = project.train("--model", "wine")
    (project.folder / "train.py").write_text(
        "import pathlib\npathlib.Path('metrics.json').write_text('{\"accuracy\": 0.99}')\nraise SystemExit(3)\n"
    )
    project.commit("a training that fails")
    project.ciplug("run", "--model", "wine", "--", "python3", "train.py", code=3)
    board = project.json(*best, "--format", "json")
    assert [run["run"] for run in board["runs"]] == [good]
    assert "1 run left out, not finished" in project.ciplug(*best).stderr
    failed = project.json(*best, "--where", "status = 'failed'", "--format", "json")
    assert [run["value"] for run in failed["runs"]] == [0.99]
    (project.folder / "metrics.json").write_text('{"accuracy": 1}')
    project.ciplug("record", "--model", "beer")
    said = project.ciplug(*best, code=2)
    assert "runs of 2 models" in said.stderr
    assert "choose one with --model: beer, wine" in said.stderr
    assert project.json(*best, "--model", "wine", "--format", "json")["runs"][0]["run"] == good


@pytest.mark.slow
def test_what_stands_in_a_stage_is_marked(tmp_path: Path) -> None:
    project = Project.with_remote(tmp_path)
    run = project.train()
    project.ciplug("gate")
    project.ciplug("promote", "wine", "--to", "staging")
    assert "v1 Staging" in project.ciplug("leaderboard").stdout
    (row,) = project.json("leaderboard", "--format", "json")["runs"]
    assert (row["run"], row["version"], row["stage"]) == (run, 1, "Staging")


def test_offline_says_how_old_the_answer_is(made: tuple[Path, list[str]], tmp_path: Path) -> None:
    shutil.copytree(made[0], tmp_path / "copy", symlinks=True)
    project = Project(tmp_path / "copy" / "work")
    git(project.folder, "remote", "set-url", "origin", str(tmp_path / "copy" / "remote.git"))
    assert "nothing is kept on this machine" in project.ciplug("leaderboard", "--offline", code=2).stderr
    project.ciplug("leaderboard")
    (tmp_path / "copy" / "remote.git").rename(tmp_path / "copy" / "gone")
    assert "cannot read the store" in project.ciplug("leaderboard", code=3).stderr
    board = project.ciplug("leaderboard", "--offline", "--limit", "1")
    assert made[1][1][:12] in board.stdout
    assert "ciplug: offline: branch 'ciplug' of " in board.stderr and " as it was at 20" in board.stderr
    assert "as it was at" in project.ciplug("runs", "list", "--offline", "--quiet").stderr
