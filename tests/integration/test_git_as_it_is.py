"""Repositories as git makes them: push addresses, work trees, packed refs, and checkouts of another owner."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ciplug import ci
from ciplug.cli import main
from ciplug.errors import GitError, GitKind
from ciplug.git import safe_directory
from ciplug.git.environment import git_environment
from ciplug.git.workspace import discover
from ciplug.steps.session import open_session
from tests.project import MODEL, Project, git

REFS = ("for-each-ref", "--format=%(refname)", "refs/ciplug", "refs/heads/ciplug*")


def bare(folder: Path, name: str) -> Path:
    git(folder, "init", "-q", "--bare", "-b", "main", name)
    return folder / name


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    mirror = bare(tmp_path, "mirror.git")
    bare(tmp_path, "real.git")
    project = Project.create(tmp_path / "work", remote=f"file://{mirror}")
    (project.folder / "metrics.json").write_text('{"accuracy": 0.9}')
    (project.folder / "model.txt").write_text("a model")
    monkeypatch.chdir(project.folder)
    return project


def recorded(project: Project) -> int:
    runs = open_session(cwd=project.folder).runs()
    return len(runs.recorded())


# The push address


@pytest.mark.parametrize("named", ["file://{real}", "../real.git", "{real}"])
def test_runs_go_to_the_push_address_and_are_read_from_there(project: Project, tmp_path: Path, named: str) -> None:
    real = tmp_path / "real.git"
    git(project.folder, "remote", "set-url", "--push", "origin", named.format(real=real))
    assert main(["record", *MODEL]) == 0
    assert git(real, *REFS) != ""
    assert git(tmp_path / "mirror.git", *REFS) == ""
    assert recorded(project) == 1
    # The verdict and the registry, too.
    main(["gate"])
    assert main(["promote", "wine", "--to", "staging"]) == 0
    assert git(tmp_path / "mirror.git", *REFS) == ""


def test_an_address_to_push_instead_of_is_used(project: Project, tmp_path: Path) -> None:
    """git's own way of a mirror: fetched from there, pushed to the real one, both under one name."""
    real, mirror = f"file://{tmp_path}/real.git", f"file://{tmp_path}/mirror.git"
    git(project.folder, "remote", "set-url", "origin", real)
    git(project.folder, "config", f"url.{mirror}.insteadOf", real)
    git(project.folder, "config", f"url.{real}.pushInsteadOf", real)
    assert main(["record"]) == 0
    assert git(tmp_path / "real.git", *REFS) != ""
    assert git(tmp_path / "mirror.git", *REFS) == ""
    assert recorded(project) == 1


@pytest.mark.parametrize("named", ["no_push", "DISABLED", "/dev/null"])
def test_a_remote_that_is_not_to_be_pushed_to_is_not(
    project: Project, tmp_path: Path, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["record"]) == 0
    before = git(tmp_path / "mirror.git", *REFS)
    git(project.folder, "remote", "set-url", "--push", "origin", named)
    project.commit("second")
    assert main(["record"]) == 3
    words = capsys.readouterr().err
    assert f"the push address of the remote 'origin' is '{named}', so nothing is pushed" in words
    assert "git remote set-url --push" in words
    assert git(tmp_path / "mirror.git", *REFS) == before
    # What others have recorded can be read, and the run waits.
    session = open_session(cwd=project.folder)
    assert len(session.spool.sealed(session.spooled_for)) == 1
    assert recorded(project) == 2
    assert git(tmp_path / "mirror.git", *REFS) == before
    git(project.folder, "config", "--unset", "remote.origin.pushurl")
    assert main(["record", "--spooled"]) == 0
    assert git(tmp_path / "mirror.git", *REFS) != before


def test_an_empty_push_address_is_not_this_folder(project: Project, tmp_path: Path) -> None:
    """git refuses it; from 2.46 on it pushes to the address to fetch from."""
    git(project.folder, "config", "remote.origin.pushurl", "")
    shown = git(project.folder, "remote", "get-url", "--push", "origin").strip()
    assert main(["record"]) == (0 if shown else 3)
    assert git(project.folder, "for-each-ref", "refs/ciplug", "refs/heads/ciplug") == ""
    assert (git(tmp_path / "mirror.git", *REFS) != "") == bool(shown)


def test_doctor_names_the_push_address_that_is_off(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    git(project.folder, "remote", "set-url", "--push", "origin", "no_push")
    assert main(["doctor"]) == 3
    words = capsys.readouterr().out
    assert "runs cannot be pushed: the push address of the remote 'origin' is 'no_push'" in words


# What git keeps its refs in


class Opened:
    """The files that Python code opens or lists, by an audit hook; one cannot be taken away, so it is switched off."""

    def __init__(self) -> None:
        self.on = False
        self.paths: set[str] = set()
        sys.addaudithook(self._take)

    def _take(self, event: str, args: tuple[object, ...]) -> None:
        if self.on and event in ("open", "os.listdir", "os.scandir") and isinstance(args[0], str | bytes | Path):
            self.paths.add(os.fsdecode(args[0]))


@pytest.fixture(scope="module")
def opened() -> Opened:
    return Opened()


@pytest.fixture
def watched(opened: Opened) -> Iterator[Opened]:
    opened.paths.clear()
    opened.on = True
    yield opened
    opened.on = False


@pytest.mark.parametrize("layout", ["plain", "packed", "work tree", "no commit in it"])
def test_no_file_of_git_is_read_but_by_git(project: Project, tmp_path: Path, layout: str, watched: Opened) -> None:
    """A repository whose refs are in a reftable has a stub for a HEAD, and no file for a branch."""
    watched.on = False
    folder, branch = project.folder, "main"
    if layout == "packed":
        git(folder, "pack-refs", "--all")
    if layout == "work tree":
        folder, branch = tmp_path / "linked", "linked"
        git(project.folder, "worktree", "add", "-q", "-b", "linked", str(folder))
        (folder / "metrics.json").write_text('{"accuracy": 0.9}')
    if layout == "no commit in it":
        branch = "empty"
        git(folder, "checkout", "-q", "--orphan", "empty")
    os.chdir(folder)
    watched.on = True
    session = open_session(cwd=folder)
    assert session.context.branch == branch
    if layout != "no commit in it":
        assert main(["record"]) == 0
        main(["gate"])
        main(["compare"])
    watched.on = False
    ours = str(project.folder / ".git" / "ciplug")
    assert [p for p in watched.paths if f"{os.sep}.git" in p.replace("mirror.git", "") and not p.startswith(ours)] == []


# Another owner


@pytest.fixture
def foreign(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project that belongs to another user than the one who runs ciplug."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root can give files away")
    monkeypatch.setattr(safe_directory, "_named", [])
    for path in [project.folder, *project.folder.rglob("*")]:
        os.chown(path, 1001, 1001, follow_symlinks=False)
    refused = subprocess.run(["git", "status"], cwd=project.folder, capture_output=True, check=False)
    if refused.returncode == 0:
        pytest.skip("this git takes the files of anybody")
    for name in ("GITHUB_WORKSPACE", "WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    yield project


def job_of_github(monkeypatch: pytest.MonkeyPatch, **env: str) -> None:
    for name, value in {"GITHUB_ACTIONS": "true", "GITHUB_REPOSITORY": "acme/wine", **env}.items():
        monkeypatch.setenv(name, value)


def test_the_workspace_that_the_host_names_works_whoever_owns_it(
    foreign: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    job_of_github(monkeypatch, GITHUB_WORKSPACE=str(foreign.folder))
    seen = tmp_path / "seen.txt"
    train = f"env > {seen}; python3 train.py"
    assert main(["ci", "--no-comment", "--metrics", "metrics.json", "--", "sh", "-c", train]) == 0
    assert recorded(foreign) == 1
    assert list(home.iterdir()) == [], "the user's configuration is not touched"
    assert "ciplug-git-" not in seen.read_text(), "the training's git is the user's"
    main(["doctor"])
    assert "belongs to another user: ciplug tells only its own git calls that it is safe" in capsys.readouterr().out


def test_a_store_in_the_workspace_itself_works(foreign: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    job_of_github(monkeypatch, GITHUB_WORKSPACE=str(foreign.folder))
    open_session(cwd=foreign.folder)
    subprocess.run(["git", "remote", "rm", "origin"], cwd=foreign.folder, env=git_environment(), check=True)
    assert main(["record"]) == 0
    assert recorded(foreign) == 1


def test_a_checkout_in_the_workspace_works(foreign: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    os.chown(tmp_path, 1001, 1001)
    job_of_github(monkeypatch, GITHUB_WORKSPACE=str(tmp_path))
    assert open_session(cwd=foreign.folder).workspace is not None


def test_the_users_configuration_still_holds(foreign: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    user = tmp_path / "user.config"
    user.write_text("[user]\n\temail = grace@example.com\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(user))
    job_of_github(monkeypatch, GITHUB_WORKSPACE=str(foreign.folder))
    assert open_session(cwd=foreign.folder).context.actor == "grace@example.com"


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"GITHUB_WORKSPACE": "{folder}"},
        {"GITHUB_ACTIONS": "true"},
        {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": "{folder}/elsewhere"},
        # Around the checkout, and of yet another owner.
        {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": "{folder}/.."},
        # Of another host.
        {"GITHUB_ACTIONS": "true", "WORKSPACE": "{folder}"},
    ],
)
def test_any_other_folder_of_another_owner_is_refused(
    foreign: Project, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value.format(folder=foreign.folder))
    with pytest.raises(GitError) as refused:
        open_session(cwd=foreign.folder)
    assert refused.value.kind == GitKind.DUBIOUS_OWNERSHIP
    assert "safe.directory" in (refused.value.hint or "")
    assert "GIT_CONFIG_GLOBAL" not in git_environment() or "ciplug-git-" not in git_environment()["GIT_CONFIG_GLOBAL"]


@pytest.mark.parametrize(
    ("env", "variable"),
    [
        ({"GITHUB_ACTIONS": "true"}, "GITHUB_WORKSPACE"),
        ({"GITEA_ACTIONS": "true"}, "GITHUB_WORKSPACE"),
        ({"GITLAB_CI": "true"}, "CI_PROJECT_DIR"),
        ({"BITBUCKET_BUILD_NUMBER": "1"}, "BITBUCKET_CLONE_DIR"),
        ({"TF_BUILD": "True"}, "BUILD_SOURCESDIRECTORY"),
        ({"JENKINS_URL": "https://ci.acme.org/"}, "WORKSPACE"),
    ],
)
def test_each_host_names_its_workspace(env: dict[str, str], variable: str) -> None:
    assert ci.workspace_of({**env, variable: "/job"}) == "/job"
    assert ci.workspace_of({variable: "/job"}) is None


def test_a_path_of_any_kind_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(safe_directory, "_named", [])
    odd = tmp_path / 'a "quoted" path \\ with # and ; in it'
    odd.mkdir()
    safe_directory.name_safe(odd)
    listed = subprocess.run(
        ["git", "config", "--get-all", "safe.directory"], env=git_environment(), capture_output=True, check=True
    )
    assert listed.stdout.decode().splitlines()[0] == str(odd)
    assert shutil.which("git")


def test_discover_refuses_without_a_job(foreign: Project) -> None:
    with pytest.raises(GitError):
        discover(foreign.folder)
