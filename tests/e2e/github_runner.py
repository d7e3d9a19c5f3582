"""GitHub Actions by act: the events, and what stands in for the actions that need GitHub itself."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.e2e.project import TOKEN, Project, clean_environment
from tests.servers.github_api import GitHubApi

REPOSITORY = {"full_name": "acme/demo", "default_branch": "main"}
_SETUP_PYTHON = """\
name: A stand-in for setup-python
inputs:
  python-version:
    description: Ignored
runs:
  using: composite
  steps:
    - shell: bash
      run: echo "{python}" >> "$GITHUB_PATH"
"""
# The real one speaks to a service of GitHub's runners, which then is what the API lists and gives out.
_UPLOAD = """\
name: A stand-in for upload-artifact
inputs:
  name:
    description: As that of the real one
  path:
    description: As that of the real one
runs:
  using: composite
  steps:
    - shell: bash
      env:
        NAME: ${{ inputs.name }}
        FOLDER: ${{ inputs.path }}
      run: python3 "$GITHUB_ACTION_PATH/upload.py"
"""
_UPLOAD_PY = """\
import base64, io, json, os, pathlib, urllib.request, zipfile

buffer = io.BytesIO()
folder = pathlib.Path(os.environ["FOLDER"])
with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        archive.write(path, path.relative_to(folder))
about = {"name": os.environ["NAME"], "zip": base64.b64encode(buffer.getvalue()).decode()}
address = os.environ["GITHUB_API_URL"] + "/uploads/" + os.environ["GITHUB_RUN_ID"]
urllib.request.urlopen(urllib.request.Request(address, json.dumps(about).encode()))
"""


def local_actions(workflow: str, folder: Path, *, source: Path, python: Path) -> list[str]:
    """Options of act for a workflow's actions: this very ciplug, and stand-ins for what needs GitHub itself."""
    stand_ins = {
        "actions/setup-python": {"action.yml": _SETUP_PYTHON.replace("{python}", str(python))},
        "actions/upload-artifact": {"action.yml": _UPLOAD, "upload.py": _UPLOAD_PY},
    }
    options = []
    for action in dict.fromkeys(re.findall(r"uses: (\S+@\S+)", workflow)):
        name = action.partition("@")[0]
        if name in stand_ins:
            place = folder / name.rpartition("/")[2]
            place.mkdir(exist_ok=True)
            for file, text in stand_ins[name].items():
                (place / file).write_text(text)
            options += ["--local-repository", f"{action}={place}"]
        elif name != "actions/checkout":
            repository = "/".join(name.split("/")[:2])
            options += ["--local-repository", f"{repository}@{action.partition('@')[2]}={source}"]
    return options


class Runner:
    """GitHub Actions by act: one workflow for one event, on a checkout of its own."""

    def __init__(self, act: str, project: Project, api: GitHubApi, folder: Path, options: list[str]) -> None:
        self._act, self._project, self._api, self._folder, self._options = act, project, api, folder, options
        self._number = 0

    def run(
        self,
        event: str,
        payload: dict[str, Any],
        ref: str,
        *,
        workflow: str = "train.yml",
        token: str = "job-token",
        git_token: str = TOKEN,
    ) -> tuple[int, str, Path]:
        """Exit code, log, and a folder that is SEEN to the workflow's steps."""
        self._number += 1
        checkout = self._project.checkout(self._folder / f"checkout{self._number}", ref, git_token)
        seen = self._folder / f"seen{self._number}"
        seen.mkdir()
        payload_file = self._folder / f"event{self._number}.json"
        payload_file.write_text(json.dumps(payload))
        command = [
            *(self._act, event, "-W", f".github/workflows/{workflow}", "-e", str(payload_file)),
            *("-P", "ubuntu-latest=-self-hosted", "--no-cache-server", "-s", f"GITHUB_TOKEN={token}"),
            *("--env", f"GITHUB_API_URL={self._api.url}", "--env", "GITHUB_REPOSITORY=acme/demo"),
            *("--env", f"SEEN={seen}", *self._options),
        ]
        done = subprocess.run(
            command,
            cwd=checkout,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        return done.returncode, done.stdout, seen

    def push(self, commit: str, **more: str) -> tuple[int, str, Path]:
        payload = {"ref": "refs/heads/main", "after": commit, "repository": REPOSITORY}
        return self.run("push", payload, "main", **more)

    def pull_request(
        self, number: int, branch: str, commit: str, *, owner: str = "acme", **more: str
    ) -> tuple[int, str, Path]:
        """A pull request from a branch of `owner`'s repository: a fork, unless that is acme."""
        fork = {**REPOSITORY, "full_name": f"{owner}/demo", "fork": owner != "acme"}
        payload = {
            "action": "synchronize",
            "number": number,
            "repository": REPOSITORY,
            "pull_request": {
                "number": number,
                "head": {"ref": branch, "sha": commit, "repo": fork},
                "base": {"ref": "main", "sha": self._project.main, "repo": REPOSITORY},
            },
        }
        return self.run("pull_request", payload, f"refs/pull/{number}/merge", **more)
