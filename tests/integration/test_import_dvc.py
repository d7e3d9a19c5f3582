"""`ciplug import dvc` on a history that DVC and DVCLive have made (record_dvc.sh), as docs/coming-from.md says it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from ciplug.errors import InputError
from ciplug.interop.dvc_project import Plot, parse_project
from ciplug.records.series import Series
from ciplug.steps.session import open_session
from tests.project import Project, git

DATA = Path(__file__).parents[1] / "data" / "imports" / "dvc"
_LIVE = ("train/loss", "val/accuracy", "diverged")
FIRST, QUIET, FASTER, MERGE, HALF = "9c265031", "71ef9b14", "5f617659", "16c9c2d3", "cdcf9e0d"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = tmp_path / "project"
    git(tmp_path, "clone", "-q", str(DATA / "history.bundle"), "project")
    git(folder, "fetch", "-q", "origin", "refs/exps/*:refs/exps/*")
    git(folder, "checkout", "-q", "-B", "main", "origin/main")
    git(folder, "branch", "-q", "faster", "origin/faster")
    git(folder, "remote", "remove", "origin")
    shutil.copytree(DATA / "cache", folder / ".dvc" / "cache" / "files")
    return Project(folder)


def _runs(project: Project) -> dict[str, Any]:
    return {run["commit"][:8]: run for run in project.json("runs", "list", "--json")}


def test_each_commit_with_new_metrics_has_a_run(project: Project) -> None:
    assert "ciplug import dvc ." in project.ciplug("import").stdout
    done = project.ciplug("import", "dvc", ".", "--model", "wine", code=InputError.exit_code)
    assert "4 new runs, 0 known, 3 files sent" in done.stdout
    assert f"imported without a part: {HALF}:dvclive/metrics.json:1: not JSON" in done.stderr
    runs = _runs(project)
    # Neither a commit without new metrics nor a merge of what a branch has has one.
    assert {FIRST, FASTER, HALF} < set(runs) and not {QUIET, MERGE} & set(runs)
    first = runs[FIRST]
    assert first["params"] == {"lr": 0.1, "epochs": 3, "optimizer/name": "adam"}
    # The outputs of a matrix, which only DVC's cache has.
    assert first["metrics"] == {
        "train/loss": 0.1 / 3,
        "val/accuracy": 1 - 0.1 / 3,
        "diverged": "NaN",
        "test/recall": 0.5 + 4 / 100,
        "holdout/recall": 0.5 + 7 / 100,
    }
    assert first["started"] == first["ended"] == "2026-01-02T12:00:00.000Z"
    assert first["model"] == "wine" and first["provenance"]["context"]["actor"] == "Ann"
    assert first["artifacts"][0]["path"] == "model.txt"
    # It is a baseline for what is trained next: its stages have read the files of its commit.
    assert first["provenance"]["dirty"] is False
    assert "diverged" in project.ciplug("compare", FIRST, FASTER).stdout
    session = open_session(cwd=project.folder, env=os.environ)
    series = session.runs().series(session.runs().get(first["id"]))
    assert series["train/loss"] == Series((0, 1, 2), (0.1, 0.05, 0.1 / 3)) and set(series) == {*_LIVE}
    (experiment,) = (run for run in runs.values() if run.get("name") == "half")
    assert experiment["params"]["lr"] == 0.5 and experiment["tags"]["dvc.baseline"].startswith(FASTER)
    assert {one["name"]: one["why"] for one in runs[HALF]["left_out"]} == {"dvclive/metrics.json": "file"}
    refs = git(project.folder, "for-each-ref")
    assert "0 new runs, 4 known, 0 files sent" in project.ciplug("import", "dvc", ".").stdout
    assert git(project.folder, "for-each-ref") == refs


def test_what_the_cache_lacks_is_named_and_tried_again(project: Project) -> None:
    cache = project.folder / ".dvc" / "cache" / "files"
    shutil.rmtree(cache)
    git(project.folder, "checkout", "-q", "-B", "alone", FIRST)
    (project.folder / "dvc.yaml").write_text("stages: {evaluate: {cmd: x, metrics: [test.json]}}\n")
    (project.folder / "dvc.lock").write_text(
        "stages: {evaluate: {cmd: x, outs: [{path: test.json, md5: 7588c255769206c064d4e04fec973482}]}}\n"
    )
    commit = project.commit("cached metrics only")
    words = ("import", "dvc", ".", "--rev", "alone")
    done = project.ciplug(*words, code=InputError.exit_code)
    assert (
        f"{commit[:8]}:test.json: its content is not in DVC's cache here\n  -> dvc fetch --all-commits" in done.stderr
    )
    shutil.copytree(DATA / "cache", cache)
    assert "1 new run, 1 known" in project.ciplug(*words).stdout
    assert _runs(project)[commit[:8]]["metrics"] == {"recall": 0.54}


def test_files_that_a_stage_has_not_seen_make_a_run_dirty(project: Project) -> None:
    for name, text in (
        ("evaluate.py", "other code"),
        ("params.yaml", "lr: 7\nepochs: 3\n"),
        ("test.json", '{"recall": 1}'),
    ):
        (project.folder / name).write_text(text)
    (project.folder / ".gitignore").write_text("")
    commit = project.commit("by hand")
    project.ciplug("import", "dvc", ".", code=InputError.exit_code)
    run = _runs(project)[commit[:8]]
    assert run["provenance"]["dirty_files"] == ["evaluate.py", "test.json", "params.yaml"]
    policy = "version: 1\nmodel: default\nrecord: ci\n"
    (project.folder / "ciplug.yaml").write_text(policy)
    project.commit("policy")
    refused = project.ciplug("promote", "default", "--to", "staging", "--run", _runs(project)[FIRST]["id"], code=None)
    assert refused.returncode and "imported from another system" in refused.stderr


def test_a_shallow_clone_is_refused(project: Project, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{project.folder}", "shallow")
    shallow = Project(tmp_path / "shallow")
    assert "git fetch --unshallow" in shallow.ciplug("import", "dvc", ".", code=2).stderr


def test_the_files_of_a_dvc_yaml() -> None:
    text = b"""
    x: &shared {wdir: parts}
    stages:
      a: {<<: *shared, params: [lr, {other.yaml: }], metrics: [{m.json: {cache: false}}], plots: [p.csv: {x: epoch}]}
      b: {foreach: [1], do: {metrics: ["${item}/m.json"]}}
    plots: [{loss: {x: step, y: {train.csv: [loss], test.csv: loss}}}, ../outside.csv]
    params: /etc/passwd
    """
    project = parse_project("sub", text, b"stages: {b@1: {outs: [{path: 1/m.json, md5: %s}]}}" % (b"0" * 32), "c")
    assert project.metrics == ("sub/parts/m.json", "sub/1/m.json")
    assert project.params == ("sub/parts/params.yaml", "sub/parts/other.yaml", "sub/params.yaml")
    assert project.plots == (
        Plot("sub/train.csv", "step"),
        Plot("sub/test.csv", "step"),
        Plot("outside.csv"),
        Plot("sub/parts/p.csv", "epoch"),
    )
    assert project.problems == ("'/etc/passwd' is not a path in the repository",)
    many = b"a: &a [1, 1]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (c + 1, c + 1, c, c) for c in range(97, 121))
    for text, words in ((b"a: [", "c:dvc.yaml:2: not YAML"), (many, "more than 500,000 values"), (b"[" * 99, "deeper")):
        with pytest.raises(InputError, match=words):
            parse_project("", text, None, "c")
