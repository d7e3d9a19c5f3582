"""A user's project for the end-to-end tests: its training, its history on a git server, its checkouts."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.git_http import GitServer

TOKEN = "push-token"
MARKER = "<!-- ciplug:report -->"

real_installation = pytest.mark.parametrize("job_path", ["real"], indirect=True)

_TRAIN = """\
import json, os, pathlib, sys

leaked = [name for name in os.environ if name.startswith(("CIPLUG_INPUT_", "CIPLUG_PUSH", "CIPLUG_GIT"))]
if leaked:
    sys.exit(f"the training sees {leaked}")
quality = json.loads(pathlib.Path("params.json").read_text())["quality"]
pathlib.Path("metrics.json").write_text(json.dumps({"accuracy": quality, "loss": 1 - quality}))
pathlib.Path("model.json").write_text(json.dumps({"quality": quality}))
try:
    import ciplug
except ImportError:
    print("trained by", sys.prefix)
else:
    sys.exit("ciplug's own environment leaks into the training")
"""

_CONFIG = """\
version: 1
model: wine
metrics: metrics.json
params: params.json
artifacts: model.json
gates:
  accuracy: {higher_is_better: true, min: 0.5, max_regression: 0.01}
"""


def git(*args: str, cwd: Path) -> str:
    return subprocess.run(["git", *args], cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()


def clean_environment() -> dict[str, str]:
    """Our environment without what says where Python's modules are: a runner knows nothing of this checkout."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def _header(token: str) -> str:
    return f"Authorization: Basic {base64.b64encode(f'x-access-token:{token}'.encode()).decode()}"


class Project:
    """A repository on a git server that wants a token; its files live in `folder`, a clone."""

    def __init__(
        self, server: GitServer, folder: Path, files: dict[str, str] | None = None, *, name: str = "acme/demo"
    ) -> None:
        server.token = TOKEN
        self.server = server
        self.bare = server.create(name)
        self.url = server.url(name)
        self.folder = folder
        self.header = _header(TOKEN)
        folder.mkdir(parents=True)
        git("init", "--quiet", cwd=folder)
        self._remote(folder)
        for name, text in {
            "train.py": _TRAIN,
            "ciplug.yaml": _CONFIG,
            "requirements.txt": "",
            ".gitignore": "metrics.json\nmodel.json\nciplug-report/\n.gitlab-ci-local/\n",
            **(files or {}),
        }.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        self.main = self.commit("main", 0.9)

    def _remote(self, folder: Path, token: str = TOKEN) -> None:
        """Origin, and the credential as the checkout action keeps it."""
        git("remote", "add", "origin", self.url, cwd=folder)
        git("config", f"http.{self.server.origin}/.extraheader", _header(token), cwd=folder)

    def commit(self, branch: str, quality: float) -> str:
        """Commit a training of this quality to a branch, from main if it is new, and push it."""
        if branch != git("branch", "--show-current", cwd=self.folder):
            git("checkout", "--quiet", "-B", branch, "main", cwd=self.folder)
        (self.folder / "params.json").write_text(json.dumps({"quality": quality}))
        git("add", "--all", cwd=self.folder)
        git("commit", "--quiet", "--message", f"quality {quality}", cwd=self.folder)
        git("push", "--quiet", "origin", branch, cwd=self.folder)
        return git("rev-parse", "HEAD", cwd=self.folder)

    def pull_request(self, number: int, branch: str, quality: float) -> str:
        """A branch with a merge of it into main, as a forge prepares it; returns the branch's head."""
        head = self.commit(branch, quality)
        git("checkout", "--quiet", "--detach", "main", cwd=self.folder)
        git("merge", "--quiet", "--no-ff", "--message", f"Merge {branch}", branch, cwd=self.folder)
        git("push", "--quiet", "origin", f"HEAD:refs/pull/{number}/merge", cwd=self.folder)
        git("checkout", "--quiet", branch, cwd=self.folder)
        return head

    def fork(self, number: int, quality: float, files: dict[str, str] | None = None) -> str:
        """A pull request from a fork: here its head and its merge into main are the only refs of it."""
        git("checkout", "--quiet", "--detach", "main", cwd=self.folder)
        (self.folder / "params.json").write_text(json.dumps({"quality": quality}))
        for name, text in (files or {}).items():
            (self.folder / name).write_text(text)
        git("add", "--all", cwd=self.folder)
        git("commit", "--quiet", "--message", f"a stranger's {quality}", cwd=self.folder)
        head = git("rev-parse", "HEAD", cwd=self.folder)
        git("checkout", "--quiet", "--detach", "main", cwd=self.folder)
        git("merge", "--quiet", "--no-ff", "--message", f"Merge {head}", head, cwd=self.folder)
        git(
            "push",
            "--quiet",
            "--force",
            "origin",
            f"{head}:refs/pull/{number}/head",
            f"HEAD:refs/pull/{number}/merge",
            cwd=self.folder,
        )
        git("checkout", "--quiet", "main", cwd=self.folder)
        return head

    def checkout(self, folder: Path, ref: str, token: str = TOKEN, *, whole: bool = False) -> Path:
        """A fresh checkout as CI makes it: of one commit, without history unless the `whole` is asked for."""
        folder.mkdir(parents=True)
        git("init", "--quiet", cwd=folder)
        self._remote(folder, token)
        local = f"refs/remotes/{ref.removeprefix('refs/')}" if ref.startswith("refs/") else f"refs/remotes/origin/{ref}"
        depth = () if whole else ("--depth=1", "--no-tags")
        git("fetch", "--quiet", *depth, "origin", f"+{ref}:{local}", cwd=folder)
        git("checkout", "--quiet", "--detach", local, cwd=folder)
        return folder

    def record_main(self, folder: Path, *options: str) -> None:
        """Train and record main as a job on main does, without a CI host around it."""
        self.checkout(folder, "main")
        self.ciplug(folder, "ci", "--no-comment", *options, "--", sys.executable, "-IS", "train.py")

    def ciplug(self, folder: Path, *args: str) -> str:
        """What a person does by hand in a clone; returns what ciplug prints."""
        root = Path(__file__).resolve().parents[2]
        env = {**os.environ, "PYTHONPATH": str(root)}
        command = [sys.executable, "-m", "ciplug", *args]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def refs(self) -> list[str]:
        return git("for-each-ref", "--format=%(refname)", cwd=self.bare).splitlines()

    def inbox(self) -> list[str]:
        return [ref for ref in self.refs() if ref.startswith("refs/ciplug/inbox/")]

    def stored(self, pattern: str) -> list[str]:
        """Contents of every object in the store whose path contains `pattern`."""
        found = []
        for ref in self.refs():
            if ref.startswith("refs/ciplug/inbox/") or ref == "refs/heads/ciplug":
                for path in git("ls-tree", "-r", "--name-only", ref, cwd=self.bare).splitlines():
                    if pattern in path:
                        found.append(git("show", f"{ref}:{path}", cwd=self.bare))
        return found
