"""A tag or branch that somebody has named HEAD is not taken for the commit that is checked out."""

from __future__ import annotations

from pathlib import Path

import pytest

from ciplug.git.workspace import discover
from tests.project import Project, git


@pytest.mark.parametrize("ref", ["refs/tags/HEAD", "refs/heads/HEAD"])
def test_the_checked_out_commit_is_found(tmp_path: Path, ref: str) -> None:
    project = Project.create(tmp_path / "work")
    other = project.head
    project.commit("second")
    git(project.folder, "update-ref", ref, other)
    found = discover(project.folder)
    assert found and (found.head, found.branch) == (git(project.folder, "rev-parse", "main"), "main")
    git(project.folder, "checkout", "-q", "--detach", "main")
    found = discover(project.folder)
    assert found and (found.head, found.branch) == (git(project.folder, "rev-parse", "main"), None)


def test_a_run_is_of_that_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "remote.git")
    project = Project.create(tmp_path / "work", remote=tmp_path / "remote.git")
    git(project.folder, "tag", "HEAD")
    project.commit("second")
    run = project.train()
    (listed,) = project.json("runs", "list", "--json")
    assert (listed["id"], listed["commit"]) == (run, git(project.folder, "rev-parse", "main"))
    assert project.ciplug("gate").returncode == 0
