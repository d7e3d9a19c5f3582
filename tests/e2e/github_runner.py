"""GitHub Actions by act: the events, and what stands in for the actions that need GitHub itself."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.e2e import github_events as events
from tests.e2e.project import TOKEN, Project, clean_environment
from tests.servers.github_api import GitHubApi

REPOSITORY = events.repository()
_SETUP_PYTHON = """\
name: A stand-in for setup-python
inputs:
  python-version:
    description: Shown
runs:
  using: composite
  steps:
    - shell: bash
      env:
        VERSION: ${{ inputs.python-version }}
      run: echo "{python}" >> "$GITHUB_PATH" && echo "Python $VERSION"
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
files = sorted(p for p in folder.rglob("*") if p.is_file())
if not files:
    raise SystemExit(0)
with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
    for path in files:
        archive.write(path, path.relative_to(folder))
about = {"name": os.environ["NAME"], "zip": base64.b64encode(buffer.getvalue()).decode()}
address = os.environ["GITHUB_API_URL"] + "/uploads/" + os.environ["GITHUB_RUN_ID"]
urllib.request.urlopen(urllib.request.Request(address, json.dumps(about).encode()))
"""
_DOWNLOAD = """\
name: A stand-in for download-artifact
inputs:
  pattern:
    description: As that of the real one
  path:
    description: As that of the real one
outputs:
  download-path:
    description: As that of the real one
    value: ${{ steps.download.outputs.download-path }}
runs:
  using: composite
  steps:
    - shell: bash
      id: download
      env:
        PATTERN: ${{ inputs.pattern }}
        FOLDER: ${{ inputs.path }}
      run: python3 "$GITHUB_ACTION_PATH/download.py"
"""
_DOWNLOAD_PY = """\
import base64, fnmatch, io, json, os, pathlib, urllib.request, zipfile

folder = pathlib.Path(os.environ["FOLDER"])
address = os.environ["GITHUB_API_URL"] + "/uploads/" + os.environ["GITHUB_RUN_ID"]
for about in json.load(urllib.request.urlopen(address)):
    if fnmatch.fnmatch(about["name"], os.environ["PATTERN"]):
        zipfile.ZipFile(io.BytesIO(base64.b64decode(about["zip"]))).extractall(folder / about["name"])
with open(os.environ["GITHUB_OUTPUT"], "a") as outputs:
    outputs.write(f"download-path={folder}\\n")
"""


def local_actions(workflow: str, folder: Path, *, source: Path, python: Path) -> list[str]:
    """Options of act for a workflow's actions: this very ciplug, and stand-ins for what needs GitHub itself."""
    stand_ins = {
        "actions/setup-python": {"action.yml": _SETUP_PYTHON.replace("{python}", str(python))},
        "actions/upload-artifact": {"action.yml": _UPLOAD, "upload.py": _UPLOAD_PY},
        "actions/download-artifact": {"action.yml": _DOWNLOAD, "download.py": _DOWNLOAD_PY},
    }
    options = []
    # Of an action in a folder of its repository, it is the repository that is asked for.
    workflow += (source / "action.yml").read_text()
    for name, ref in dict.fromkeys(re.findall(r"uses: ([\w-]+/[\w-]+)[\w/-]*@(\S+)", workflow)):
        action = f"{name}@{ref}"
        if name in stand_ins:
            place = folder / name.rpartition("/")[2]
            place.mkdir(exist_ok=True)
            for file, text in stand_ins[name].items():
                (place / file).write_text(text)
            options += ["--local-repository", f"{action}={place}"]
        elif name != "actions/checkout":
            options += ["--local-repository", f"{action}={source}"]
    return options


class Job(NamedTuple):
    """What came of one workflow run; `seen` is a folder that is SEEN to its steps."""

    code: int
    log: str
    seen: Path

    def ok(self) -> Job:
        assert self.code == 0, self.log
        return self

    def failed(self) -> Job:
        assert self.code != 0, self.log
        return self

    def says(self, *words: str) -> Job:
        assert [word for word in words if word not in self.log] == [], self.log
        return self


class Runner:
    """GitHub Actions by act: one workflow for one event, on a checkout of its own."""

    def __init__(self, act: str, project: Project, api: GitHubApi, folder: Path, options: list[str]) -> None:
        self._act, self._project, self._api, self._folder, self._options = act, project, api, folder, options
        self._number = 0

    def run(
        self,
        event: str,
        payload: events.Payload,
        ref: str = "main",
        *,
        workflow: str = "train.yml",
        token: str = "job-token",
        git_token: str = TOKEN,
        whole: bool = False,
        **env: str,
    ) -> Job:
        """`whole`: with `fetch-depth: 0`, which act, who copies what lies here, does not look at."""
        self._number += 1
        checkout = self._project.checkout(self._folder / f"checkout{self._number}", ref, git_token, whole=whole)
        seen = self._folder / f"seen{self._number}"
        seen.mkdir()
        payload_file = self._folder / f"event{self._number}.json"
        payload_file.write_text(json.dumps(payload))
        settings = {"GITHUB_API_URL": self._api.url, "GITHUB_REPOSITORY": "acme/demo", "SEEN": str(seen), **env}
        command = [
            *(self._act, event, "-W", f".github/workflows/{workflow}", "-e", str(payload_file)),
            *("-P", "ubuntu-latest=-self-hosted", "--no-cache-server", "-s", f"GITHUB_TOKEN={token}"),
            *("--actor", payload["sender"]["login"], "--defaultbranch", "main"),
            *(word for name, value in settings.items() for word in ("--env", f"{name}={value}")),
            *self._options,
        ]
        done = subprocess.run(
            command,
            cwd=checkout,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
        )
        assert token not in done.stdout
        return Job(done.returncode, done.stdout, seen)

    def push(self, commit: str, *, workflow: str = "train.yml") -> Job:
        return self.run("push", events.push(commit), workflow=workflow)

    def pull_request(
        self,
        number: int,
        branch: str,
        commit: str,
        *,
        owner: str = "acme",
        workflow: str = "train.yml",
        token: str = "job-token",
        git_token: str = TOKEN,
    ) -> Job:
        """A pull request from a branch of `owner`'s repository: a fork, unless that is acme."""
        payload = events.pull_request(number, branch, commit, self._project.main, of=f"{owner}/demo")
        ref = f"refs/pull/{number}/merge"
        return self.run("pull_request", payload, ref, workflow=workflow, token=token, git_token=git_token)
