"""Dirt is what differed from the commit before the command began."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ciplug.cli import main
from ciplug.git.workspace import discover
from ciplug.git.worktree import Dirt, committed, measure_dirt
from tests.project import Project, git

PYTHON = sys.executable
WRITE = "import pathlib, sys; [pathlib.Path(name).write_text('{\"accuracy\": 0.9}') for name in sys.argv[1:]]"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "r.git")
    project = Project.create(tmp_path / "work", remote=f"file://{tmp_path}/r.git")
    monkeypatch.chdir(project.folder)
    return project


def measured(top: Path, *outputs: str) -> Dirt:
    workspace = discover(top)
    assert workspace is not None
    return measure_dirt(workspace, [Path(path) for path in outputs])


def last(project: Project) -> dict[str, Any]:
    provenance: dict[str, Any] = project.json("runs", "list", "--limit", "1", "--json")[0]["provenance"]
    return {key: provenance.get(key) for key in ("dirty", "dirty_files", "dirty_count", "ignored_files")}


CLEAN = {"dirty": False, "dirty_files": None, "dirty_count": None, "ignored_files": None}


def dirty(*files: str) -> dict[str, Any]:
    return {**CLEAN, "dirty": True, "dirty_files": list(files), "dirty_count": len(files)}


# What differs


def test_what_counts(project: Project) -> None:
    top = project.folder
    for name in ("staged", "deleted", "removed", "moved", "mode", "link", "kept", "été", "back"):
        (top / name).write_text(f"{name} has its own text\n")
    project.commit("files")
    assert measured(top) == Dirt()
    (top / "train.py").write_text("pass\n")
    (top / "staged").write_text("other\n")
    (top / "new").write_text("new\n")
    git(top, "add", "staged", "new")
    (top / "deleted").unlink()
    git(top, "rm", "-q", "removed")
    git(top, "mv", "moved", "to here")
    (top / "mode").chmod(0o755)
    (top / "link").unlink()
    (top / "link").symlink_to("kept")
    (top / "été").write_text("changed\n")
    os.utime(top / "kept", (1, 1))
    # A change that was staged, and then undone in the work tree, is not of the code that runs.
    (top / "back").write_text("other\n")
    git(top, "add", "back")
    (top / "back").write_text("back has its own text\n")
    # Nor do untracked files count.
    (top / "untracked.py").write_text("x = 1\n")
    found = measured(top)
    names = {"train.py", "staged", "new", "deleted", "removed", "moved", "to here", "mode", "link", "été"}
    assert found.files == tuple(sorted(names))
    first = found.digest
    (top / "train.py").write_text("pass \n")
    assert measured(top).digest != first
    (top / "train.py").write_text("pass\n")
    assert measured(top).digest == first


@pytest.mark.parametrize("bit", ["--assume-unchanged", "--skip-worktree"])
def test_a_change_that_git_was_told_not_to_see(project: Project, bit: str) -> None:
    git(project.folder, "update-index", bit, "train.py", "numbers.json")
    assert measured(project.folder) == Dirt()
    (project.folder / "train.py").write_text("pass\n")
    assert git(project.folder, "status", "--porcelain") == ""
    assert measured(project.folder).files == ("train.py",)


@pytest.mark.parametrize("bit", ["--assume-unchanged", "--skip-worktree"])
def test_a_deletion_that_git_was_told_not_to_see(project: Project, bit: str) -> None:
    git(project.folder, "update-index", bit, "numbers.json")
    (project.folder / "numbers.json").unlink()
    assert git(project.folder, "status", "--porcelain") == ""
    assert measured(project.folder).files == ("numbers.json",)


@pytest.mark.skipif(os.name == "nt", reason="a hook is a shell script")
def test_a_monitor_of_the_file_system_is_not_believed(project: Project) -> None:
    """It says that nothing has changed, and the index that only the seconds of a time count."""
    top, hook = project.folder, project.folder / ".git" / "monitor"
    hook.write_text("#!/bin/sh\nprintf 'token\\0'\n")
    hook.chmod(0o755)
    for key, value in (
        ("core.fsmonitor", str(hook)),
        ("core.fsmonitorHookVersion", "2"),
        ("core.checkStat", "minimal"),
    ):
        git(top, "config", key, value)
    git(top, "update-index", "--fsmonitor")
    git(top, "status")
    (top / "train.py").write_text("pass\n")
    assert git(top, "status", "--porcelain") == ""
    assert measured(top).files == ("train.py",)


def test_an_object_in_the_place_of_another_is_not_believed(project: Project) -> None:
    top, first = project.folder, project.head
    (top / "train.py").write_text("pass\n")
    git(top, "stash", "-q")
    git(top, "replace", first, "stash@{0}")
    git(top, "checkout", "-q", "stash@{0}", "--", "train.py")
    assert measured(top).files == ("train.py",)


def test_a_sparse_checkout_is_clean(project: Project) -> None:
    (project.folder / "big").mkdir()
    (project.folder / "big" / "file").write_text("1")
    project.commit("big")
    git(project.folder, "sparse-checkout", "set", "--no-cone", "/*", "!/big/")
    assert not (project.folder / "big").exists()
    assert measured(project.folder) == Dirt()


def test_ends_of_lines_that_git_converts(project: Project) -> None:
    (project.folder / ".gitattributes").write_text("*.txt text eol=crlf\n")
    (project.folder / "a.txt").write_bytes(b"a\r\n")
    project.commit("text")
    (project.folder / "a.txt").write_bytes(b"a\n")
    assert measured(project.folder) == Dirt()


@pytest.mark.parametrize("setting", ["diff.ignoreSubmodules=all", "diff.noprefix=true", "diff.relative=true"])
def test_submodules(project: Project, tmp_path: Path, setting: str) -> None:
    library = Project.create(tmp_path / "library")
    git(project.folder, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library.folder), "lib")
    project.commit("submodule")
    git(project.folder, "config", *setting.split("="))
    inner = project.folder / "lib"
    assert measured(project.folder) == Dirt()
    (inner / "untracked").write_text("1")
    assert measured(project.folder) == Dirt()
    (inner / "train.py").write_text("pass\n")
    assert measured(project.folder).files == ("lib/train.py",)
    assert measured(project.folder, "lib/train.py") == Dirt()
    git(inner, "commit", "-qam", "other")
    assert measured(project.folder).files == ("lib",)
    # One that was not checked out is no change.
    fresh = tmp_path / "fresh"
    git(tmp_path, "clone", "-q", str(project.folder), "fresh")
    assert measured(fresh) == Dirt()
    # Content without its repository, as in an image that was built without .git.
    (fresh / "lib/train.py").write_text("pass\n")
    assert measured(fresh).files == ("lib",)


@pytest.mark.slow
def test_a_copied_checkout_is_clean_and_its_index_is_left_alone(project: Project, tmp_path: Path) -> None:
    """Files that were copied or restored have other times than the index knows."""
    library = Project.create(tmp_path / "library")
    git(project.folder, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library.folder), "lib")
    (project.folder / "link").symlink_to("train.py")
    (project.folder / "two\nlines").write_text("1")
    project.commit("files of each kind")
    for folder, _, names in os.walk(project.folder):
        for name in names:
            if ".git" not in Path(folder).parts:
                os.utime(Path(folder, name), (1, 1), follow_symlinks=False)
    indexes = [project.folder / ".git/index", project.folder / ".git/modules/lib/index"]
    before = [path.read_bytes() for path in indexes]
    assert measured(project.folder) == Dirt()
    training = (PYTHON, "-c", WRITE, "metrics.json")
    for command in (
        ("run", "--", *training),
        ("record", "--metrics", "metrics.json"),
        ("ci", "--", *training),
        ("compare",),
        ("gate",),
        ("report",),
        ("doctor",),
        ("runs", "list"),
    ):
        project.ciplug(*command, code=None)
        assert [path.read_bytes() for path in indexes] == before, command
    assert last(project) == CLEAN
    (project.folder / "link").unlink()
    (project.folder / "link").symlink_to("ciplug.yaml")
    (project.folder / "train.py").write_text("pass\n")
    assert measured(project.folder).files == ("link", "train.py")


def test_a_merge_with_conflicts(project: Project) -> None:
    project.branch("other", {"accuracy": 0.1})
    git(project.folder, "checkout", "-q", "main")
    project.numbers({"accuracy": 0.2})
    project.commit("here")
    subprocess.run(["git", "merge", "-q", "other"], cwd=project.folder, check=False, capture_output=True)
    assert measured(project.folder).files == ("numbers.json",)


# When it is measured, and what is set aside


@pytest.mark.slow
def test_what_the_command_changes_is_not_dirt(project: Project) -> None:
    """A pipeline that rewrites tracked files: this run is clean, and the next one in the same tree is not."""
    write = ("run", "--", PYTHON, "-c", WRITE, "metrics.json", "numbers.json")
    project.ciplug(*write)
    assert last(project) == CLEAN
    project.ciplug(*write)
    assert last(project) == dirty("numbers.json")
    shown = project.ciplug("compare").stdout
    assert "was made from a dirty tree: numbers.json differed from the commit" in shown, shown
    outline = project.ciplug("runs", "show", "last").stdout
    assert "\nstatus: finished\ndirty: numbers.json differed from the commit\n" in outline


@pytest.mark.slow
def test_a_program_of_its_own_is_measured_when_its_run_starts(project: Project) -> None:
    (project.folder / "own.py").write_text(
        "import ciplug, pathlib\n"
        "with ciplug.start_run():\n"
        "    pathlib.Path('numbers.json').write_text('{}')\n"
        "    ciplug.log_metric('accuracy', 0.9)\n"
    )
    for expected in (CLEAN, dirty("numbers.json")):
        subprocess.run([PYTHON, "own.py"], cwd=project.folder, check=True)
        assert last(project) == expected


@pytest.mark.slow
def test_an_artifact_that_the_program_names_is_an_output(project: Project) -> None:
    (project.folder / "model.bin").write_text("1")
    project.commit("a model in git")
    (project.folder / "own.py").write_text(
        "import ciplug, pathlib\n"
        "with ciplug.start_run():\n"
        "    pathlib.Path('model.bin').write_text('2')\n"
        "    ciplug.log_artifact('model.bin')\n"
    )
    for _ in range(2):
        subprocess.run([PYTHON, "own.py"], cwd=project.folder, check=True)
        assert last(project) == CLEAN
    (project.folder / "train.py").write_text("pass\n")
    subprocess.run([PYTHON, "own.py"], cwd=project.folder, check=True)
    assert last(project) == dirty("train.py")


@pytest.mark.slow
@pytest.mark.parametrize("around", [False, True])
def test_a_changed_source_that_the_program_logs_is_dirt(project: Project, around: bool) -> None:
    (project.folder / "train.py").write_text(
        "import ciplug\nciplug.log_metric('accuracy', 0.9)\nciplug.log_artifact(__file__)\n"
    )
    time.sleep(0.1)  # More than the clock of files lags behind.
    command = [PYTHON, "train.py"]
    around_it = [PYTHON, "-m", "ciplug", "run", "--"] if around else []
    time.sleep(0.1)  # longer than the clock of a file system may lag behind
    done = subprocess.run([*around_it, *command], cwd=project.folder, check=False, capture_output=True, text=True)
    assert last(project) == dirty("train.py") and "did not write it" not in done.stderr
    (run,) = project.json("runs", "list", "--json")
    assert [one["path"] for one in run["artifacts"]] == ["train.py"] and run["provenance"]["unchanged"] == ["train.py"]


def test_the_files_of_a_record_after_the_fact(project: Project) -> None:
    (project.folder / "metrics.json").write_text('{"accuracy": 0.9}')
    project.numbers({"accuracy": 0.1})
    assert main(["record"]) == 0
    assert last(project) == dirty("numbers.json")


def test_declared_outputs_of_every_model_and_of_options_are_set_aside(project: Project) -> None:
    tracked = ("a/metrics.json", "b/metrics.json", "b/out/model.bin", "b/rows.jsonl", "extra.json")
    for name in tracked:
        (project.folder / name).parent.mkdir(exist_ok=True, parents=True)
        (project.folder / name).write_text("{}")
    (project.folder / ".gitignore").unlink()
    (project.folder / "ciplug.yaml").write_text(
        "version: 1\n"
        "models:\n"
        "  a: {metrics: a/metrics.json}\n"
        "  b: {metrics: b/metrics.json, artifacts: [b/out, s3://bucket/model], samples: b/rows.jsonl}\n"
    )
    project.commit("tracked outputs")
    for name in tracked:
        (project.folder / name).write_text('{"accuracy": 0.9}')
    assert main(["record", "--model", "a", "--metrics", "extra.json"]) == 0
    assert last(project) == CLEAN
    assert main(["record", "--model", "a"]) == 0
    assert last(project) == dirty("extra.json")


@pytest.mark.slow
def test_a_declared_output_that_the_command_did_not_write_is_dirt(project: Project) -> None:
    for name in ("src/a.py", "src/b.py", "numbers.json"):
        (project.folder / name).parent.mkdir(exist_ok=True)
        (project.folder / name).write_text("1")
    with (project.folder / "ciplug.yaml").open("a") as file:
        file.write("artifacts: [src, numbers.json]\n")
    project.commit("sources as outputs")
    (project.folder / "src/a.py").write_text("2")
    (project.folder / "src/b.py").unlink()
    (project.folder / "numbers.json").write_text("2")
    written = (PYTHON, "-c", WRITE, "metrics.json", "numbers.json")
    project.ciplug("run", "--", *written, code=2)
    assert last(project) == dirty("src/a.py", "src/b.py")
    project.ciplug("run", "--", *written, "src/a.py", "src/b.py")
    assert last(project) == CLEAN


def test_files_of_the_commit_are_known_by_their_content(project: Project, tmp_path: Path) -> None:
    """Also those of a submodule, at the commit that the repository names for it."""
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "lib.git")
    Project.create(tmp_path / "lib", remote=f"file://{tmp_path}/lib.git")
    top = project.folder
    git(top, "-c", "protocol.file.allow=always", "submodule", "add", "-q", f"file://{tmp_path}/lib.git", "lib")
    project.commit("a submodule")
    files = [top / "train.py", top / "lib/train.py", top / "lib/numbers.json", top / "none"]
    assert committed(top, files) == set(files[:3])
    for file in files[:2]:
        file.write_text("pass\n")
    os.utime(files[2], (1, 1))
    assert committed(top, files) == {files[2]}
    git(top / "lib", "commit", "-qam", "newer")
    assert committed(top, files) == {files[2]}


def notebook(*code: str, result: str = "", **metadata: object) -> str:
    cells = [{"cell_type": "code", "source": [one], "outputs": [result], "metadata": {}} for one in code]
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4})


@pytest.mark.slow
def test_the_code_of_a_notebook_that_is_run_in_place_is_no_output(project: Project) -> None:
    book = project.folder / "train.ipynb"
    book.write_text(notebook("x = 1"))
    with (project.folder / "ciplug.yaml").open("a") as file:
        file.write("artifacts: train.ipynb\n")
    project.commit("a notebook")
    for name, changed, expected in (
        ("as committed", notebook("x = 1"), CLEAN),
        ("the results of an earlier run", notebook("x = 1", result="0.8"), CLEAN),
        ("other code", notebook("x = 2", result="0.8"), dirty("train.ipynb")),
        ("made from another", notebook("x = 3", papermill={"input_path": "a", "output_path": "b"}), CLEAN),
    ):
        book.write_text(changed)
        (project.folder / "after.txt").write_text(notebook("x = 1", result=f"after {name}"))
        rerun = "import shutil; shutil.copy('after.txt', 'train.ipynb'); open('metrics.json', 'w').write('{\"a\": 1}')"
        project.ciplug("run", "--", PYTHON, "-c", rerun)
        assert last(project) == expected, name


@pytest.mark.slow
def test_files_that_the_pipeline_rewrites_are_ignored_by_a_pattern(project: Project) -> None:
    inner = project.folder / "models"
    inner.mkdir()
    (project.folder / "ciplug.yaml").rename(inner / "ciplug.yaml")
    (inner / "version.py").write_text("v = 0\n")
    (project.folder / "poetry.lock").write_text("1\n")
    with (inner / "ciplug.yaml").open("a") as file:
        file.write("clean: {ignore: [/version.py, '*.lock']}\n")
    project.commit("generated files")
    (inner / "metrics.json").write_text('{"accuracy": 0.9}')
    (inner / "version.py").write_text("v = 1\n")
    (project.folder / "poetry.lock").write_text("2\n")
    project.ciplug("record", cwd=inner)
    assert last(project) == {**CLEAN, "ignored_files": ["models/version.py", "poetry.lock"]}
    project.numbers({"accuracy": 0.1})
    project.ciplug("record", cwd=inner)
    assert last(project) == {**dirty("numbers.json"), "ignored_files": ["models/version.py", "poetry.lock"]}


@pytest.mark.slow
def test_a_record_names_the_first_files_and_counts_all(project: Project) -> None:
    names = [f"{number:02}.txt" for number in range(30)]
    for name in names:
        (project.folder / name).write_text("1")
    project.commit("many")
    for name in names:
        (project.folder / name).write_text("2")
    (project.folder / "metrics.json").write_text('{"accuracy": 0.9}')
    project.ciplug("record")
    assert last(project) == {**dirty(*names[:20]), "dirty_count": 30}
    assert "00.txt, 01.txt, 02.txt, 03.txt, 04.txt and 25 more" in project.ciplug("compare").stdout


def test_a_wrong_pattern_is_an_error_with_its_line(project: Project) -> None:
    with (project.folder / "ciplug.yaml").open("a") as file:
        file.write("clean:\n  ignore: ['*.lock', '!']\n  ignored: x\n")
    done = project.ciplug("record", code=2)
    assert "ciplug.yaml:8: clean: ignored: unknown key" in done.stderr or "ignored" in done.stderr
    assert "'ignore'" in done.stderr


@pytest.mark.slow
def test_a_run_says_first_that_it_will_not_stand_for_its_commit(project: Project) -> None:
    said = f"this run does not count for commit {project.head[:8]}, because files differ from the commit: "
    assert "does not count" not in project.ciplug("run", "--", PYTHON, "train.py").stderr
    with (project.folder / "train.py").open("a") as file:
        file.write("print('it begins', file=sys.stderr)\n")
    for words in (["run"], ["ci"]):
        lines = project.ciplug(*words, "--", PYTHON, "train.py", code=None).stderr
        assert lines.count("does not count") == 1
        assert lines.index(f"{said}train.py\n  -> commit them; or") < lines.index("it begins")
        assert "clean: {ignore: [/train.py]}" in lines
    assert f"{said}train.py\n" in project.ciplug("record").stderr
