"""ciplug beside git: inside of its hooks, and with a server that repeats a token."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from ciplug.git.failures import last_words
from tests.project import Project, git

SECRET = "s3cret-t0ken"


@pytest.mark.slow
def test_a_run_started_by_a_git_hook_is_of_the_checkout(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "work")
    hook = project.folder / ".git/hooks/post-commit"
    hook.write_text(f"#!/bin/sh\nexec '{sys.executable}' -m ciplug run -- '{sys.executable}' train.py\n")
    hook.chmod(0o755)
    # `git commit -a` hands an index of its own to its hooks.
    (project.folder / "train.py").write_text((project.folder / "train.py").read_text() + "\n")
    git(project.folder, "commit", "-q", "-a", "-m", "by a hook")
    (run,) = project.json("runs", "list", "--json")
    assert run["commit"] == project.head


def test_the_variables_of_another_repository_s_hook_are_not_ours(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "work")
    other = Project.create(tmp_path / "other")
    other.commit("second")
    hook = {
        "GIT_DIR": str(other.folder / ".git"),
        "GIT_WORK_TREE": str(other.folder),
        "GIT_INDEX_FILE": str(tmp_path / "no index"),
        "GIT_OBJECT_DIRECTORY": str(other.folder / ".git/objects"),
    }
    project.train(env=hook)
    (run,) = project.json("runs", "list", "--json", env=hook)
    assert run["commit"] == project.head != other.head
    assert git(other.folder, "for-each-ref", "--format=%(refname)") == "refs/heads/main"


@pytest.mark.parametrize(
    "words",
    [
        f"fatal: unable to access 'https://x-access-token:{SECRET}@git.example.com/a/b.git/': The requested URL",
        f"fatal: Authentication failed for 'https://{SECRET}@git.example.com/a/b.git/'",
        f"remote: go to http://ada:{SECRET}@git.example.com/a/b",
        f"something else: ssh://ada:{SECRET}@git.example.com/a/b",
    ],
)
def test_no_token_in_git_s_words(words: str) -> None:
    shown = last_words(words.encode())
    assert SECRET not in shown and "git.example.com/a/b" in shown


READING = [("runs", "list"), ("doctor",)]
WAITING = [("run", "--", sys.executable, "train.py"), *READING, ("record", "--spooled")]
"""They try the network again."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "commands",
    [READING, pytest.param(WAITING, marks=pytest.mark.slow)],
    ids=len,
)
def test_no_token_is_printed_where_a_remote_cannot_be_reached(
    commands: Sequence[Sequence[str]], tmp_path: Path
) -> None:
    project = Project.create(tmp_path / "work")
    git(project.folder, "remote", "add", "origin", f"http://ada:{SECRET}@127.0.0.1:1/a/b.git")
    for args in commands:
        done = project.ciplug(*args, code=None)
        assert SECRET not in done.stdout + done.stderr, args
