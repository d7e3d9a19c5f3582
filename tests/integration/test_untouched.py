"""No command writes to the user's work tree, index, HEAD, hooks or any configuration of git."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import MODEL, Project, git
from tests.servers.git_http import GitServer


def state(folder: Path) -> dict[str, object]:
    """Everything of the user's that git and the disk can tell about a checkout."""
    git_dir = folder / ".git"
    files = [p for p in folder.rglob("*") if p.is_file() and git_dir not in p.parents]
    kept = [
        p for p in git_dir.rglob("*") if p.is_file() and p.relative_to(git_dir).parts[0] in ("hooks", "info", "refs")
    ]
    # git itself refreshes the index when it is asked for its status, so the bytes come first.
    index = (git_dir / "index").read_bytes()
    return {
        "index": index,
        "config": (git_dir / "config").read_bytes(),
        "HEAD": (git_dir / "HEAD").read_bytes(),
        "global": Path(os.environ["GIT_CONFIG_GLOBAL"]).read_bytes(),
        "files": {str(p): p.read_bytes() for p in files if "metrics.json" not in p.name},
        "git files": {str(p): p.read_bytes() for p in kept},
        "status": subprocess.run(
            ["git", "--no-optional-locks", "status", "--porcelain=v2", "--branch", "--ignored"],
            cwd=folder,
            capture_output=True,
            check=True,
        ).stdout,
        "config -l": git(folder, "config", "-l", "--show-origin"),
        "branches": git(folder, "for-each-ref", "refs/heads", "refs/tags", "refs/remotes"),
        "home": sorted(str(p) for p in Path(os.environ["HOME"]).rglob("*")),
    }


COMMANDS = [
    ("run", *MODEL, "--", sys.executable, "train.py"),
    ("record", *MODEL),
    ("record", "--spooled"),
    ("runs", "list"),
    ("runs", "list", "--json"),
    ("compare",),
    ("compare", "main", "--format", "json"),
    ("report",),
    ("report", "--post"),
    ("gate",),
    ("promote", "wine", "--to", "staging"),
    ("registry", "list"),
    ("registry", "show", "wine"),
    ("registry", "history", "wine"),
    ("compact",),
    ("ci", "--", sys.executable, "train.py"),
    ("--version",),
]


@pytest.mark.slow
@pytest.mark.parametrize("checkout", ["shallow and detached", "full"])
def test_nothing_of_the_users_is_touched(tmp_path: Path, git_server: GitServer, checkout: str) -> None:
    git_server.create("remote")
    project = Project.create(tmp_path / "work", remote=git_server.url("remote"))
    project.train()
    project.branch("candidate", {"accuracy": 0.86})
    project.push()
    if checkout != "full":
        folder = tmp_path / "ci"
        folder.mkdir()
        git(folder, "init", "-q")
        git(folder, "remote", "add", "origin", git_server.url("remote"))
        git(folder, "fetch", "-q", "--depth=1", "--no-tags", "origin", project.head)
        git(folder, "checkout", "-q", "--detach", "FETCH_HEAD")
        (folder / ".git" / "FETCH_HEAD").unlink()
        project = Project(folder)
    project.ciplug("run", "--", sys.executable, "train.py")
    before = state(project.folder)
    env = {"GITHUB_TOKEN": "", "CI_COMMIT_BRANCH": "candidate"}
    for command in COMMANDS:
        project.ciplug(*command, env=env)
        after = state(project.folder)
        for what, was in before.items():
            assert after[what] == was, f"{command} changed {what}"


def test_the_embedded_store_adds_its_refs_and_nothing_else(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "work")
    (project.folder / "metrics.json").write_text('{"accuracy": 0.85}')
    before = state(project.folder)
    project.ciplug("record")
    project.ciplug("compare")
    after = state(project.folder)
    # Its one inbox ref is a loose file under .git/refs.
    assert len(after.pop("git files")) == len(before.pop("git files")) + 1
    assert after == before
    project.ciplug("compact")
    assert "refs/heads/ciplug" in git(project.folder, "for-each-ref")
    assert git(project.folder, "status", "--porcelain") == ""
