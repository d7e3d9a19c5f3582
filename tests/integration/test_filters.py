"""Checkouts with filters: Git LFS and others, whose programs are there, missing or broken."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest

from ciplug.cli import main
from ciplug.git.workspace import discover
from ciplug.git.worktree import Dirt, committed, measure_dirt
from tests.project import Project, git

CONTENT = b"\0weights\n" * 1000
POINTER = (
    f"version https://git-lfs.github.com/spec/v1\noid sha256:{hashlib.sha256(CONTENT).hexdigest()}\n"
    f"size {len(CONTENT)}\n"
).encode()
STRIP = "import sys; sys.stdout.write(sys.stdin.read().replace('output', ''))"


def touch(path: Path) -> None:
    """Have git look at the content of a file again."""
    os.utime(path, (1_000_000_000, 1_000_000_000))


def measured(top: Path) -> Dirt:
    workspace = discover(top)
    assert workspace is not None
    return measure_dirt(workspace)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A repository with a file in LFS, cloned without git-lfs."""
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "r.git")
    project = Project.create(tmp_path / "work", remote=f"file://{tmp_path}/r.git")
    (project.folder / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    (project.folder / "data.bin").write_bytes(POINTER)
    (project.folder / "metrics.json").write_text('{"accuracy": 0.9}')
    project.commit("data in LFS")
    project.push()
    monkeypatch.chdir(project.folder)
    return project


def configure(project: Project, *settings: str) -> None:
    for setting in settings:
        key, _, value = setting.partition("=")
        git(project.folder, "config", f"filter.{key}", value)


MISSING = [
    (),
    ("lfs.clean=no-such-lfs clean -- %f", "lfs.smudge=no-such-lfs smudge -- %f", "lfs.required=true"),
    ("lfs.clean=no-such-lfs clean -- %f", "lfs.smudge=no-such-lfs smudge -- %f"),
    ("lfs.process=no-such-lfs filter-process", "lfs.required=true"),
    ("lfs.process=no-such-lfs filter-process",),
    ("lfs.clean=exit 3", "lfs.process=exit 3", "lfs.required=true"),
    ("lfs.required=true",),
]


@pytest.mark.parametrize("settings", MISSING)
def test_without_git_lfs(project: Project, settings: tuple[str, ...]) -> None:
    configure(project, *settings)
    path = project.folder / "data.bin"
    touch(path)
    assert measured(project.folder) == Dirt()
    path.write_bytes(CONTENT)
    assert measured(project.folder) == Dirt()
    path.write_bytes(POINTER.replace(b"\n", b"\r\n"))
    assert measured(project.folder) == Dirt()
    for changed in (CONTENT + b"more", POINTER.replace(b"size 9", b"size 8"), b""):
        path.write_bytes(changed)
        assert measured(project.folder).files == ("data.bin",)
        assert measured(project.folder).unfiltered == {}
    path.write_bytes(CONTENT)
    path.chmod(0o755)
    assert measured(project.folder).files == ("data.bin",)


def test_a_run_is_recorded_without_git_lfs(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    configure(project, *MISSING[1])
    touch(project.folder / "data.bin")
    assert main(["run", "--", sys.executable, "train.py"]) == 0
    assert main(["compare"]) == 0
    out, err = capfd.readouterr()
    assert "dirty" not in out and "warning" not in err


def test_a_file_of_lfs_that_was_committed_whole(project: Project) -> None:
    """ "Files that should have been pointers": git compares their bytes."""
    configure(project, *MISSING[1])
    git(project.folder, "config", "filter.lfs.clean", "cat")
    (project.folder / "whole.bin").write_bytes(CONTENT)
    project.commit("without a pointer")
    configure(project, *MISSING[1])
    touch(project.folder / "whole.bin")
    assert measured(project.folder) == Dirt()
    (project.folder / "whole.bin").write_bytes(CONTENT + b"1")
    assert measured(project.folder).files == ("whole.bin",)


def test_another_filter_that_runs(project: Project) -> None:
    (project.folder / ".gitattributes").write_text("*.ipynb filter=strip\n")
    configure(project, f'strip.clean={sys.executable} -c "{STRIP}"', "strip.required=true")
    book = project.folder / "a.ipynb"
    book.write_text("code output")
    project.commit("a notebook")
    book.write_text("code outputoutput")
    assert measured(project.folder) == Dirt()
    assert committed(project.folder, [book, project.folder / "missing.ipynb"]) == {book}
    book.write_text("other code output")
    assert measured(project.folder).files == ("a.ipynb",)


@pytest.mark.parametrize("required", ["true", "false"])
def test_another_filter_that_is_not_installed(
    project: Project, required: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (project.folder / ".gitattributes").write_text("*.ipynb filter=strip\n")
    book = project.folder / "a.ipynb"
    book.write_text("code")
    project.commit("a notebook")
    configure(project, "strip.clean=no-such-program", f"strip.required={required}")
    touch(book)
    assert measured(project.folder) == Dirt()
    book.write_text("code output")
    assert measured(project.folder) == Dirt(
        files=("a.ipynb",), digest=measured(project.folder).digest, unfiltered={"a.ipynb": "strip"}
    )
    assert main(["record"]) == 0
    said = capfd.readouterr().err
    assert "a.ipynb: git's filter 'strip' does not run here, so the file counts as changed" in said
    assert "clean: {ignore: [/a.ipynb]}" in said


def test_a_submodule_with_lfs(project: Project, tmp_path: Path) -> None:
    library = tmp_path / "library"
    git(tmp_path, "clone", "-q", str(tmp_path / "r.git"), "library")
    git(project.folder, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library), "lib")
    project.commit("submodule")
    inner = project.folder / "lib"
    git(inner, "config", "filter.lfs.clean", "no-such-lfs")
    git(inner, "config", "filter.lfs.required", "true")
    (inner / "data.bin").write_bytes(CONTENT)
    assert measured(project.folder) == Dirt()
    (inner / "data.bin").write_bytes(b"other")
    assert measured(project.folder).files == ("lib/data.bin",)


def test_a_pointer_as_dataset_and_as_artifact(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    record = ["record", "--dataset", "data.bin"]
    assert main(record) == 0
    assert "data.bin: only the Git LFS pointer is here; recorded by the digest of the content" in capfd.readouterr().err
    (project.folder / "data.bin").write_bytes(CONTENT)
    assert main(record) == 0
    assert "only the Git LFS pointer" not in capfd.readouterr().err
    first, second = project.json("runs", "list", "--json")
    assert first["datasets"] == second["datasets"]
    assert first["datasets"][0]["size"] == len(CONTENT)
    (project.folder / "data.bin").write_bytes(POINTER)
    capfd.readouterr()
    assert main(["record", "--artifact", "data.bin"]) == 2
    said = capfd.readouterr().err
    assert "data.bin: only its Git LFS pointer is here, not its content" in said and "git lfs pull" in said
