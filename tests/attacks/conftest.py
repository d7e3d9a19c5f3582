"""A team with a model in production, on a git server over HTTP."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.attacks.attacker import Attacker
from tests.project import Project, git
from tests.servers.git_http import GitServer


@dataclass
class Scene:
    """A project whose version 1 is in production, and somebody else who may push."""

    project: Project
    attacker: Attacker
    server: GitServer | None
    """None: the remote is a folder."""
    folder: Path

    def clone(self, name: str = "colleague") -> Project:
        """Another checkout, which has never read the store."""
        git(self.folder, "clone", "-q", self.attacker.url, name)
        return Project(self.folder / name)

    def production(self, project: Project | None = None) -> int | None:
        """The version in production, as a checkout sees it."""
        model = (project or self.clone(f"reader-{len(list(self.folder.iterdir()))}")).json(
            "registry", "show", "wine", "--json"
        )
        return next((v["number"] for v in model["versions"] if v["stage"] == "Production"), None)


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project and its remote, made once."""
    folder = tmp_path_factory.mktemp("scene")
    with GitServer(folder / "git-server") as server:
        server.create("remote")
        project = Project.create(folder / "work", remote=server.url("remote"))
        project.train()
        project.ciplug("gate")
        project.ciplug("promote", "wine", "--to", "staging")
        project.ciplug("promote", "wine", "--to", "production")
        project.ciplug("compact")
    return folder


@pytest.fixture
def scene(_template: Path, tmp_path: Path, git_server: GitServer) -> Scene:
    shutil.rmtree(git_server.path("remote"), ignore_errors=True)
    git_server.create("remote")
    shutil.rmtree(git_server.path("remote"))
    shutil.copytree(_template / "git-server" / git_server.path("remote").name, git_server.path("remote"), symlinks=True)
    shutil.copytree(_template / "work", tmp_path / "work", symlinks=True)
    git(tmp_path / "work", "remote", "set-url", "origin", git_server.url("remote"))
    git(tmp_path / "work", "update-index", "--refresh")
    shutil.rmtree(tmp_path / "work" / ".git" / "ciplug", ignore_errors=True)
    return Scene(
        Project(tmp_path / "work"), Attacker(tmp_path / "attacker.git", git_server.url("remote")), git_server, tmp_path
    )


@pytest.fixture
def near(_template: Path, tmp_path: Path) -> Scene:
    """The same without a server: the remote is a folder, which makes a case cheap."""
    remote = tmp_path / "remote.git"
    (served,) = (_template / "git-server").glob("remote*")
    shutil.copytree(served, remote, symlinks=True)
    shutil.copytree(_template / "work", tmp_path / "work", symlinks=True)
    git(tmp_path / "work", "remote", "set-url", "origin", str(remote))
    git(tmp_path / "work", "update-index", "--refresh")
    shutil.rmtree(tmp_path / "work" / ".git" / "ciplug", ignore_errors=True)
    return Scene(Project(tmp_path / "work"), Attacker(tmp_path / "attacker.git", str(remote)), None, tmp_path)
